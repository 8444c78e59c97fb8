"""`library check`: it passes beside a load, and names every fault that is planted."""

import asyncio
import json
from uuid import uuid4

import pytest

from contracts import headers, subjects
from tests.events import in_stream, live, subjects_of
from tests.system import System, eventually, free_port
from tests.upkeep import checked, connected, key_subject, library, library_beside, load, published
from worker.messaging import refill

ONE_ACTIVE = "CREATE UNIQUE INDEX one_active ON deployments (entity_id, environment) WHERE status = 'active'"


def running(workers):
    made = System()
    try:
        made.start_servers()
        for worker in [made.start_worker() for _ in range(workers)]:
            worker.wait_for_line("worker_ready")
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def product():
    """A system for the faults of this module. They stay where they don't hinder others."""
    yield from running(1)


@pytest.fixture(scope="module")
def flawless():
    """A system that every test leaves without a fault; with two workers."""
    yield from running(2)


@pytest.fixture
async def calls(product):
    async with connected(product) as caller:
        yield caller


async def messages_of(caller, entity):
    return await in_stream(caller.connection, *subjects_of(entity))


def compared(product):
    """Wait until the relay has compared the live state under its present lead: it mends what it finds."""
    log = product.workers[0].lines

    def times(event):
        return sum(event in line for line in list(log))

    eventually(lambda: times("live_state_compared") >= times("relay_leads"))


async def settled(product, caller, entity):
    """A deployment of the entity that stream and bucket show, too."""
    deployed = await caller.deploy(entity)
    await published(product)
    is_this = {"wanted": lambda value: value and value["deployment_id"] == deployed["deployment_id"]}
    await live(caller.connection, "staging", entity, **is_this)
    return deployed


async def found_about(product, *identities):
    """What the check says about these, by their ids."""
    report = await checked(product)
    return [each for each in report.findings if any(identity in each.about for identity in identities)]


def kinds(findings):
    return sorted(finding.what for finding in findings)


async def test_a_busy_system_passes(flawless):
    async with connected(flawless) as caller, load(caller) as done:
        for turn in range(1, 4):
            await asyncio.to_thread(eventually, lambda so_many=turn * 50: len(done) > so_many)
            report = await checked(flawless, patience=5)
            assert report.findings == []
            assert report.looked_at["events"] > turn * 50
        before = len(done)
        checked_outside = await library_beside(flawless, "check", "--json")
        assert len(done) > before

    assert checked_outside.returncode == 0, checked_outside.stdout
    answer = json.loads(checked_outside.stdout)
    assert answer["holds"]
    assert answer["findings"] == []
    assert answer["looked_at"]["entities"] >= 8
    assert answer["looked_at"]["keys"] >= 8


async def test_differences_are_lines_and_status_1(product, calls):
    entity = await calls.create()
    former = await calls.deploy(entity)
    await settled(product, calls, entity)
    statement = "UPDATE deployments SET status = 'failed' WHERE deployment_id = %s"
    product.sql(statement, (former["deployment_id"],))

    people = library(product, "check")

    assert people.returncode == 1
    expected = "expected inactive after library.deployment.superseded.v1, found failed"
    assert f"status_differs: deployment {former['deployment_id']}: {expected}\n" in people.stdout
    assert "differences, in " in people.stderr


@pytest.mark.parametrize("variable", ["LIBRARY_NATS_URL", "LIBRARY_DATABASE_URL"])
def test_without_a_server_it_is_status_3_and_a_line(product, variable):
    scheme = "nats" if "NATS" in variable else "postgresql"
    away = library(product, "check", **{variable: f"{scheme}://u:secret@127.0.0.1:{free_port()}/library"})

    assert (away.returncode, away.stdout) == (3, "")
    assert away.stderr.startswith("library check: ")
    assert len(away.stderr.splitlines()) == 1
    assert "secret" not in away.stderr


async def test_a_lost_a_doubled_an_altered_and_a_foreign_event_are_found(product, calls):
    lost, doubled, altered, kept = [await calls.create() for _ in range(4)]
    for entity in (lost, doubled, altered, kept):
        await calls.deploy(entity)
    await published(product)
    jetstream = calls.connection.jetstream()
    _, gone = await messages_of(calls, lost)
    await jetstream.delete_msg(subjects.EVENTS_STREAM, gone.metadata.sequence.stream)
    _, again = await messages_of(calls, doubled)
    await jetstream.publish(again.subject, again.data)
    _, other = await messages_of(calls, altered)
    await jetstream.delete_msg(subjects.EVENTS_STREAM, other.metadata.sequence.stream)
    body = json.dumps({**json.loads(other.data), "correlationid": "another"}).encode()
    await jetstream.publish(other.subject, body)
    foreign = str(uuid4())
    stored = await jetstream.publish(other.subject, json.dumps({"id": foreign}).encode())

    report = await checked(product)

    found = {
        name: [each.what for each in report.findings if about in each.about]
        for name, about in {
            "lost": lost["entity_id"],
            "doubled": doubled["entity_id"],
            "altered": altered["entity_id"],
            "kept": kept["entity_id"],
            "foreign": f"message {stored.seq}",
        }.items()
    }
    assert found == {
        "lost": ["event_lost"],
        "doubled": ["event_doubled"],
        "altered": ["event_altered"],
        "kept": [],
        "foreign": ["event_unknown"],
    }


async def test_a_swapped_pair_of_events_is_found(product, calls):
    entity = await calls.create()
    await calls.deploy(entity)
    await published(product)
    first, _ = await messages_of(calls, entity)
    jetstream = calls.connection.jetstream()
    async with refill.ids_forgotten(jetstream):
        await jetstream.delete_msg(subjects.EVENTS_STREAM, first.metadata.sequence.stream)
        carried = {headers.MESSAGE_ID: first.headers[headers.MESSAGE_ID]}
        await jetstream.publish(first.subject, first.data, headers=carried)

    assert kinds(await found_about(product, entity["entity_id"])) == ["event_out_of_order"]


async def test_a_second_active_one_and_a_wrong_status_are_found(product, calls):
    entity = await calls.create()
    first = await calls.deploy(entity)
    second = await settled(product, calls, entity)
    product.sql("DROP INDEX one_active")
    statement = "UPDATE deployments SET status = %s WHERE deployment_id = %s"
    product.sql(statement, ("active", first["deployment_id"]))
    try:
        twice, differs = await found_about(
            product, f"entity {entity['entity_id']} in", first["deployment_id"]
        )
    finally:
        product.sql(statement, ("inactive", first["deployment_id"]))
        product.sql(ONE_ACTIVE)

    assert twice.what == "active_twice"
    assert sorted(twice.found.split(" and ")) == sorted([first["deployment_id"], second["deployment_id"]])
    assert (differs.what, differs.found) == ("status_differs", "active")
    assert differs.expected.startswith("inactive after ")


async def test_a_gap_in_the_log_is_found(product, calls):
    entity = await calls.create()
    await calls.deploy(entity)
    await calls.deploy(entity)
    await published(product)
    product.sql("DELETE FROM events WHERE entity_id = %s AND sequence = 2", (entity["entity_id"],))

    (broken,) = await found_about(product, f"entity {entity['entity_id']}")

    assert (broken.what, broken.expected, broken.found) == ("sequence_broken", "event 2", "event 3")


async def test_a_counter_that_runs_ahead_is_found(product, calls):
    entity = await calls.create()
    await published(product)
    product.sql("UPDATE entities SET event_sequence = 9 WHERE entity_id = %s", (entity["entity_id"],))

    assert kinds(await found_about(product, f"entity {entity['entity_id']}")) == ["sequence_differs"]


async def test_keys_that_are_missing_stale_or_of_nothing_active_are_found(product, calls):
    missing, stale, tampered, kept = [await calls.create() for _ in range(4)]
    old = await calls.deploy(stale)
    for entity in (missing, stale, tampered, kept):
        await settled(product, calls, entity)
    compared(product)
    jetstream = calls.connection.jetstream()
    bucket = await jetstream.key_value(subjects.ACTIVE_BUCKET)
    keys = {entity["entity_id"]: f"staging.{entity['entity_id']}" for entity in (missing, stale, tampered)}
    current = {name: json.loads((await bucket.get(key)).value) for name, key in keys.items()}
    await bucket.delete(keys[missing["entity_id"]])
    outdated = {**current[stale["entity_id"]], "deployment_id": old["deployment_id"], "sequence": "2"}
    await bucket.put(keys[stale["entity_id"]], json.dumps(outdated).encode())
    changed = {**current[tampered["entity_id"]], "config": {"a": "planted"}}
    await bucket.put(keys[tampered["entity_id"]], json.dumps(changed).encode())
    nowhere = f"testing.{kept['entity_id']}"
    await bucket.put(nowhere, b"{}")
    await jetstream.publish(key_subject("nowhere", kept), b"{}")
    try:
        findings = await found_about(product, *keys.values(), nowhere, "nowhere", kept["entity_id"])
    finally:
        assert library(product, "live", "rebuild").returncode == 0

    assert {finding.about: finding.what for finding in findings} == {
        f"key {keys[missing['entity_id']]}": "key_missing",
        f"key {keys[stale['entity_id']]}": "key_stale",
        f"key {keys[tampered['entity_id']]}": "key_stale",
        f"key {nowhere}": "key_orphaned",
        f"key nowhere.{kept['entity_id']}": "key_orphaned",
    }
    assert "planted" not in "".join(map(str, findings))
    assert await found_about(product, *keys.values(), nowhere, "nowhere") == []


async def test_an_outbox_that_nobody_takes_is_found(product):
    unknown = str(uuid4())
    product.sql(
        "INSERT INTO outbox (event_ids, created_at) VALUES (%s::uuid[], now() - interval '1 hour')",
        ([unknown],),
    )
    try:
        report = await checked(product)
    finally:
        product.sql("DELETE FROM outbox WHERE event_ids = %s::uuid[]", ([unknown],))

    found = [each for each in report.findings if each.about == "outbox" or unknown in str(each)]
    assert kinds(found) == ["outbox_broken", "outbox_stuck"]


async def test_events_that_are_older_than_the_stream_keeps_are_not_missed(flawless):
    async with connected(flawless) as caller:
        entity = await caller.create()
        await caller.deploy(entity)
        await published(flawless)
        jetstream = caller.connection.jetstream()
        _, gone = await messages_of(caller, entity)
        await jetstream.delete_msg(subjects.EVENTS_STREAM, gone.metadata.sequence.stream)
        (lost,) = (await checked(flawless)).findings
        flawless.sql("UPDATE events SET created_at = created_at - interval '100 days'")
        await jetstream.purge_stream(subjects.EVENTS_STREAM)
        aged = await checked(flawless)

    assert lost.what == "event_lost"
    assert gone.headers[headers.MESSAGE_ID] in lost.about
    assert aged.findings == []
