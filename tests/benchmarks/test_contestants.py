"""Every contestant of the benchmark does the work it answers for, on real servers."""

from collections.abc import Iterator
from dataclasses import replace

import nats
import pytest

from benchmarks import bench, contestants, databases, processor, report
from benchmarks.product import Product
from tests.system import System, eventually

ENTITIES = 20
ANNOUNCING = {"seed", "faststream-orm", "task-queue"}


@pytest.fixture(scope="module")
def product() -> Iterator[Product]:
    """Servers of this module's own: contestants make databases on them."""
    system = System()
    try:
        system.start()
        yield Product(system.nats_url, system.http_url, system.database_url, system.workers[0].popen)
    finally:
        system.stop()


@pytest.mark.parametrize("name", contestants.NAMES)
async def test_what_is_answered_is_stored_and_one_is_active(product: Product, name: str):
    field = await contestants.prepare(product, only=[name], entities=ENTITIES)
    listener = await nats.connect(product.nats)
    announced = await listener.subscribe("*.deployment.completed")
    found = {each.name: report.Measured(each.title) for each in field}
    for contestant in field:
        async with contestant.running() as drive:
            # Two callers of the seed's service would leave two active, now and then: it locks nothing.
            run = await drive(callers=8 if contestant.locks else 1, seconds=0.5)
        found[contestant.name].answers = len(run.latencies)
    # The peers' processes have ended, so all that they published is at the server.
    await listener.flush()

    assert all(each.answers for each in found.values())
    bench.verify([replace(each, locks=True) for each in field], found)
    answers = sum(each.answers for each in found.values())
    assert announced.pending_msgs == (answers if name in ANNOUNCING else 0)
    await listener.close()


def contestant_on(url: str) -> contestants.Contestant:
    return contestants.Contestant(
        name="it", title="it", database=url, running=lambda: pytest.fail("not started")
    )


def test_an_answer_without_a_deployment_ends_the_run(product: Product):
    url, _ = databases.with_records(product.database, "lost", 1)

    bench.verify([contestant_on(url)], {"it": report.Measured("it")})

    with pytest.raises(bench.WorkLostError, match="1 answers, 0 deployments"):
        bench.verify([contestant_on(url)], {"it": report.Measured("it", answers=1)})


def test_a_second_active_deployment_ends_the_run(product: Product):
    url, (entity, *_) = databases.with_records(product.database, "doubled", 1)
    field = [contestant_on(url)]
    insert = """
        INSERT INTO deployments (deployment_id, entity_id, version, environment, config_snapshot,
            parameters_snapshot, status, deployed_at, deployed_by, deployment_method, health_checks,
            validation_results, created_at, updated_at)
        SELECT gen_random_uuid(), %s, '1', 'staging', '{}', '{}', 'active', now(), 'x', 'x', '{}', '{}',
            now(), now()
        FROM generate_series(1, 2)
    """
    with databases.connected(url) as cursor:
        cursor.execute(insert, (entity,))
    measured = {"it": report.Measured("it", answers=2)}

    with pytest.raises(bench.WorkLostError, match="1 entities have not exactly one active"):
        bench.verify(field, measured)

    bench.verify([replace(field[0], locks=False)], measured)
    assert measured["it"].without_exactly_one_active == 1


def test_a_session_that_works_is_not_rest(product: Product):
    eventually(lambda: databases.at_rest(product.database))
    with databases.connected(product.database) as cursor:
        cursor.execute("BEGIN")
        assert not databases.at_rest(product.database)
        cursor.execute("COMMIT")
    eventually(lambda: databases.at_rest(product.database))


def test_processor_time_is_told_apart_by_process(product: Product):
    assert product.database
    spent = processor.spent()

    assert {"generator", "worker", "gateway", "postgres", "nats-server"} <= spent.keys()
