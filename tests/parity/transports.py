"""Three ways to say the same: plain NATS, HTTP, the command line. Each gives a body or raises ``Refused``."""

import asyncio
import json
import subprocess
import sys
from typing import Any, Protocol
from uuid import UUID

import httpx
import nats

from contracts import subjects
from contracts.endpoints import BY_SUBJECT
from tests.conftest import Refused
from tests.system import System

Body = dict[str, Any]


class Transport(Protocol):
    """A way to the product."""

    default_method: str

    def ask(self, subject: str, **fields: Any) -> Body:
        """The reply to a request; raises ``Refused``."""


class OverNats:
    """A connection a request: slow, and nothing is shared between requests."""

    default_method = "nats"

    def __init__(self, system: System) -> None:
        self._url = system.nats_url

    def ask(self, subject: str, **fields: Any) -> Body:
        return asyncio.run(self._ask(subject, json.dumps(fields).encode()))

    async def _ask(self, subject: str, body: bytes) -> Body:
        client = await nats.connect(self._url)
        try:
            reply = await client.request(subject, body, timeout=10)
        finally:
            await client.close()
        answer = json.loads(reply.data)
        if "Nats-Service-Error" in (reply.headers or {}):
            assert reply.headers["Nats-Service-Error"] == answer["code"]
            assert reply.headers["Nats-Service-Error-Code"] == str(answer["status"])
            raise Refused(answer)
        return answer


class OverHttp:
    """The first route of each endpoint."""

    default_method = "api"

    def __init__(self, system: System) -> None:
        self._client = httpx.Client(base_url=system.http_url, timeout=10)

    def ask(self, subject: str, **fields: Any) -> Body:
        route = BY_SUBJECT[subject].routes[0]
        in_path = {name: fields.pop(name) for name in list(fields) if f"{{{name}}}" in route.path}
        path = route.path.format(**in_path)
        if route.takes_body:
            response = self._client.request(route.method, path, json=fields)
        else:
            response = self._client.request(route.method, path, params=fields)
        answer = response.json()
        if response.status_code != route.status:
            assert response.headers["content-type"] == "application/problem+json"
            assert response.status_code == answer["status"]
            raise Refused(answer)
        return answer


class OverCommandLine:
    """A process a request, the way a shell script does it."""

    default_method = "nats"

    def __init__(self, system: System) -> None:
        self._environment = system.environment

    def ask(self, subject: str, **fields: Any) -> Body:
        arguments = _COMMANDS[subject](fields)
        finished = subprocess.run(
            [sys.executable, "-m", "worker", *arguments, "--json"],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        if finished.returncode == 1:
            assert finished.stdout == ""
            raise Refused(json.loads(finished.stderr))
        assert finished.returncode == 0, finished.stderr
        return json.loads(finished.stdout)


def _options(fields: Body, **names: str) -> list[str]:
    """Options for those fields that are there; documents as JSON, true as a flag."""
    words: list[str] = []
    for field, option in names.items():
        value = fields.get(field)
        if value is True:
            words.append(option)
        elif value not in (None, False):
            words += [option, json.dumps(value) if isinstance(value, dict) else str(value)]
    return words


def _entity_options(fields: Body) -> list[str]:
    words = _options(
        fields,
        type="--type",
        version="--version",
        config="--config",
        parameters="--parameters",
        status="--status",
        health_status="--health",
        expected_revision="--expected-revision",
        description="--description",
    )
    for dependency in fields.get("dependencies", ()):
        words += ["--depends", dependency["name"] + (dependency.get("version") or "")]
    return words


def _deploy(command: str, fields: Body) -> list[str]:
    words = [command, str(UUID(fields["entity_id"])), fields["environment"]]
    words += _options(
        fields,
        config_override="--config",
        parameters_override="--parameters",
        expected_version="--expected-version",
        reason="--reason",
        deployed_by="--by",
        wait="--wait",
        supersede_pending="--supersede-pending",
        override_quarantine="--override-quarantine",
    )
    return [*words, "--merge"] if fields.get("override_strategy") == "merge" else words


def _confirm(fields: Body) -> list[str]:
    words = ["confirm", fields["deployment_id"]]
    words += _options(fields, agent="--agent", error="--error", details="--details")
    return [*words, "--failed"] if fields["outcome"] == "failed" else words


def _environment_settings(fields: Body) -> list[str]:
    words = _options(
        fields,
        activation="--activation",
        confirm_timeout_s="--confirm-timeout",
        auto_rollback="--auto-rollback",
        unhealthy_after="--unhealthy-after",
        concurrency="--concurrency",
        updated_by="--by",
    )
    return [*words, "--no-auto-rollback"] if fields.get("auto_rollback") is False else words


_COMMANDS = {
    subjects.ENTITY_CREATE: lambda f: ["entity", "create", f["name"], *_entity_options(f)],
    subjects.ENTITY_UPDATE: lambda f: ["entity", "update", f["entity_id"], *_entity_options(f)],
    subjects.ENTITY_GET: lambda f: ["entity", "get", f["entity_id"]],
    subjects.ENTITY_LIST: lambda f: ["entity", "list", *_options(f, name="--name", type="--type")],
    subjects.ENTITY_DELETE: lambda f: ["entity", "delete", f["entity_id"], "--by", f["deleted_by"]],
    subjects.DEPLOY_REQUEST: lambda f: _deploy("deploy", f),
    subjects.DEPLOY_VALIDATE: lambda f: _deploy("validate", f),
    subjects.DEPLOY_ROLLBACK: lambda f: [
        "rollback",
        f["deployment_id"],
        *_options(f, reason="--reason", rolled_back_by="--by", target_deployment_id="--to"),
    ],
    subjects.DEPLOY_RETIRE: lambda f: [
        "retire",
        f["deployment_id"],
        *_options(f, reason="--reason", retired_by="--by", force="--force"),
    ],
    subjects.DEPLOY_GET: lambda f: ["get", f["deployment_id"]],
    subjects.DEPLOY_HISTORY: lambda f: ["history", f["deployment_id"]],
    subjects.DEPLOY_LIST: lambda f: [
        "list",
        *_options(f, entity_id="--entity", environment="--environment", status="--status"),
    ],
    subjects.DEPLOY_CONFIRM: _confirm,
    subjects.DEPLOY_HEALTH: lambda f: [
        "health",
        f["deployment_id"],
        f["status"],
        *_options(f, reported_by="--by", details="--details"),
    ],
    subjects.DEPLOY_AS_OF: lambda f: [
        "as-of",
        f["at"],
        *_options(f, entity_id="--entity", environment="--environment"),
    ],
    subjects.DEPLOY_CONVERGENCE: lambda f: ["list", "--behind", "--environment", f["environment"]],
    subjects.QUARANTINE_LIST: lambda f: [
        "quarantine",
        "list",
        *_options(f, entity_id="--entity", environment="--environment", status="--status"),
    ],
    subjects.QUARANTINE_LIFT: lambda f: [
        "quarantine",
        "lift",
        f["quarantine_id"],
        *_options(f, reason="--reason", lifted_by="--by"),
    ],
    subjects.ENVIRONMENT_LIST: lambda _: ["environment", "list"],
    subjects.ENVIRONMENT_SET: lambda f: ["environment", "set", f["environment"], *_environment_settings(f)],
}
