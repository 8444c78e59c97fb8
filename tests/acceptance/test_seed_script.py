"""The script that callers of the HTTP service before this one know, said with curl."""

import json
import shutil
import subprocess
from typing import Any
from uuid import uuid4

import pytest

from tests.system import System


class Curl:
    """curl against the gateway."""

    def __init__(self, base: str) -> None:
        self.base = base

    def __call__(self, *arguments: str, path: str) -> tuple[int, Any]:
        finished = subprocess.run(
            ["curl", "-sS", "-w", "\n%{http_code}", *arguments, self.base + path],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
        body, _, status = finished.stdout.rpartition("\n")
        return int(status), json.loads(body)

    def get(self, path: str) -> Any:
        status, body = self(path=path)
        assert status == 200, body
        return body

    def post(self, path: str, **fields: Any) -> tuple[int, Any]:
        return self("-X", "POST", "-H", "Content-Type: application/json", "-d", json.dumps(fields), path=path)


@pytest.fixture
def curl(system: System) -> Curl:
    if shutil.which("curl") is None:
        pytest.skip("this machine has no curl")
    return Curl(system.http_url)


def test_the_script_of_the_service_before_runs_with_curl(curl: Curl):
    assert "nats" in curl.get("/health/detailed")
    assert isinstance(curl.get("/api/v1/entities")["total"], int)

    status, entity = curl.post("/api/v1/entities", name=f"seed-{uuid4()}", type="strategy", version="1.0.0")
    assert status == 201
    deploy = {"entity_id": entity["entity_id"], "environment": "staging", "deployed_by": "seed"}

    status, first = curl.post("/api/v1/deployments", **deploy)
    assert (status, first["status"], first["deployment_method"]) == (201, "active", "api")
    listed = curl.get(f"/api/v1/deployments?entity_id={entity['entity_id']}")
    assert [each["deployment_id"] for each in listed["deployments"]] == [first["deployment_id"]]
    active = curl.get(f"/api/v1/deployments?entity_id={entity['entity_id']}&status=active")
    assert active["total"] == 1
    assert curl.get(f"/api/v1/entities/{entity['entity_id']}")["status"] == "deployed"

    rollback = {"reason": "it misbehaves", "rolled_back_by": "seed"}
    status, problem = curl.post(f"/api/v1/deployments/{first['deployment_id']}/rollback", **rollback)
    assert (status, problem["code"]) == (400, "no_rollback_target")

    status, second = curl.post("/api/v1/deployments", **deploy)
    assert status == 201
    status, rolled_back = curl.post(f"/api/v1/deployments/{second['deployment_id']}/rollback", **rollback)
    assert (status, rolled_back["status"]) == (200, "rolled_back")
    assert curl.get(f"/api/v1/deployments/{first['deployment_id']}")["status"] == "active"
    for path in (
        f"/api/v1/entities/{entity['entity_id']}/deployments",
        f"/api/v1/deployments/entity/{entity['entity_id']}/deployments",
    ):
        assert curl.get(path)["total"] == 2
