"""The NATS service protocol (ADR-32): who is there, what can be asked, and how it goes."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg

from contracts import subjects
from contracts.endpoints import Endpoint

_TYPE = "io.nats.micro.v1.{}_response"


@dataclass(slots=True)
class Counters:
    """What an endpoint has seen since the worker's start; times in nanoseconds."""

    requests: int = 0
    errors: int = 0
    processing_time: int = 0
    last_error: str = ""

    def count(self, nanoseconds: int, error: str | None) -> None:
        """Count a request that was answered, with the problem's code if it was refused."""
        self.requests += 1
        self.processing_time += nanoseconds
        if error is not None:
            self.errors += 1
            self.last_error = error


class Discovery:
    """Answers ``$SRV.PING``, ``$SRV.INFO`` and ``$SRV.STATS``, for all, by name and by id."""

    def __init__(
        self,
        *,
        identifier: str,
        version: str,
        endpoints: Iterable[Endpoint],
        counters: Mapping[str, Counters],
    ) -> None:
        self._identity = {
            "name": subjects.SERVICE,
            "id": identifier,
            "version": version,
            "metadata": {},
        }
        self._endpoints = tuple(endpoints)
        self._counters = counters
        self._started = datetime.now(UTC)

    async def start(self, connection: Client) -> None:
        """Subscribe on the worker's connection; its draining ends it."""
        answers = {"PING": self.ping, "INFO": self.info, "STATS": self.stats}
        for verb, answer in answers.items():

            async def reply(message: Msg, answer: Any = answer) -> None:
                if message.reply:
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
                {**_address(endpoint), **_figures(self._counters[endpoint.subject])}
                for endpoint in self._endpoints
            ],
        }


def _address(endpoint: Endpoint) -> dict[str, Any]:
    return {"name": endpoint.name, "subject": endpoint.subject, "queue_group": subjects.QUEUE_GROUP}


def _figures(counters: Counters) -> dict[str, Any]:
    return {
        "num_requests": counters.requests,
        "num_errors": counters.errors,
        "last_error": counters.last_error,
        "processing_time": counters.processing_time,
        "average_processing_time": counters.processing_time // max(1, counters.requests),
    }
