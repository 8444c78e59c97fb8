"""``library dead``: from the shell, on the running product."""

import json
import subprocess
import sys
from typing import Any
from uuid import uuid4

from nats.aio.client import Client

from contracts import subjects
from tests.conftest import Caller
from tests.system import System, eventually


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
