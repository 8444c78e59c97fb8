"""The demo tells its story to the end, and leaves nothing behind."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
STORY = (
    r"All of it answers after \d",
    r"refused: The entity's status is draft; .*Dependency prices is not active in production\.",
    r"the shop's process \| shop: nothing is active in production",
    r'the shop\'s process \| shop: 2\.0\.0 with {"banner": "Hello", "replicas": 2}',
    r"change: +replace /version \"2\.1\.0\"",
    r'the shop\'s process \| shop: 2\.1\.0 with {"banner": "SALE!", "replicas": 4}',
    r"status: +rolled_back",
    r'the shop\'s process \| shop: 2\.0\.0 with {"banner": "Hello", "replicas": 2}',
    r"status: +active",
    r"the strategy's process \| momentum: runs 1\.0\.0",
    r"the strategy's process \| momentum: swapped to 1\.1\.0 .* during the swap, .* missed: 0\n",
    r"failed: The threshold must be between 0 and 1, and it is 97\.",
    r"the strategy's process \| momentum: (\d+) ticks expected, \1 handled, 0 missed over 1 swaps",
    r"handled with 1\.0\.0",
    r"handled with 1\.1\.0",
    r'201 {"entity_name": "newsletter", "version": "0\.3\.0", "status": "active"',
    r"completed +shop 2\.1\.0 +production .* Sale",
    r"rolled_back +shop 2\.1\.0 +production .* Prices are shown without tax",
    r"shop +2\.0\.0 +production +active",
    r"That was it",
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the demo keeps what it needs; as root, PostgreSQL's account must pass it."""
    path = Path(tempfile.mkdtemp(prefix="library-test-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def demo(folder: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "examples/demo.py"],
        cwd=ROOT,
        env={**os.environ, "DEMO_PACE": "0", "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    yield process
    if process.poll() is None:
        process.terminate()
    process.communicate(timeout=30)


def test_the_demo_tells_its_story_in_order_and_leaves_nothing_behind(demo, folder):
    told, _ = demo.communicate(timeout=120)
    assert demo.returncode == 0, told
    position = 0
    for part in STORY:
        found = re.compile(part).search(told, position)
        assert found, f"{part!r} is not told after:\n{told[:position]}\n--- but then:\n{told[position:]}"
        position = found.end()
    assert "\033" not in told
    assert list(folder.iterdir()) == []


def test_an_interrupted_demo_stops_what_it_started(demo, folder):
    for line in demo.stdout:
        if line.startswith("All of it answers"):
            break
    (ours,) = folder.iterdir()
    servers = _processes_naming(str(ours))
    demo.send_signal(signal.SIGINT)
    told, _ = demo.communicate(timeout=60)
    assert servers
    assert _processes_naming(str(ours)) == []
    assert "Traceback" not in told
    assert demo.returncode == 130
    assert list(folder.iterdir()) == []


def _processes_naming(text: str) -> list[str]:
    lines = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    return [line for line in lines if text in line]
