"""Whoever sends durable commands and waits for what comes of them."""

import asyncio
import json
import re
from typing import Any
from uuid import uuid4

import nats
from nats.aio.client import Client

from contracts import subjects


class Commander:
    """Publishes commands and awaits the events that answer them."""

    def __init__(self, client: Client) -> None:
        self.jetstream = client.jetstream()
        self._outcomes: dict[str, dict[str, Any]] = {}

    async def start(self) -> "Commander":
        self._subscription = await self.jetstream.subscribe(
            subjects.EVENTS_WILDCARD, ordered_consumer=True, deliver_policy=nats.js.api.DeliverPolicy.NEW
        )
        return self

    async def send(self, subject: str, body: Any, command_id: str | None = None, **headers: str) -> str:
        command_id = command_id or str(uuid4())
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        await self.jetstream.publish(subject, data, headers={"Nats-Msg-Id": command_id, **named})
        return command_id

    async def outcome(self, command_id: str, patience: float = 30) -> dict[str, Any]:
        """The event that ends the command: what it came to."""
        while command_id not in self._outcomes:
            message = await self._subscription.next_msg(timeout=patience)
            event = json.loads(message.data)
            if event["type"].split(".")[2] in ("completed", "reactivated", "rejected"):
                assert event["correlationid"] not in self._outcomes, "a second outcome"
                self._outcomes[event["correlationid"]] = {**event, "on": message.subject}
        return self._outcomes[command_id]


def deploy_of(entity: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"entity_id": entity["entity_id"], "environment": "staging", "deployed_by": "commander", **fields}


async def dead(client: Client, stream: str = subjects.DEAD_STREAM) -> int:
    return (await client.jetstream().stream_info(stream)).state.messages


async def publish_bytes(url: str, subject: str, block: bytes, body: bytes) -> None:
    """Publish with these very header bytes, past what nats-py would write; surrogates are bytes, too."""
    port = int(re.findall(r":(\d+)", url)[-1])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await reader.readline()
    named = subject.encode(errors="surrogateescape")
    size = len(block), len(block) + len(body)
    writer.write(b'CONNECT {"verbose":false,"headers":true}\r\n')
    writer.write(b"HPUB %s %d %d\r\n" % (named, *size) + block + body + b"\r\nPING\r\n")
    assert await reader.readline() == b"PONG\r\n"
    writer.close()
