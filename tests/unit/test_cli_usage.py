"""How the commands explain themselves, and what they say to a mistake in their use."""

import pytest
from typer.testing import CliRunner

from worker.entrypoints.cli import app

CLIENT_COMMANDS = [
    "entity create",
    "entity get",
    "entity list",
    "entity update",
    "entity delete",
    "deploy",
    "rollback",
    "validate",
    "get",
    "list",
    "history",
    "as-of",
    "retire",
    "confirm",
    "health",
    "environment list",
    "environment set",
    "quarantine list",
    "quarantine lift",
    "status",
    "watch",
]
PROCESSES = ["up", "worker", "gateway", "migrate", "config"]


def run(*arguments: str, **environment: str):
    return CliRunner().invoke(app, list(arguments), env=environment)


@pytest.mark.parametrize("command", [*CLIENT_COMMANDS, *PROCESSES])
def test_every_command_explains_itself_with_an_example(command):
    result = run(*command.split(), "--help")
    assert result.exit_code == 0
    assert f"library {command}" in result.stdout.partition("Example")[2]


@pytest.mark.parametrize("command", CLIENT_COMMANDS)
def test_every_client_command_takes_the_common_options(command):
    listed = run(*command.split(), "--help").stdout
    assert all(option in listed for option in ("--nats-url", "--json", "--timeout"))


SOME_ID = "0197f3a1-52b0-7e0f-8c44-6f2d9e5b7a10"


@pytest.mark.parametrize(
    "arguments",
    [
        "bogus",
        "deploy",
        "deploy shop nowhere",
        "deploy shop staging --config [1]",
        "get shop",
        "retire shop --reason x",
        f"retire {SOME_ID}",
        f"rollback {SOME_ID}",
        "rollback shop --reason x",
        "rollback shop nowhere --reason x",
        f"rollback {SOME_ID} --reason x --to shop",
        "list --status sleeping",
        "list --page-size 101",
        "entity create shop --type service",
        "entity create shop --type service --version 1 --depends prices>>1",
        "environment set nowhere",
        "environment set staging --require-status asleep",
        "watch --from 0",
        "list --behind",
        "list --behind --entity shop",
        "list --behind --environment nowhere",
        "list --behind --environment staging --status active",
        "list --status active --environment staging --behind",
        "list --environment staging --cursor x --behind",
        "as-of",
        "as-of yesterday",
        "as-of 2026-01-31",
        "as-of 2026-01-31T12:00:00",
        "as-of 2026-13-31T12:00:00Z",
        "as-of 2026-01-31T12:00:00Z --environment nowhere",
        "confirm shop --agent shop-1",
        f"confirm {SOME_ID}",
        f"confirm {SOME_ID} --agent shop-1 --error broken",
        f"confirm {SOME_ID} --error broken --agent shop-1",
        f"confirm {SOME_ID} --agent shop-1 --details [1]",
        f"health {SOME_ID}",
        f"health {SOME_ID} splendid",
        f"health {SOME_ID} healthy --details {{",
        "quarantine list --status over",
        "quarantine lift shop --reason x",
        f"quarantine lift {SOME_ID}",
        "status --timeout 0",
        "status --nats-url nats://[",
        "up --nats-port 70000",
    ],
)
def test_a_mistake_in_usage_is_status_2_and_said_on_standard_error(arguments):
    result = run(*arguments.split())
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert "rror" in result.stderr
