"""Stopping: what was taken is answered first, and where another worker stays, nobody notices."""

import asyncio
import json
import signal
import time
from contextlib import closing

import nats
import psycopg2
import pytest
from nats.errors import NoRespondersError

from contracts import headers, subjects
from tests.conftest import Caller
from tests.events import assert_the_live_state_is_the_database, assert_the_stream_is_the_log
from tests.system import eventually

STOPPED_WITHIN = 10
GONE = "gone"


def deploy_of(entity):
    return json.dumps(
        {"entity_id": entity["entity_id"], "environment": "staging", "deployed_by": "tests"}
    ).encode()


async def answer(connection, subject, body):
    """What a request was answered, or that nobody was there to take it; fails if it was taken in vain."""
    try:
        reply = await connection.request(subject, body, timeout=10)
    except NoRespondersError:
        return GONE
    assert headers.ERROR not in (reply.headers or {}), reply.data
    return json.loads(reply.data)


async def test_a_worker_that_is_stopped_answers_all_that_it_took(own_system):
    own_system.start_servers()
    worker = own_system.start_worker()
    worker.wait_for_line("relay_leads")
    connections = [await nats.connect(own_system.nats_url) for _ in range(4)]
    entities = [await Caller(connections[0]).create() for _ in range(20)]
    under_way = [
        asyncio.ensure_future(answer(connections[number % 4], subjects.DEPLOY_REQUEST, deploy_of(entity)))
        for number, entity in enumerate(entities * 25)
    ] + [
        asyncio.ensure_future(answer(connections[number % 4], subjects.DEPLOY_LIST, b"{}"))
        for number in range(200)
    ]
    await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)

    began = time.monotonic()
    worker.popen.send_signal(signal.SIGTERM)
    more = [
        asyncio.ensure_future(until_gone(connections[number % 4], entity))
        for number, entity in enumerate(entities)
    ]
    answers = await asyncio.gather(*under_way)
    status = await asyncio.to_thread(worker.popen.wait, STOPPED_WITHIN)

    assert status == 0
    assert time.monotonic() - began < STOPPED_WITHIN
    late = await asyncio.gather(*more)
    deployed = [each for each in sum(late, answers) if each != GONE and "deployment_id" in each]
    assert own_system.sql("SELECT count(*) FROM deployments") == [(len(deployed),)]
    assert not [line for line in worker.lines if "Traceback" in line or '"error"' in line]
    own_system.start_worker().wait_for_line("relay_leads")
    await assert_the_stream_is_the_log(own_system, connections[0])
    await assert_the_live_state_is_the_database(own_system, connections[0])
    await asyncio.gather(*(connection.close() for connection in connections))


async def until_gone(connection, entity):
    """Answers to requests sent one after the other until nobody takes them any more."""
    answers = []
    while (one := await answer(connection, subjects.DEPLOY_REQUEST, deploy_of(entity))) != GONE:
        answers.append(one)
    return answers


async def test_a_rolling_restart_loses_no_request(own_system):
    own_system.start_servers()
    for worker in [own_system.start_worker() for _ in range(2)]:
        worker.wait_for_line("worker_ready")
    connections = [await nats.connect(own_system.nats_url) for _ in range(4)]
    entities = [await Caller(connections[0]).create() for _ in range(8)]
    restarted = asyncio.Event()
    answered = 0

    async def load(number):
        nonlocal answered
        while not restarted.is_set():
            body = deploy_of(entities[number % 8])
            result = await answer(connections[number % 4], subjects.DEPLOY_REQUEST, body)
            assert result != GONE
            answered += 1

    async def restart():
        try:
            for old in own_system.workers[:2]:
                old.popen.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(old.popen.wait, STOPPED_WITHIN) == 0
                new = own_system.start_worker()
                await asyncio.to_thread(new.wait_for_line, "worker_ready")
        finally:
            restarted.set()

    await asyncio.gather(restart(), *(load(number) for number in range(3)))

    assert answered > 100
    assert own_system.sql("SELECT count(*) FROM deployments") == [(answered,)]
    await assert_the_stream_is_the_log(own_system, connections[0])
    await assert_the_live_state_is_the_database(own_system, connections[0])
    await asyncio.gather(*(connection.close() for connection in connections))


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
async def test_an_idle_worker_stops_at_once(system, sent):
    worker = system.start_worker()
    worker.wait_for_line("worker_ready")
    began = time.monotonic()

    assert worker.stop(sent, timeout=STOPPED_WITHIN) == 0

    assert time.monotonic() - began < 3
    system.workers.remove(worker)


async def test_a_worker_whose_relay_is_in_the_middle_of_a_round_stops_all_the_same(own_system):
    own_system.start_servers()
    worker = own_system.start_worker()
    worker.wait_for_line("relay_leads")
    connection = await nats.connect(own_system.nats_url)
    held_up = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE application_name = 'library-relay' AND wait_event_type = 'Lock'"
    )
    with closing(psycopg2.connect(own_system.database_url)) as somebody:
        somebody.cursor().execute("LOCK TABLE outbox")
        eventually(lambda: own_system.sql(held_up) == [(1,)])
        worker.popen.send_signal(signal.SIGTERM)
        while await answer(connection, subjects.ENVIRONMENT_LIST, b"") != GONE:
            pass  # it takes no more now, and waits for its relay
        assert own_system.sql(held_up) == [(1,)]
        somebody.rollback()

    assert await asyncio.to_thread(worker.popen.wait, STOPPED_WITHIN / 2) == 0
    await connection.close()
