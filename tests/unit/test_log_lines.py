"""Lines of the log that are written at once."""

import json
import os
import pty
import subprocess
import sys
from datetime import UTC, datetime, timedelta

PROGRAM = r"""
from worker import logs

logs.configure({level!r})
lines = [{{"event": "deployment_completed", "entity": "pr\u00edces \ud800\n"}}, {{"event": "entity_updated"}}]
logs.info(lines)
logs._log.warning("last")
"""


def program(level="INFO"):
    return [sys.executable, "-c", PROGRAM.format(level=level)]


def test_each_is_a_json_object_a_line_whatever_is_in_it():
    run = subprocess.run(program(), capture_output=True, check=True)
    first, second, last = map(json.loads, run.stderr.splitlines())
    assert (first["event"], first["entity"]) == ("deployment_completed", "pr\u00edces \ud800\n")
    assert [line["level"] for line in (first, second, last)] == ["info", "info", "warning"]
    assert first.keys() - {"entity"} == last.keys()
    assert all(
        datetime.now(UTC) - datetime.fromisoformat(line["timestamp"]) < timedelta(minutes=1)
        for line in (first, second, last)
    )


def test_on_a_terminal_they_are_for_people():
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        subprocess.run(program(), stderr=theirs, stdout=subprocess.DEVNULL, check=True)
        os.close(theirs)
        text = terminal.read(100_000).decode()
    assert "deployment_completed" in text
    assert "entity_updated" in text
    assert '"event"' not in text
