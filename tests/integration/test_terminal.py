"""What people see on a terminal, wide or narrow."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from uuid import uuid4

import pytest

from contracts import subjects

STYLE = re.compile(r"\x1b\[[\d;]*m")


def on_a_terminal(system, columns, *arguments, **environment):
    """What a command writes to standard output, a terminal of so many columns."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    given = {name: value for name, value in system.environment.items() if name not in ("COLUMNS", "NO_COLOR")}
    command = [sys.executable, "-m", "worker", *arguments]
    with subprocess.Popen(
        command, env={**given, "TERM": "xterm", **environment}, stdout=its, stderr=subprocess.DEVNULL
    ):
        os.close(its)
        said = b""
        try:
            while chunk := os.read(ours, 4096):
                said += chunk
        except OSError:  # Linux says so that the other side is closed
            pass
    os.close(ours)
    return said.decode().replace("\r\n", "\n")


@pytest.fixture
async def deployed(caller):
    entity = await caller.create(name=f"terminal-{uuid4()}")
    return [await caller.deploy(entity, "staging") for _ in range(2)]


async def test_a_table_that_fits_is_a_table_and_one_that_does_not_is_a_record_a_row(system, deployed):
    listing = ["list", "--entity", deployed[0]["entity_id"]]

    wide = on_a_terminal(system, 300, *listing, NO_COLOR="1")
    narrow = on_a_terminal(system, 70, *listing, NO_COLOR="1")

    lines = [line for line in wide.splitlines() if deployed[1]["deployment_id"] in line]
    assert len(lines) == 1
    assert deployed[1]["entity_name"] in lines[0]
    assert deployed[0]["deployment_id"] in narrow
    assert max(len(STYLE.sub("", line).rstrip()) for line in narrow.splitlines()) <= 70


async def test_there_are_colours_on_a_terminal_unless_they_are_not_wanted(system, deployed):
    shown = ["get", deployed[0]["deployment_id"]]

    assert "\x1b[1m" in on_a_terminal(system, 120, *shown)
    assert "\x1b[" not in on_a_terminal(system, 120, *shown, NO_COLOR="1", TERM="dumb")


async def test_a_page_of_nothing_has_its_headings(system, caller):
    entity = await caller.ask(
        subjects.ENTITY_CREATE, name=f"bare-{uuid4()}", type="model", version="1", created_by="tests"
    )
    assert on_a_terminal(system, 200, "list", "--entity", entity["entity_id"]).strip()
