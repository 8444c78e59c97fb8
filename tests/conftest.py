"""Fixtures: one running product for the whole suite, and ways to talk to it."""

import json
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import nats
import pytest
from nats.aio.client import Client

from contracts import subjects
from tests.system import System

HEAVY = ("tests/faults/", "tests/benchmarks/")
"""What needs the machine for a while: none of it runs beside other of it."""
LIGHT = "tests/unit/"


def pytest_configure() -> None:
    """Let the product's processes, some hundreds, keep what they compile: it halves their start."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where processes share the tests (``make test``), a file's stay together, for they share servers."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "heavy" if nodeid.startswith(HEAVY) else nodeid.partition("::")[0]

    config.option.loadscopereorder = False  # their order is that of ``pytest_collection_modifyitems``
    return ByFile(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """There, what takes longest begins first and what is quick comes last; otherwise any order holds."""
    if hasattr(config, "workerinput"):
        items.sort(key=_stage)


def _stage(item: pytest.Item) -> int:
    if item.nodeid.startswith(HEAVY):
        return 0
    return 2 if item.nodeid.startswith(LIGHT) else 1


@pytest.fixture(scope="session")
def system() -> Iterator[System]:
    """The whole product, shared by all tests: they use entities of their own and leave the rest as it was."""
    product = System()
    try:
        yield product.start()
    finally:
        product.stop()


@pytest.fixture
def own_system() -> Iterator[System]:
    """Servers for one test alone, to be started and broken by it."""
    product = System()
    try:
        yield product
    finally:
        product.stop()


@pytest.fixture
async def connection(system: System) -> AsyncIterator[Client]:
    """A plain connection to the shared nats-server."""
    client = await nats.connect(system.nats_url)
    yield client
    await client.close()


class Refused(Exception):
    """A problem body, as an exception of the tests."""

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(problem["code"], problem["detail"])
        self.problem = problem

    @property
    def code(self) -> str:
        return self.problem["code"]


class Caller:
    """Requests over plain NATS, the way any program would send them."""

    def __init__(self, connection: Client) -> None:
        self.connection = connection

    async def raw(
        self, subject: str, body: bytes = b"", **headers: str
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """Body and headers of the reply to these very bytes."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        message = await self.connection.request(subject, body, timeout=10, headers=named or None)
        return json.loads(message.data), dict(message.headers or {})

    async def ask(self, subject: str, headers: dict[str, str] | None = None, **body: Any) -> dict[str, Any]:
        """The reply's body; raises ``Refused`` for a problem."""
        message = await self.connection.request(
            subject, json.dumps(body, default=str).encode(), timeout=10, headers=headers
        )
        answer = json.loads(message.data)
        if "Nats-Service-Error-Code" in (message.headers or {}):
            raise Refused(answer)
        return answer

    async def create(self, **fields: Any) -> dict[str, Any]:
        """A new entity with a name of its own."""
        values = {"name": f"entity-{uuid4()}", "type": "strategy", "version": "1.0.0", "config": {"a": 1}}
        return await self.ask(subjects.ENTITY_CREATE, **{**values, **fields})

    async def deploy(
        self, entity: dict[str, Any], environment: str = "staging", **fields: Any
    ) -> dict[str, Any]:
        """A deployment of the entity."""
        return await self.ask(
            subjects.DEPLOY_REQUEST,
            **{
                "entity_id": entity["entity_id"],
                "environment": environment,
                "deployed_by": "tests",
                **fields,
            },
        )

    async def rollback(self, deployment: dict[str, Any], **fields: Any) -> dict[str, Any]:
        """A rollback of the deployment."""
        return await self.ask(
            subjects.DEPLOY_ROLLBACK,
            **{
                "deployment_id": deployment["deployment_id"],
                "reason": "tests",
                "rolled_back_by": "tests",
                **fields,
            },
        )

    async def retire(self, deployment: dict[str, Any], **fields: Any) -> dict[str, Any]:
        """The end of the deployment."""
        return await self.ask(
            subjects.DEPLOY_RETIRE,
            **{
                "deployment_id": deployment["deployment_id"],
                "reason": "tests",
                "retired_by": "tests",
                **fields,
            },
        )

    async def get(self, deployment: dict[str, Any]) -> dict[str, Any]:
        """The deployment as it is now."""
        return await self.ask(subjects.DEPLOY_GET, deployment_id=deployment["deployment_id"])

    async def entity(self, entity: dict[str, Any]) -> dict[str, Any]:
        """The entity as it is now."""
        return await self.ask(subjects.ENTITY_GET, entity_id=entity["entity_id"])


@pytest.fixture
def caller(connection: Client) -> Caller:
    """A caller over plain NATS."""
    return Caller(connection)
