"""More than it carries: whatever is sent is answered, and afterwards all is as before; short of `make flood`."""

import psutil

from benchmarks.flood import flood

SECONDS = 4.0
NOT_OF_TIME = {"a lone request is slower than before"}  # `make flood` tells, on a machine that does nothing else


async def test_a_flood_is_answered_whole_and_memory_stays_flat(own_system):
    own_system.start_servers()
    worker = own_system.start_worker()
    worker.wait_for_line("worker_ready")

    result = await flood(own_system.nats_url, psutil.Process(worker.popen.pid), SECONDS, entities=200)

    assert set(result.faults) <= NOT_OF_TIME, str(result)
