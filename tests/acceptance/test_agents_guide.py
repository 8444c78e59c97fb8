"""docs/agents.md says nothing that does not work: here an agent by plain NATS does what it says."""

import json
import re
from pathlib import Path

import nats
import pytest
from nats.js.api import ConsumerConfig, DeliverPolicy

from tests.acceptance.test_guides import said
from tests.conftest import Caller

PAGE = (Path(__file__).parents[2] / "docs" / "agents.md").read_text(encoding="utf-8")
SUBJECT = re.compile(r"^ {7}((?:\$KV\.)?library[\w.<>-]+)\n", re.MULTILINE)
AGENT, ENVIRONMENT = "runner-1", "testing"


def messages():
    """What the page shows, by subject."""
    return {
        found[1]: json.JSONDecoder().raw_decode(PAGE, PAGE.index("{", found.end()))[0]
        for found in SUBJECT.finditer(PAGE)
    }


def test_the_page_shows_every_message_of_an_agent():
    assert sorted(messages()) == [
        "$KV.library-active.<environment>.<entity_id>",
        "$KV.library-applied.<environment>.<entity_id>.<agent>",
        "$KV.library-pending.<environment>.<entity_id>",
        "library.deploy.confirm",
        "library.deploy.health",
    ]


@pytest.fixture
async def connection(own_system):
    own_system.start()
    client = await nats.connect(own_system.nats_url)
    yield client
    await client.close()


class Bucket:
    """A key of a bucket, read by an ordered consumer as the page has it."""

    def __init__(self, connection, name, entity):
        self.subject = f"$KV.library-{name}.{ENVIRONMENT}.{entity['entity_id']}"
        self._jetstream = connection.jetstream()

    async def __aenter__(self):
        self._messages = await self._jetstream.subscribe(
            self.subject,
            stream=self.subject.split(".")[1].join(("KV_", "")),
            ordered_consumer=True,
            config=ConsumerConfig(deliver_policy=DeliverPolicy.LAST_PER_SUBJECT),
        )
        return self

    async def __aexit__(self, *_):
        await self._messages.unsubscribe()

    async def value(self):
        message = await self._messages.next_msg(timeout=10)
        assert message.subject == self.subject
        return json.loads(message.data)

    async def deletion(self):
        message = await self._messages.next_msg(timeout=10)
        return message.headers["KV-Operation"]


async def test_an_agent_by_plain_nats_does_what_the_page_says(own_system, connection, tmp_path):
    shown = messages()
    caller = Caller(connection)
    entity = await caller.create()
    await caller.ask(
        "library.environment.set", environment=ENVIRONMENT, activation="confirmed", updated_by="tests"
    )
    async with (
        Bucket(connection, "pending", entity) as pending,
        Bucket(connection, "active", entity) as active,
    ):
        deployment = await caller.ask(
            "library.deploy.request",
            entity_id=entity["entity_id"],
            environment=ENVIRONMENT,
            deployed_by="tests",
        )
        waits = await pending.value()
        assert waits.keys() == shown["$KV.library-pending.<environment>.<entity_id>"].keys()

        word = {**shown["library.deploy.confirm"], "deployment_id": waits["deployment_id"]}
        confirmed = await caller.ask("library.deploy.confirm", **word)
        runs = await active.value()
        assert await pending.deletion() == "DEL"
        assert (confirmed["status"], word["agent"]) == ("active", AGENT)
        assert runs.keys() == shown["$KV.library-active.<environment>.<entity_id>"].keys()
        assert int(runs["sequence"]) > int(waits["sequence"])

        says = shown["$KV.library-applied.<environment>.<entity_id>.<agent>"]
        applied = {**says, "deployment_id": deployment["deployment_id"], "sequence": runs["sequence"]}
        key = f"$KV.library-applied.{ENVIRONMENT}.{entity['entity_id']}.{AGENT}"
        nothing = {**says, "deployment_id": None, "sequence": None}
        await connection.jetstream().publish(key, json.dumps(nothing).encode())
        behind = "library list --behind --environment …"
        assert f"`{behind}`" in PAGE
        command = behind.replace("…", ENVIRONMENT)
        assert AGENT in said(own_system, tmp_path, command)
        await connection.jetstream().publish(key, json.dumps(applied).encode())
        assert AGENT not in said(own_system, tmp_path, command)

        report = {**shown["library.deploy.health"], "deployment_id": deployment["deployment_id"]}
        healthy = await caller.ask("library.deploy.health", **report)
        assert healthy["health_checks"][-1]["details"] == report["details"]
