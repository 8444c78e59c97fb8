"""The relay: what the log says is in the stream, once and in order, whatever dies in between."""

import asyncio
import json
import os
import signal
from contextlib import asynccontextmanager, contextmanager

import nats
import psycopg2

from contracts import headers, subjects
from contracts.client import LibraryClient
from contracts.deployments import DeployRequest
from tests.conftest import Caller
from tests.events import (
    announced,
    assert_the_live_state_is_the_database,
    assert_the_stream_is_the_log,
    in_stream,
    subjects_of,
)
from tests.system import eventually
from worker.messaging import refill
from worker.messaging.relay import Relay
from worker.messaging.stream_writer import Message, StreamWriter
from worker.store import outbox, unit_of_work
from worker.store.changes import EventRow
from worker.store.outbox import Outbox
from worker.store.recent import RecentEvents

HELD_UP = 7


@asynccontextmanager
async def connected(system):
    """A connection of the test's own, since servers go and come here."""
    connection = await nats.connect(system.nats_url)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def relaying(system, recent=None):
    """A relay of the test's own, with a connection of its own."""
    engine = unit_of_work.connect(system.database_url, name="tests", size=1)
    async with connected(system) as connection:
        relay = Relay(connection, lambda: Outbox(engine, recent))
        running = asyncio.create_task(relay.run())
        try:
            yield relay
        finally:
            running.cancel()
            await asyncio.wait([running])
    engine.dispose()


async def leading(relay):
    await asyncio.to_thread(eventually, lambda: relay.leads)


def request_for(entity):
    return DeployRequest.model_validate_json(
        json.dumps({"entity_id": entity["entity_id"], "environment": "staging", "deployed_by": "tests"})
    )


def waiting(system):
    ((count,),) = system.sql("SELECT count(*) FROM outbox")
    return count


async def test_an_entitys_events_stand_in_the_stream_as_they_stand_in_the_log(system, caller, connection):
    entities = [await caller.create() for _ in range(3)]
    for entity in entities:
        for _ in range(2):
            *_, last = await asyncio.gather(*(caller.deploy(entity) for _ in range(20)))
        current = await caller.ask(subjects.ENTITY_DEPLOYMENTS, entity_id=last["entity_id"], status="active")
        await caller.rollback(current["deployments"][0])

    announced(system)

    for entity in entities:
        logged = system.sql(
            "SELECT event_id::text, nats_subject, body FROM events WHERE entity_id = %s ORDER BY sequence",
            (entity["entity_id"],),
        )
        stored = await in_stream(connection, *subjects_of(entity))
        assert len(logged) == 1 + 40 + 39 + 2
        assert [
            (message.headers[headers.MESSAGE_ID], message.subject, message.data.decode())
            for message in stored
        ] == logged
        assert {message.headers[headers.CONTENT_TYPE] for message in stored} == {headers.CLOUDEVENT_JSON}
    await assert_the_stream_is_the_log(system, connection)
    await assert_the_live_state_is_the_database(system, connection)


async def test_an_event_is_seen_at_once_by_who_watches(caller, connection):
    entity = await caller.create()
    watched = await connection.subscribe(subjects.watched_events(entity["entity_id"]))
    await connection.flush()

    deployed = await caller.deploy(entity)

    event = json.loads((await watched.next_msg(timeout=1)).data)
    assert event["subject"] == deployed["deployment_id"]
    assert event["data"]["deployment"] == deployed


async def test_the_lead_passes_on_when_its_holder_is_killed_and_nothing_is_lost_or_doubled(own_system):
    own_system.start_servers()
    leader = own_system.start_worker()
    leader.wait_for_line("relay_leads")
    follower = own_system.start_worker()
    follower.wait_for_line("worker_ready")
    async with connected(own_system) as connection:
        client = LibraryClient(connection, timeout=20)
        entities = [await Caller(connection).create() for _ in range(5)]
        answered = asyncio.Event()

        async def deploys(entity):
            for number in range(40):
                await client.deploy(request_for(entity))  # asks again, with its key, where a worker dies
                if number == 10:
                    answered.set()

        load = [asyncio.create_task(deploys(entity)) for entity in entities for _ in range(2)]
        await answered.wait()
        leader.popen.send_signal(signal.SIGKILL)
        await asyncio.gather(*load)

        follower.wait_for_line("relay_leads")
        await assert_the_stream_is_the_log(own_system, connection)
        await assert_the_live_state_is_the_database(own_system, connection)
        assert own_system.sql("SELECT count(*) FROM deployments") == [(400,)]


async def test_what_was_written_while_nats_was_away_is_announced_once_it_is_back(own_system):
    own_system.start_servers()
    engine = unit_of_work.connect(own_system.database_url, name="tests", size=1)
    holder = Outbox(engine)
    assert holder.try_to_lead()  # so that nothing is announced for now
    worker = own_system.start_worker()
    worker.wait_for_line("worker_ready")
    async with connected(own_system) as connection:
        caller = Caller(connection)
        entities = [await caller.create() for _ in range(5)]
        await asyncio.gather(*(caller.deploy(entity) for entity in entities for _ in range(20)))
        assert await in_stream(connection) == []
    unannounced = waiting(own_system)
    assert unannounced > 0

    own_system.nats.stop()
    holder.close()  # the worker has the lead now, and nobody to tell
    worker.wait_for_line("relay_interrupted")
    assert waiting(own_system) == unannounced
    own_system.nats.start()

    worker.wait_for_line("nats_reconnected")
    async with connected(own_system) as connection:
        await assert_the_stream_is_the_log(own_system, connection)
        caller = Caller(connection)
        await asyncio.gather(*(caller.deploy(entity) for entity in entities for _ in range(40)))
        own_system.nats.stop()  # in the middle of what the relay is about
    own_system.nats.start()
    async with connected(own_system) as connection:
        await assert_the_stream_is_the_log(own_system, connection)
        await assert_the_live_state_is_the_database(own_system, connection, within=15)
    assert own_system.sql("SELECT count(*) FROM deployments") == [(300,)]
    engine.dispose()


@contextmanager
def published_events_are_not_forgotten(system):
    """Holds the relay up between publishing a batch and forgetting it."""
    system.sql(
        f"""
        CREATE FUNCTION hold_up() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_advisory_xact_lock({HELD_UP}); RETURN NULL; END $$;
        CREATE TRIGGER hold_up BEFORE DELETE ON outbox FOR EACH STATEMENT EXECUTE FUNCTION hold_up()
        """
    )
    connection = psycopg2.connect(system.database_url)
    connection.cursor().execute("SELECT pg_advisory_lock(%s)", (HELD_UP,))
    connection.commit()
    try:
        yield
    finally:
        system.sql("DROP FUNCTION hold_up CASCADE")
        connection.close()


async def test_a_batch_that_was_published_and_not_forgotten_is_not_published_again(own_system):
    own_system.start_servers()
    first = own_system.start_worker()
    first.wait_for_line("relay_leads")
    held_up = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE application_name = 'library-relay' AND wait_event = 'advisory'"
    )
    end_relay = (
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE application_name = 'library-relay'"
    )
    async with connected(own_system) as connection:
        caller = Caller(connection)
        entity = await caller.create()
        announced(own_system)
        with published_events_are_not_forgotten(own_system):
            await asyncio.gather(*(caller.deploy(entity) for _ in range(20)))
            eventually(lambda: own_system.sql(held_up) == [(1,)])
            stored = len(await in_stream(connection))
            assert stored > 1
            assert waiting(own_system) > 0
            assert own_system.sql(end_relay) == [(True,)]  # the worker takes the lead again, in doubt
            first.wait_for_line("relay_interrupted")
            eventually(lambda: own_system.sql(held_up) == [(1,)])
            first.popen.send_signal(signal.SIGKILL)
            assert own_system.sql(end_relay) == [(True,)]
        await own_system_goes_on(own_system, caller, entity)

        await assert_the_stream_is_the_log(own_system, connection)
        await assert_the_live_state_is_the_database(own_system, connection)


async def own_system_goes_on(system, caller, entity):
    """A second worker takes over what the first one left, and there is more to announce."""
    system.start_worker().wait_for_line("worker_ready")
    await asyncio.gather(*(caller.deploy(entity) for _ in range(5)))


async def heard(subscription, most):
    """How many messages come, from the first one until it is quiet, or so many."""
    await subscription.next_msg(timeout=10)
    for count in range(1, most):
        try:
            await subscription.next_msg(timeout=0.5)
        except nats.errors.TimeoutError:
            return count
    return most


async def test_a_wake_up_reaches_the_leader_once_and_no_follower_passes_it_on(own_system):
    own_system.start_servers()
    async with (
        connected(own_system) as connection,
        relaying(own_system) as one,
        relaying(own_system) as another,
        relaying(own_system) as third,
    ):
        relays = (one, another, third)
        await asyncio.to_thread(eventually, lambda: any(each.leads for each in relays))
        wakes = await connection.subscribe(subjects.OUTBOX_WAKE)
        await connection.flush()

        for follower in (each for each in relays if not each.leads):  # as after a commit there
            follower.wake()
            assert await heard(wakes, 10) == 1

        await connection.publish(subjects.OUTBOX_WAKE)
        assert await heard(wakes, 10) == 1


def waiting_rows(system):
    """The rows of the outbox in their order: id and events, each of these as the log has it."""
    rows = system.sql("SELECT outbox_id, event_ids::text[] FROM outbox ORDER BY outbox_id")
    columns = ", ".join(EventRow._fields)
    logged = {
        event[0]: EventRow(*event)._replace(body=event[6].encode())
        for event in system.sql(f"SELECT event_id::text, {columns.partition(', ')[2]} FROM events")
    }
    return [(outbox_id, [logged[each] for each in event_ids]) for outbox_id, event_ids in rows]


async def store(connection, events):
    """Publish events as a leader does that ends before it has forgotten them."""
    writer = StreamWriter(connection, subjects.EVENTS_STREAM)
    await writer.synchronize()
    carried = {headers.CONTENT_TYPE: headers.CLOUDEVENT_JSON}
    await writer.publish(
        [
            Message(event.nats_subject, event.body, {headers.MESSAGE_ID: event.event_id, **carried})
            for event in events
        ]
    )


async def test_what_a_former_leader_published_is_forgotten_though_another_knows_a_part_of_it(own_system):
    """The former leader ended before it had forgotten its batch, longer ago than the duplicate window."""
    own_system.start_servers()
    engine = unit_of_work.connect(own_system.database_url, name="tests", size=1)
    holder = Outbox(engine)
    assert holder.try_to_lead()
    worker = own_system.start_worker()
    worker.wait_for_line("worker_ready")
    async with connected(own_system) as connection:
        caller = Caller(connection)
        await caller.create()  # its row is taken for one that was committed late, in front of the batch
        for _ in range(6):
            entity = await caller.create()
            await asyncio.gather(*(caller.deploy(entity) for _ in range(5)))
        worker.stop()
        late, *rows = waiting_rows(own_system)
        position = next(number for number, (_, events) in enumerate(rows) if number > 3 and len(events) > 2)
        in_doubt = [event for _, events in rows[:position] for event in events] + rows[position][1][:2]
        await store(connection, in_doubt)
        recent = RecentEvents()  # of the late transaction and every second one
        for _, events in (late, *rows[1::2]):
            recent.keep(events)

        async with refill.ids_forgotten(connection.jetstream()):
            holder.close()
            async with relaying(own_system, recent):
                await asyncio.to_thread(announced, own_system)

        await assert_the_stream_is_the_log(own_system, connection)
        stored = [message.headers[headers.MESSAGE_ID] for message in await in_stream(connection)]
        behind = [late[1], rows[position][1][2:], *(events for _, events in rows[position + 1 :])]
        assert stored == [event.event_id for events in (in_doubt, *behind) for event in events]
    engine.dispose()


def leaders(system):
    """The sessions that lead."""
    return system.sql("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted")


async def test_the_lead_is_kept_while_nats_takes_longer_than_an_idle_session_lasts(own_system, monkeypatch):
    own_system.start_servers()
    engine = unit_of_work.connect(own_system.database_url, name="tests", size=1)
    holder = Outbox(engine)
    assert holder.try_to_lead()
    monkeypatch.setattr(outbox, "_IDLE_LIMIT", "SET idle_session_timeout = '2s'")
    async with relaying(own_system) as relay:
        nats_server = own_system.nats.process.pid
        os.kill(nats_server, signal.SIGSTOP)
        try:
            before = leaders(own_system)
            holder.close()
            leads = await asyncio.to_thread(
                eventually, lambda: [each for each in leaders(own_system) if each not in before]
            )
            await asyncio.sleep(3)
            assert leaders(own_system) == leads
        finally:
            os.kill(nats_server, signal.SIGCONT)
        await leading(relay)
        assert leaders(own_system) == leads
    engine.dispose()
