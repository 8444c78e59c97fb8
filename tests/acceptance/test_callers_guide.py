"""docs/callers.md says nothing that does not run."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "callers.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
PACKAGES = ("@nats-io/transport-node@3", "typescript@5", "@types/node@20")
TYPES = Path(__file__).parents[2] / "docs" / "reference" / "library.d.ts"
COMPILE = [
    "node_modules/.bin/tsc",
    "--strict",
    "--module",
    "nodenext",
    "--target",
    "es2022",
    "--types",
    "node",
]


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
    assert {kind: len(blocks(kind)) for kind in ("python", "ts", "sh")} == {"python": 2, "ts": 1, "sh": 1}


def test_our_client_deploys_and_is_told_why_not(system, tmp_path):
    assert run(system, [sys.executable, "-"], blocks("python")[0], tmp_path) == (
        "active 2.0.0\nno_rollback_target\n"
    )


def test_plain_nats_in_python_deploys(system, tmp_path):
    assert run(system, [sys.executable, "-"], blocks("python")[1], tmp_path) == "active 2.0.0\n"


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A package of Node.js with what the page names, and the contract's types."""
    if shutil.which("npm") is None:
        pytest.skip("needs Node.js with npm")
    folder = tmp_path_factory.mktemp("service")
    (folder / "package.json").write_text('{"type": "module"}')
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", *PACKAGES]
    subprocess.run(install, cwd=folder, check=True, timeout=180, capture_output=True)
    shutil.copy(TYPES, folder)
    return folder


def compiled(package, name, code):
    (package / name).write_text(code)
    return subprocess.run(
        [*COMPILE, name], cwd=package, capture_output=True, text=True, timeout=120, check=False
    )


def test_plain_nats_in_typescript_deploys(system, package):
    (code,) = blocks("ts")
    done = compiled(package, "service.ts", code.replace("nats://127.0.0.1:4222", system.nats_url))
    assert done.returncode == 0, done.stdout

    assert run(system, ["node", "service.js"], "", package) == "active 2.0.0\n"


@pytest.mark.parametrize(
    "wrong",
    [
        'await ask("library.deploy.request", { entity_id: entity.entity_id, environment: "staging" });',
        'await ask("library.deploy.request", { entity_id: "", deployed_by: "", environment: "home" });',
        'await ask("library.deploy.undo", {});',
        "deployment.state;",
    ],
)
def test_the_types_refuse_what_the_worker_would(package, wrong):
    (code,) = blocks("ts")
    done = compiled(package, "wrong.ts", code + wrong)
    assert done.returncode != 0
    assert done.stdout.count("error TS") == 1


def test_http_creates(system, tmp_path):
    assert '"version":"2.0.0"' in run(system, ["bash", "-eu"], blocks("sh")[0], tmp_path)
