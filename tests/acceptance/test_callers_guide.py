"""docs/callers.md says nothing that does not run."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "callers.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
PACKAGE = "@nats-io/transport-node"


def blocks(kind):
    return [code for each, code in BLOCKS if each == kind]


def run(system, command, code, folder):
    addressed = code.replace("nats://127.0.0.1:4222", system.nats_url).replace(
        "http://127.0.0.1:8350", system.http_url
    )
    done = subprocess.run(
        command, input=addressed, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page_has_what_is_run_here():
    assert {kind: len(blocks(kind)) for kind in ("python", "js", "sh")} == {"python": 2, "js": 1, "sh": 1}


def test_our_client_deploys_and_is_told_why_not(system, tmp_path):
    assert run(system, [sys.executable, "-"], blocks("python")[0], tmp_path) == (
        "active 2.0.0\nno_rollback_target\n"
    )


def test_plain_nats_in_python_deploys(system, tmp_path):
    assert run(system, [sys.executable, "-"], blocks("python")[1], tmp_path) == "active 2.0.0\n"


@pytest.mark.skipif(shutil.which("npm") is None, reason="needs Node.js with npm")
def test_plain_nats_in_javascript_deploys(system, tmp_path):
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", tmp_path, PACKAGE]
    subprocess.run(install, check=True, timeout=120, capture_output=True)

    said = run(system, ["node", "--input-type=module", "-"], blocks("js")[0], tmp_path)

    assert said == "active 2.0.0\n"


def test_http_creates(system, tmp_path):
    assert '"version":"2.0.0"' in run(system, ["bash", "-eu"], blocks("sh")[0], tmp_path)
