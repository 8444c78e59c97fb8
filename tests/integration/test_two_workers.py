"""Two workers on one database: both take part, and contend, and never deadlock; `make scaling` in short."""

import pytest

from benchmarks import scaling

ENTITIES = 10
SECONDS = 2.0


@pytest.fixture
async def site(own_system):
    """Servers without a worker, and entities that are few enough to be deployed by both at once."""
    own_system.start_servers()
    opened = scaling.Site("1", own_system)
    await opened.open(ENTITIES)
    yield opened
    await opened.client.close()


async def test_two_workers_share_what_they_contend_for_and_never_deadlock(site):
    async with site.workers(2) as workers:
        measured = await scaling.turn(site, workers, site.entities, SECONDS)

    assert 0.25 < measured.least_share <= 0.5
    assert measured.lanes["row lock"] > 0
    assert sum(measured.lanes.values()) == pytest.approx(1)
    assert list(scaling.faults(site)) == []


async def test_what_waits_while_nobody_leads_is_published_by_the_next_worker(site):
    filled = await scaling.drained(site, SECONDS / 2)

    assert filled.events >= site.answers
    assert filled.rate > 0
    state = await site.client.jetstream().stream_info("LIBRARY_EVENTS")
    assert state.state.messages == filled.events + ENTITIES
