"""All faults, in the order of the table."""

from tests.faults import confirmed, connections, messages, servers, whole, workers
from tests.faults.fault import Fault

FAULTS: tuple[Fault, ...] = (
    *workers.FAULTS,
    *servers.FAULTS,
    *whole.FAULTS,
    *connections.FAULTS,
    *messages.FAULTS,
    *confirmed.FAULTS,
)
