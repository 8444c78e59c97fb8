"""The four figures of DORA, from what is on record. Environments are shared: these have their own servers."""

from datetime import UTC, datetime, timedelta

import nats
import pytest

from contracts import subjects
from tests.conftest import Caller
from worker.store import delivery, unit_of_work


@pytest.fixture
async def alone(own_system):
    """A caller of a product that nobody else uses."""
    own_system.start()
    client = await nats.connect(own_system.nats_url)
    yield Caller(client)
    await client.close()


async def figures(caller, environment):
    told = await caller.ask(subjects.DELIVERY_GET)
    return next(each for each in told["environments"] if each["environment"] == environment)


def shift(system, deployment, *, deployed=timedelta(0), rolled_back=timedelta(0)):
    """Move a deployment's times back: no test waits for hours."""
    system.sql(
        "UPDATE deployments SET deployed_at = deployed_at - %s, rolled_back_at = rolled_back_at - %s, "
        "deployment_duration_ms = 0 WHERE deployment_id = %s",
        (deployed, rolled_back, deployment["deployment_id"]),
    )


def changed_before(system, entity, age):
    system.sql(
        "UPDATE events SET created_at = created_at - %s WHERE subject = %s", (age, entity["entity_id"])
    )


def read(system):
    """What the database tells now, past what a worker keeps."""
    engine = unit_of_work.connect(system.database_url, name="tests", size=1)
    try:
        return unit_of_work.read(engine, delivery.delivered)
    finally:
        engine.dispose()


async def test_the_figures_of_a_life_are_told_by_environment(alone, own_system):
    entity = await alone.create()
    first = await alone.deploy(entity, "production")
    bad = await alone.deploy(entity, "production")
    await alone.rollback(bad)
    await alone.deploy(await alone.create(), "production")
    changed_before(own_system, entity, timedelta(hours=30))
    shift(own_system, first, deployed=timedelta(hours=20))
    shift(own_system, bad, deployed=timedelta(hours=2), rolled_back=timedelta(hours=1))

    there = read(own_system)["production"]

    assert (there.activated, there.gone_wrong, there.decided, there.days) == (3, 1, 3, 28)
    assert there.restore_seconds == pytest.approx(3600, abs=5)
    # ten hours for the first; the second of that entity came without a change; the other took moments
    assert there.lead_seconds == pytest.approx(5 * 3600, abs=5)
    assert read(own_system).keys() == {"production"}
    told = await figures(alone, "production")
    assert told["active"] == 2
    assert told["waiting"] == 0
    assert told["deployments_per_day"] == pytest.approx(3 / 28)
    assert told["change_failure_ratio"] == pytest.approx(1 / 3)


async def test_what_is_older_than_the_window_does_not_count(alone, own_system):
    deployment = await alone.deploy(await alone.create(), "staging")
    assert read(own_system)["staging"].decided == 1

    shift(own_system, deployment, deployed=timedelta(days=29))

    assert read(own_system) == {}


async def test_where_nothing_happened_nothing_is_told(alone):
    told = await alone.ask(subjects.DELIVERY_GET)

    assert [each["environment"] for each in told["environments"]] == [
        "development",
        "testing",
        "staging",
        "production",
    ]
    assert {each["lead_time_seconds"] for each in told["environments"]} == {None}
    assert {each["deployments_per_day"] for each in told["environments"]} == {0}
    assert told["window_days"] == 28
    assert abs(datetime.fromisoformat(told["measured_at"]) - datetime.now(UTC)) < timedelta(seconds=5)
