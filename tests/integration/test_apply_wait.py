"""``library apply --wait`` where agents confirm: what is decided, in which order, and how it ends."""

import asyncio
import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from contracts import subjects
from contracts.client import LibraryClient
from tests.parity.transports import OverNats
from tests.upkeep import library_beside

APPLY = [sys.executable, "-m", "worker", "apply"]


@pytest.fixture(autouse=True)
def confirmed(system):
    """Testing and staging are environments where agents confirm; they are put back."""
    over_nats = OverNats(system)
    before = over_nats.ask(subjects.ENVIRONMENT_LIST)["environments"]
    for environment in ("testing", "staging"):
        over_nats.ask(subjects.ENVIRONMENT_SET, environment=environment, activation="confirmed")
    yield
    for each in before:
        over_nats.ask(subjects.ENVIRONMENT_SET, **each)


@pytest.fixture
def manifest(tmp_path):
    """A file with two entities, one depending on the other, in two environments and one instant one."""
    mark = uuid4().hex[:8]
    path = tmp_path / "shop.yaml"
    path.write_text(f"""
entities:
  - {{name: shop-{mark}, type: strategy, version: "1", dependencies: [{{name: base-{mark}}}]}}
  - {{name: base-{mark}, type: model, version: "1"}}
deployments:
  - {{entity: base-{mark}, environment: testing}}
  - {{entity: shop-{mark}, environment: testing}}
  - {{entity: base-{mark}, environment: staging}}
  - {{entity: base-{mark}, environment: production}}
""")
    return path, mark


@asynccontextmanager
async def agents(connection, mark, **outcomes):
    """Agents of the entities with this mark; gives what they were asked to run, in that order.

    They confirm it, or say of ``base_staging`` and the like what ``outcomes`` say, ``None`` for nothing.
    """
    asked = []
    client = LibraryClient(connection)

    async def answer(events):
        async for _, event in events:
            deployment = event.data.deployment
            if not event.type.endswith(".started.v1") or not deployment.entity_name.endswith(mark):
                continue
            place = f"{deployment.entity_name.partition('-')[0]}_{deployment.environment}"
            asked.append(place)
            outcome = outcomes.get(place, "active")
            if outcome:
                error = {"error": "the port is in use"} if outcome == "failed" else {}
                identity = deployment.deployment_id
                await client.confirm(deployment_id=identity, agent="one", outcome=outcome, **error)

    async with client.watch() as events:
        task = asyncio.create_task(answer(events))
        try:
            yield asked
        finally:
            task.cancel()


async def active(caller, mark):
    """Where something of the entities with this mark is active."""
    found = []
    for environment in ("testing", "staging", "production"):
        listed = await caller.ask(
            subjects.DEPLOY_LIST, environment=environment, status="active", page_size=100
        )
        found += [
            f"{each['entity_name'].partition('-')[0]}_{environment}"
            for each in listed["deployments"]
            if each["entity_name"].endswith(mark)
        ]
    return found


async def test_each_is_decided_before_what_builds_upon_it(system, connection, caller, manifest):
    path, mark = manifest
    async with agents(connection, mark) as asked:
        done = await library_beside(system, "apply", "-f", path, "--wait", "--json")

    assert (done.returncode, done.stderr) == (0, "")
    assert asked == ["base_testing", "shop_testing", "base_staging"]
    said = json.loads(done.stdout)
    assert said["changed"] == 6
    assert {(each["environment"], each["status"]) for each in said["outcomes"]} == {
        ("testing", "active"),
        ("staging", "active"),
    }
    again = await library_beside(system, "apply", "-f", path, "--wait", "--json")
    assert (again.returncode, json.loads(again.stdout)["changed"]) == (0, 0)


async def test_a_failure_is_status_1_and_what_comes_after_it_is_not_done(
    system, connection, caller, manifest
):
    path, mark = manifest
    async with agents(connection, mark, base_staging="failed"):
        done = await library_beside(system, "apply", "-f", path, "--wait")

    assert done.returncode == 1
    assert f"failed: base-{mark} in staging: the port is in use\n" in done.stderr
    assert "not done: 1 further steps; applying again goes on from here\n" in done.stderr
    assert f"= shop-{mark} in testing is active\n" in done.stdout
    assert "production" not in done.stdout
    assert sorted(await active(caller, mark)) == ["base_testing", "shop_testing"]

    async with agents(connection, mark) as asked:
        assert (await library_beside(system, "apply", "-f", path, "--wait")).returncode == 0
    assert asked == ["base_staging"]
    assert "base_production" in await active(caller, mark)


async def test_what_is_not_decided_in_time_holds_up_the_rest_and_is_waited_for_again(
    system, connection, caller, manifest
):
    path, mark = manifest
    async with agents(connection, mark, base_staging=None):
        done = await library_beside(system, "apply", "-f", path, "--wait", "--timeout", "2", "--json")

    assert done.returncode == 1
    said = json.loads(done.stdout)
    assert [each["status"] for each in said["outcomes"]] == ["active", "active", "deploying"]
    assert (said["changed"], said["deployed"]) == (5, 3)
    assert f"not decided yet: base-{mark} in staging is deploying; library get" in done.stderr

    waiting = asyncio.create_task(library_beside(system, "apply", "-f", path, "--wait"))
    base = (await caller.ask(subjects.ENTITY_LIST, name=f"base-{mark}"))["entities"][0]["entity_id"]
    (left,) = (await caller.ask(subjects.DEPLOY_LIST, status="deploying", entity_id=base))["deployments"]
    await caller.ask(
        subjects.DEPLOY_CONFIRM, deployment_id=left["deployment_id"], agent="one", outcome="active"
    )

    assert (await waiting).returncode == 0
    assert "base_production" in await active(caller, mark)


async def test_if_all_was_done_and_only_the_word_is_missing_it_is_status_0_with_a_note(
    system, connection, manifest
):
    path, mark = manifest
    path.write_text(path.read_text().replace(f"  - {{entity: base-{mark}, environment: production}}\n", ""))
    async with agents(connection, mark, base_staging=None):
        done = await library_beside(system, "apply", "-f", path, "--wait", "--timeout", "2")

    assert done.returncode == 0
    assert done.stderr.splitlines()[-1].startswith(f"not decided yet: base-{mark} in staging is deploying")


async def test_without_wait_nothing_is_waited_for(system, connection, manifest):
    path, _ = manifest
    path.write_text("\n".join(line for line in path.read_text().splitlines() if "shop-" not in line))

    done = await library_beside(system, "apply", "-f", path, "--json")

    assert done.returncode == 0
    assert "outcomes" not in json.loads(done.stdout)


def on_two_terminals(system, *arguments):
    """What ``library apply`` writes to standard output and to standard error, each a terminal."""
    pairs = [pty.openpty(), pty.openpty()]
    for _, its in pairs:
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    environment = {**system.environment, "TERM": "xterm"}
    with subprocess.Popen(
        [*APPLY, *map(str, arguments)], env=environment, stdout=pairs[0][1], stderr=pairs[1][1]
    ):
        for _, its in pairs:
            os.close(its)
        with ThreadPoolExecutor(2) as readers:
            return list(readers.map(read_all, [ours for ours, _ in pairs]))


def read_all(terminal):
    said = b""
    try:
        while chunk := os.read(terminal, 4096):
            said += chunk
    except OSError:  # Linux says so that the other side is closed
        pass
    os.close(terminal)
    return said.decode()


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["person", "program"])
async def test_a_terminal_shows_how_far_it_is_on_standard_error_unless_json_is_wanted(
    system, connection, manifest, options
):
    path, mark = manifest
    async with agents(connection, mark, base_staging=None):
        out, err = await asyncio.to_thread(
            on_two_terminals, system, "-f", path, "--wait", "--timeout", "3", *options
        )

    assert (f"Waiting for base-{mark} in staging" in err) == (options == [])
    assert "Waiting" not in out
    assert "5/6" in err or options
    assert "\x1b[?25l" not in err or err.count("\x1b[?25l") == err.count("\x1b[?25h"), "the cursor is back"


def test_what_is_quick_shows_no_progress(system, tmp_path):
    path = tmp_path / "nothing.yaml"
    path.write_text("entities: []\n")

    _, err = on_two_terminals(system, "-f", path, "--wait")

    assert err == "0 unchanged\r\n"
