"""More than it carries: whatever is sent is answered, memory stays flat; `make flood` in short."""

import psutil

from benchmarks.flood import flood

SECONDS = 4.0
OF_TIME = {"a lone request is slower than before"}  # for `make flood`, on a machine that does nothing else


async def test_a_flood_is_answered_whole_and_memory_stays_flat(own_system):
    own_system.start_servers()
    worker = own_system.start_worker()
    worker.wait_for_line("worker_ready")

    result = await flood(own_system.nats_url, psutil.Process(worker.popen.pid), SECONDS, entities=200)

    assert set(result.faults) <= OF_TIME, str(result)
