"""``library dead``: from the shell, on the running product."""

import asyncio
import json
import subprocess
import sys
from typing import Any
from uuid import uuid4

import pytest
from nats.aio.client import Client
from nats.js.api import RawStreamMsg

from contracts import headers, subjects
from contracts.dead_letters import portable
from tests.commander import Commander, dead, deploy_of, publish_bytes
from tests.conftest import Caller
from tests.system import System, eventually

DEPLOYS, UNKNOWN = "library.dead.commands.deploy", "library.dead.commands._"


@pytest.fixture
async def commander(connection: Client) -> Commander:
    return await Commander(connection).start()


async def put_aside(client: Client, before: int) -> RawStreamMsg:
    """The letter that comes when there are so many; it is taken away."""
    async with asyncio.timeout(15):
        while await dead(client) == before:
            await asyncio.sleep(0.02)
    jetstream = client.jetstream()
    last = (await jetstream.stream_info(subjects.DEAD_STREAM)).state.last_seq
    letter = await jetstream.get_msg(subjects.DEAD_STREAM, last)
    await jetstream.delete_msg(subjects.DEAD_STREAM, last)
    return letter


async def the_worker_goes_on(system: System, caller: Caller, commander: Commander) -> None:
    """A good command is carried out, and no process has ended."""
    command = await commander.send(subjects.COMMAND_DEPLOY, deploy_of(await caller.create()))
    assert (await commander.outcome(command))["type"] == "library.deployment.completed.v1"
    assert system.workers[0].popen.poll() is None
    assert not [line for line in system.workers[0].lines if "nats_closed" in line or "nats_disc" in line]


def library(system: System, *words: str) -> tuple[int, str]:
    finished = subprocess.run(
        [sys.executable, "-m", "worker", "dead", *words, "--json"],
        env=system.environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return finished.returncode, finished.stdout or finished.stderr


def listed(system: System, command_id: str) -> dict[str, Any] | None:
    _, out = library(system, "list")
    return next((each for each in json.loads(out)["dead"] if each["command_id"] == command_id), None)


async def test_a_dead_command_is_shown_sent_again_and_gone(system: System, connection: Client):
    command_id = str(uuid4())
    await connection.jetstream().publish(
        subjects.COMMAND_DEPLOY, b'{"environment": "moon"}', headers={"Nats-Msg-Id": command_id}
    )
    letter = eventually(lambda: listed(system, command_id))

    assert letter["command"] == "deploy"
    assert letter["reason"].startswith("invalid_request")
    status, out = library(system, "show", str(letter["number"]))
    assert status == 0
    assert json.loads(out)["body"] == {"environment": "moon"}

    status, out = library(system, "retry", str(letter["number"]))

    again = json.loads(out)["command_id"]
    assert status == 0
    assert again != command_id
    assert listed(system, command_id) is None
    dead_again = eventually(lambda: listed(system, again))
    status, _ = library(system, "drop", str(dead_again["number"]))
    assert status == 0
    status, out = library(system, "show", str(dead_again["number"]))
    assert status == 1
    assert json.loads(out)["code"] == "not_found"


async def test_what_fails_five_times_is_put_aside_and_rejected(
    system: System, connection: Client, caller: Caller
):
    entity = await caller.create()
    system.sql(
        f"""
        CREATE FUNCTION refuse_{entity["entity_id"].replace("-", "")}() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'planted'; END $$;
        CREATE TRIGGER planted BEFORE INSERT ON deployments FOR EACH ROW
        WHEN (NEW.entity_id = '{entity["entity_id"]}') EXECUTE FUNCTION
            refuse_{entity["entity_id"].replace("-", "")}();
        """
    )
    try:
        events = await connection.jetstream().subscribe(
            f"library.events.deployment.rejected.staging.{entity['entity_id']}", ordered_consumer=True
        )
        await connection.jetstream().publish(
            subjects.COMMAND_DEPLOY,
            json.dumps(
                {"entity_id": entity["entity_id"], "environment": "staging", "deployed_by": "tests"}
            ).encode(),
            headers={"Nats-Msg-Id": entity["entity_id"]},
        )
        event = json.loads((await events.next_msg(timeout=40)).data)
    finally:
        system.sql("DROP TRIGGER planted ON deployments")

    assert event["data"]["problem"]["code"] == "internal_error"
    letter = eventually(lambda: listed(system, entity["entity_id"]))
    assert letter["body"]["environment"] == "staging"


@pytest.mark.parametrize("token", ["x" * 4050, "unknown", "\udcff"], ids=["long", "unknown", "no UTF-8"])
async def test_what_came_on_any_unknown_subject_is_put_aside_and_can_only_be_dropped(
    system: System, connection: Client, caller: Caller, commander: Commander, token: str
):
    before = await dead(connection)

    block = f"NATS/1.0\r\nNats-Msg-Id: {uuid4()}\r\n\r\n".encode()
    await publish_bytes(system.nats_url, f"library.commands.{token}", block, b"{}")

    await the_worker_goes_on(system, caller, commander)
    eventually_dead = await asyncio.to_thread(eventually, lambda: listed_last(system, before))
    assert (eventually_dead["command"], eventually_dead["body"]) == ("_", {})
    number = str(eventually_dead["number"])
    status, out = await asyncio.to_thread(library, system, "retry", number)
    assert (status, json.loads(out)["code"]) == (1, "invalid_request")
    letter = await put_aside(connection, before)
    assert letter.subject == UNKNOWN


def listed_last(system: System, before: int) -> dict[str, Any] | None:
    _, out = library(system, "list")
    found = json.loads(out)["dead"]
    return found[-1] if len(found) > before else None


async def test_what_its_reason_makes_larger_than_a_message_is_put_aside_with_the_beginning_of_its_body(
    system: System, connection: Client, caller: Caller, commander: Commander
):
    before, command_id = await dead(connection), str(uuid4())
    block = f"NATS/1.0\r\nNats-Msg-Id: {command_id}\r\n\r\n".encode()
    body = b"[" * (connection.max_payload - len(block))

    await publish_bytes(system.nats_url, subjects.COMMAND_DEPLOY, block, body)

    event = await commander.outcome(command_id)
    assert event["data"]["problem"]["code"] == "payload_too_large"
    letter = await put_aside(connection, before)
    assert letter.data
    assert len(body) - 1000 < len(letter.data) < len(body)
    assert letter.headers
    assert "Only the beginning of its body is kept" in letter.headers[headers.DEAD_REASON]
    await the_worker_goes_on(system, caller, commander)


async def test_more_of_headers_than_a_stream_stores_beside_the_reason_is_left_out(
    system: System, connection: Client, caller: Caller, commander: Commander
):
    before, command_id = await dead(connection), str(uuid4())
    await commander.send(subjects.COMMAND_DEPLOY, b"{", command_id, Short="kept", Long="x" * 65_400)

    event = await commander.outcome(command_id)
    assert event["data"]["problem"]["code"] == "invalid_request"
    letter = await put_aside(connection, before)
    assert letter.headers
    assert {*letter.headers} == {"Nats-Msg-Id", "Short", headers.DEAD_REASON}
    await the_worker_goes_on(system, caller, commander)


async def test_headers_that_were_meant_for_nats_server_or_that_nobody_may_write_are_left_out(
    system: System, connection: Client, caller: Caller, commander: Commander
):
    before, command_id = await dead(connection), str(uuid4())
    block = (
        "NATS/1.0\r\n"
        f"Nats-Msg-Id: {command_id}\r\n"
        f"Nats-Expected-Stream: {subjects.COMMANDS_STREAM}\r\n"
        "X@Y: 1\r\n"
        "a/b: 2\r\n"
        "Custom: kept\r\n"
        "\r\n"
    ).encode()

    await publish_bytes(system.nats_url, subjects.COMMAND_DEPLOY, block, b"{")

    event = await commander.outcome(command_id)
    assert event["data"]["problem"]["code"] == "invalid_request"
    letter = await put_aside(connection, before)
    assert letter.subject == DEPLOYS
    assert letter.headers
    assert {*letter.headers} == {"Nats-Msg-Id", "Custom", headers.DEAD_REASON}
    await the_worker_goes_on(system, caller, commander)


def test_of_headers_that_nats_server_reads_a_letter_brings_its_id_alone():
    told = (
        "Nats-Expected-Last-Sequence",
        "Nats-Batch-Id",
        "Nats-TTL",
        "Nats-Rollup",
        "Nats-Schedule",
        "nats-x",
    )
    assert portable({**dict.fromkeys(told, "1"), "Nats-Msg-Id": "1", "Natsy": "1"}) == {
        "Nats-Msg-Id": "1",
        "Natsy": "1",
    }
