"""Where commands meet transactions: the queue, the batches, and the answers."""

from worker.dispatch.answer import Answer
from worker.dispatch.dispatcher import Dispatcher

__all__ = ["Answer", "Dispatcher"]
