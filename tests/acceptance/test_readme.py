"""README.md says nothing that does not run.

A block's fence says what becomes of it: ``sh`` and ``python`` are run in their order against one
``library up``; ``sh watch`` runs beside them until the end; of ``sh make`` each target is there.
"""

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
READY_SECONDS = 60


class Block(NamedTuple):
    kind: str
    code: str


BLOCKS = [
    Block(*found) for found in re.findall(r"^```(\w[\w ]*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
]
COMMANDS = [block for block in BLOCKS if block.kind != "sh make"]


class Product:
    """``library up`` on free ports, and the README's addresses turned into its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.errors = folder / "errors"
        options = ["--data-dir", str(folder / "state"), "--nats-port", "0", "--http-port", "0"]
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "worker", "up", *options],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert select.select([self.process.stdout], [], [], READY_SECONDS)[0], self.errors.read_text()
        found = re.match(r"ready nats=(nats://\S+) http=(http://\S+) ", self.process.stdout.readline())
        assert found, self.errors.read_text()
        self.nats_url, self.http_url = found.groups()
        scripts = str(Path(sys.executable).parent)
        self.environment = {
            **os.environ,
            "LIBRARY_NATS_URL": self.nats_url,
            "PATH": os.pathsep.join((scripts, os.environ["PATH"])),
        }

    def command(self, block: Block) -> list[str]:
        code = block.code.replace("nats://127.0.0.1:4222", self.nats_url)
        code = code.replace("http://127.0.0.1:8350", self.http_url)
        code = code.replace(".venv/bin/library", "library")
        if block.kind == "python":
            return [sys.executable, "-c", code]
        return ["bash", "-euo", "pipefail", "-c", code]

    def run(self, block: Block) -> str:
        done = subprocess.run(
            self.command(block),
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, f"{block.code}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def stop(self) -> None:
        self.process.terminate()
        self.process.communicate(timeout=30)


@pytest.fixture
def product() -> Iterator[Product]:
    folder = Path(tempfile.mkdtemp(prefix="library-test-"))
    folder.chmod(0o711)  # as root, PostgreSQL's account must pass it
    running = Product(folder)
    yield running
    running.stop()
    shutil.rmtree(folder, ignore_errors=True)


def test_its_blocks_run_in_their_order_and_the_watch_sees_it(product):
    told: list[str] = []
    watch: subprocess.Popen[str] | None = None
    for block in COMMANDS:
        if block.kind == "sh watch":
            watch = subprocess.Popen(
                ["bash", "-c", f"exec {product.command(block)[-1].strip()}"],
                cwd=ROOT,
                env=product.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            assert watch.stderr.readline().startswith("watching from")
        else:
            told.append(product.run(block))

    everything = "\n".join(told)
    assert re.search(r"^change: +replace /version \"1\.5\.0\"", everything, re.MULTILINE)
    assert re.search(r"^status: +rolled_back", everything, re.MULTILINE)
    assert re.search(r"^prices +1\.4\.0 +production +active", everything, re.MULTILINE)
    assert '"deployment_method":"api"' in everything
    assert "now {'tax': 0.19}\nthen {'tax': 0.21}\nand back {'tax': 0.19}\n" in everything
    assert "deployment_not_active - " in everything
    assert "prices 1.4.0 {'tax': 0.19}\n" in everything
    assert "library.deployment.completed.v1 1.5.0\n" in everything

    seen = [watch.stdout.readline() for _ in range(5)]
    watch.send_signal(signal.SIGINT)
    watch.communicate(timeout=20)
    names = [line.split()[2] for line in seen]
    assert names == ["completed", "superseded", "completed", "rolled_back", "reactivated"]
    assert watch.returncode == 0


def test_every_block_says_what_becomes_of_it():
    assert {block.kind for block in BLOCKS} == {"sh", "sh make", "sh watch", "python"}
    assert TEXT.count("\n```") == 2 * len(BLOCKS)


@pytest.mark.parametrize("target", re.findall(r"^make (\w+)", "".join(b.code for b in BLOCKS), re.MULTILINE))
def test_every_target_it_names_is_there_and_has_a_sentence(target):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:.* ## .+\.$", makefile, re.MULTILINE)
