"""The NATS service protocol (ADR-32): who is there, what can be asked, and how it goes."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg

from contracts import subjects
from contracts.endpoints import Endpoint
from worker.domain.figures import Outcomes

_TYPE = "io.nats.micro.v1.{}_response"


class Discovery:
    """Answers ``$SRV.PING``, ``$SRV.INFO`` and ``$SRV.STATS``, for all, by name and by id."""

    def __init__(
        self,
        *,
        identifier: str,
        version: str,
        endpoints: Iterable[Endpoint],
        outcomes: Mapping[str, Outcomes],
        reply_prefixes: tuple[str, ...],
    ) -> None:
        self._identity = {
            "name": subjects.SERVICE,
            "id": identifier,
            "version": version,
            "metadata": {},
        }
        self._endpoints = tuple(endpoints)
        self._outcomes = outcomes
        self._reply_prefixes = reply_prefixes
        self._started = datetime.now(UTC)

    async def start(self, connection: Client) -> None:
        """Subscribe on the worker's connection; its draining ends it."""
        answers = {"PING": self.ping, "INFO": self.info, "STATS": self.stats}
        for verb, answer in answers.items():

            async def reply(message: Msg, answer: Any = answer) -> None:
                if message.reply.startswith(self._reply_prefixes):  # else it might be a stream's subject
                    await message.respond(json.dumps(answer()).encode())

            root = f"$SRV.{verb}"
            named = f"{root}.{subjects.SERVICE}"
            for subject in (root, named, f"{named}.{self._identity['id']}"):
                await connection.subscribe(subject, cb=reply)

    def ping(self) -> dict[str, Any]:
        """The answer to a ping."""
        return {"type": _TYPE.format("ping"), **self._identity}

    def info(self) -> dict[str, Any]:
        """What can be asked."""
        return {
            "type": _TYPE.format("info"),
            **self._identity,
            "description": "Decides what runs where: deploys, supersedes and rolls back library entities.",
            "endpoints": [
                {**_address(endpoint), "metadata": {"description": endpoint.summary}}
                for endpoint in self._endpoints
            ],
        }

    def stats(self) -> dict[str, Any]:
        """How it goes."""
        return {
            "type": _TYPE.format("stats"),
            **self._identity,
            "started": self._started.isoformat().replace("+00:00", "Z"),
            "endpoints": [
                {**_address(endpoint), **_figures(self._outcomes[endpoint.subject])}
                for endpoint in self._endpoints
            ],
        }


def _address(endpoint: Endpoint) -> dict[str, Any]:
    return {"name": endpoint.name, "subject": endpoint.subject, "queue_group": subjects.QUEUE_GROUP}


def _figures(outcomes: Outcomes) -> dict[str, Any]:
    requests, nanoseconds = outcomes.requests, int(outcomes.durations.total * 1e9)
    return {
        "num_requests": requests,
        "num_errors": outcomes.errors,
        "last_error": outcomes.last_error,
        "processing_time": nanoseconds,
        "average_processing_time": nanoseconds // max(1, requests),
    }
