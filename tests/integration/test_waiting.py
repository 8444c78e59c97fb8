"""``wait: true``: the reply is held until the deployment is decided, and holds nothing up meanwhile."""

import asyncio
import json
import signal
from contextlib import closing
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import nats
import psutil
import psycopg2
import pytest

from contracts import headers, subjects
from tests.conftest import Caller
from tests.places import place
from tests.system import eventually


@pytest.fixture
async def testing(caller):
    async with place(caller, "testing", activation="confirmed") as found:
        yield found


def waiting_deploy(caller, entity, within=10.0, **sent):
    """A deploy that waits, so many seconds; its reply."""
    body = {
        "entity_id": entity["entity_id"],
        "environment": "testing",
        "deployed_by": "tests",
        "wait": True,
    }
    deadline = (datetime.now(UTC) + timedelta(seconds=within)).isoformat()
    carried = {headers.DEADLINE: deadline, **sent}
    return asyncio.ensure_future(
        caller.connection.request(
            subjects.DEPLOY_REQUEST, json.dumps(body).encode(), timeout=within + 5, headers=carried
        )
    )


async def accepted(system, entity, so_many=1):
    """The ids of the entity's deployments once there are so many."""

    def look():
        found = system.sql(
            "SELECT deployment_id FROM deployments WHERE entity_id = %s ORDER BY deployed_at",
            (entity["entity_id"],),
        )
        return found if len(found) == so_many else None

    return [{"deployment_id": str(row[0])} for row in await asyncio.to_thread(eventually, look)]


async def test_it_is_answered_with_the_outcome_when_an_agent_gives_its_word(testing, system, caller):
    for outcome, status in (("active", "active"), ("failed", "failed")):
        entity = await caller.create()
        reply = waiting_deploy(caller, entity)
        (deployment,) = await accepted(system, entity)

        decided = await testing.confirm(deployment, outcome)

        answered = json.loads((await reply).data)
        assert answered == decided
        assert answered["status"] == status


async def test_it_is_held_whatever_numbers_its_configuration_has(testing, system, caller):
    entity = await caller.create(config={"longest": 10**4299, "large": 1e308, "small": 1e-308})
    reply = waiting_deploy(caller, entity)
    (deployment,) = await accepted(system, entity)

    decided = await testing.confirm(deployment)

    assert json.loads((await reply).data) == decided
    assert decided["status"] == "active"


async def test_silence_is_an_outcome_too(testing, system, caller):
    await testing.set(confirm_timeout_s=1)
    answered = json.loads((await waiting_deploy(caller, await caller.create())).data)
    assert answered["status"] == "failed"


async def test_in_an_instant_environment_there_is_nothing_to_wait_for(testing, caller):
    await testing.set(activation="instant")
    answered = json.loads((await waiting_deploy(caller, await caller.create())).data)
    assert answered["status"] == "active"


async def test_shortly_before_the_deadline_it_is_answered_with_what_is(testing, system, caller):
    seconds = 2.0
    hurried, patient = [await caller.create() for _ in range(2)]
    deadline = asyncio.create_task(asyncio.sleep(seconds))
    replies = {
        "hurried": waiting_deploy(caller, hurried, within=seconds),
        "patient": waiting_deploy(caller, patient, within=10 * seconds),
    }
    asked_later = asyncio.create_task(caller.entity(hurried))

    async def first(*tasks):
        done, _ = await asyncio.wait(tasks, timeout=10 * seconds, return_when=asyncio.FIRST_COMPLETED)
        return done

    assert await first(asked_later, *replies.values()) == {asked_later}, "both replies are held"
    assert replies["hurried"] in await first(deadline, *replies.values()), "it is answered in time"
    assert not replies["patient"].done()
    answered = json.loads((await replies["hurried"]).data)
    assert answered["status"] == "deploying"
    (deployment,) = await accepted(system, patient)
    await testing.confirm(deployment)
    assert json.loads((await replies["patient"]).data)["status"] == "active"
    deadline.cancel()


async def test_a_retry_with_the_same_key_waits_again_for_the_same_deployment(testing, system, caller):
    entity, key = await caller.create(), str(uuid4())
    first = await waiting_deploy(caller, entity, within=0.5, **{"Idempotency-Key": key})
    deployment = json.loads(first.data)
    assert deployment["status"] == "deploying"
    again = waiting_deploy(caller, entity, **{"Idempotency-Key": key})

    await testing.confirm(deployment)

    reply = await again
    answered = json.loads(reply.data)
    assert (answered["deployment_id"], answered["status"]) == (deployment["deployment_id"], "active")
    assert reply.headers[headers.REPLAYED] == "true"
    assert len(await accepted(system, entity)) == 1


async def test_two_hundred_that_wait_hold_no_thread_and_nobody_up(testing, system, caller):
    worker = psutil.Process(system.workers[0].popen.pid)
    entities = [await caller.create() for _ in range(200)]
    threads = worker.num_threads()
    replies = [waiting_deploy(caller, entity, within=20.0) for entity in entities]
    deployments = [(await accepted(system, entity))[0] for entity in entities]

    assert worker.num_threads() <= threads + 1
    await asyncio.wait_for(caller.deploy(await caller.create(), "staging"), 2)
    for deployment in deployments:
        await testing.confirm(deployment)
    answered = [json.loads(reply.data) for reply in await asyncio.gather(*replies)]
    assert {each["status"] for each in answered} == {"active"}


async def test_the_word_may_come_through_another_worker_and_one_that_stops_answers_at_once(own_system):
    own_system.start()
    first = own_system.workers[0]
    connection = await nats.connect(own_system.nats_url)
    caller = Caller(connection)
    async with place(caller, "testing", activation="confirmed") as testing:
        entities = [await caller.create() for _ in range(9)]
        replies = [waiting_deploy(caller, entity, 20.0) for entity in entities]
        deployments = [(await accepted(own_system, entity))[0] for entity in entities]
        second = own_system.start_worker()
        second.wait_for_line("worker_ready")
        for deployment, reply in zip(deployments[1:], replies[1:], strict=True):
            await testing.confirm(deployment)  # each worker takes about half of them
            assert json.loads((await reply).data)["status"] == "active"

        assert await asyncio.to_thread(first.stop) == 0

        answered = json.loads((await asyncio.wait_for(replies[0], 5)).data)
        assert answered["status"] == "deploying"
    await connection.close()


async def test_a_worker_that_stops_lets_those_that_wait_go_before_all_that_it_still_has_to_do(
    own_system,
):
    own_system.start()
    (worker,) = own_system.workers
    connection = await nats.connect(own_system.nats_url)
    caller = Caller(connection)
    async with place(caller, "testing", activation="confirmed"):
        entities = [await caller.create() for _ in range(2)]
        waits = waiting_deploy(caller, entities[0], 25.0)
        await accepted(own_system, entities[0])
        with closing(psycopg2.connect(own_system.database_url)) as somebody:
            somebody.cursor().execute("LOCK TABLE entities IN EXCLUSIVE MODE")
            stuck = [waiting_deploy(caller, entities[1], 25.0) for _ in range(200)]
            status = {}
            while status.get("queued_commands", 0) < 100:
                status = (await caller.ask(subjects.STATUS_GET))["worker"]
            worker.popen.send_signal(signal.SIGTERM)

            answered = json.loads((await asyncio.wait_for(waits, 12)).data)

            assert answered["status"] == "deploying"
            assert not any(each.done() for each in stuck)
        assert await asyncio.to_thread(worker.stop) == 0
        await asyncio.gather(*stuck)
        own_system.start_worker().wait_for_line("worker_ready")
    await connection.close()
