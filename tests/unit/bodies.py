"""The smallest valid bodies, and what the contract makes of a body."""

import json

import pytest

from contracts.parsing import parse
from contracts.problems import ProblemError

ID = "0197f3a2-7c1e-7b54-9d0a-3f6a1f0c2b41"
DEPLOY = {"entity_id": ID, "environment": "staging", "deployed_by": "alice"}
CREATE = {"name": "invoices", "type": "service", "version": "1.0"}
ROLLBACK = {"deployment_id": ID, "reason": "errors", "rolled_back_by": "bob"}
RETIRE = {"deployment_id": ID, "reason": "over", "retired_by": "bob"}


def refusal(model, body):
    with pytest.raises(ProblemError) as caught:
        parse(model, body if isinstance(body, bytes) else json.dumps(body).encode())
    return caught.value


def faulty(model, body):
    """The fields that an ``invalid_request`` names."""
    problem = refusal(model, body)
    assert problem.code == "invalid_request"
    assert all(fault["message"] for fault in problem.extensions["errors"])
    return {fault["field"] for fault in problem.extensions["errors"]}


def outcome(model, body):
    """The request, or the fields that an ``invalid_request`` names."""
    try:
        return parse(model, body), set()
    except ProblemError:
        return None, faulty(model, body)


def accepted(model, body):
    return parse(model, json.dumps(body).encode())


def deploy_with(text):
    """A DeployRequest's bytes with a raw ``config_override``."""
    return json.dumps(DEPLOY)[:-1].encode() + b',"config_override":' + text.encode() + b"}"
