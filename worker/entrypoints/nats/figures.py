"""What a worker tells of itself to those who gather metrics: every worker answers, none in a queue group."""

from collections.abc import Callable, Mapping
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg

from contracts import subjects
from contracts.metrics import Counts, QueueFigures, RequestFigures, WorkerCounts, WorkerFigures
from worker.dispatch.dispatcher import Dispatcher
from worker.dispatch.queue import CommandQueue
from worker.domain.figures import Histogram, Outcomes
from worker.messaging.relay import Relay


async def tell(
    connection: Client, reply_prefixes: tuple[str, ...], figures: Callable[[], WorkerFigures]
) -> None:
    """Answer whoever asks; the draining of the connection ends it."""

    async def answer(message: Msg) -> None:
        if message.reply.startswith(reply_prefixes):
            await message.respond(figures().model_dump_json().encode())

    await connection.subscribe(subjects.FIGURES, cb=answer)


def counts(outcomes: Mapping[str, Outcomes], dispatcher: Dispatcher, relay: Relay) -> WorkerCounts:
    """All that was counted since the start."""
    deployments: dict[str, dict[str, int]] = {}
    for (event, environment), count in dispatcher.figures.deployments.copy().items():
        deployments.setdefault(event, {})[environment] = count
    return WorkerCounts(
        requests={
            subject: RequestFigures(outcomes=each.by_code.copy(), seconds=_counts(each.durations))
            for subject, each in outcomes.items()
            if each.by_code
        },
        batches=_counts(dispatcher.figures.batches),
        deployments=deployments,
        published=relay.published,
        relay_lag=_counts(relay.lag),
    )


def queues(dispatcher: Dispatcher) -> dict[str, QueueFigures]:
    """What waits."""
    return {"writes": _queue(dispatcher.write_queue), "reads": _queue(dispatcher.read_queue)}


def _queue(queue: CommandQueue[Any]) -> QueueFigures:
    return QueueFigures(depth=len(queue), limit=queue.size)


def _counts(histogram: Histogram) -> Counts:
    return Counts(counts=histogram.counts.copy(), total=histogram.total)
