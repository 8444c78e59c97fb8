"""The configuration that compose.yaml gives nats-server, on a real one."""

import json
import subprocess
import sysconfig
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nats
import pytest

from tests.system import eventually, free_port
from worker.messaging import streams

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "nats.conf"


class Server:
    """nats-server on the file, with addresses and a folder of this test's."""

    def __init__(self, folder: Path) -> None:
        self.port, self.http_port = free_port(), free_port()
        text = CONFIGURATION.read_text()
        for there, here in {
            '"0.0.0.0:4222"': f'"127.0.0.1:{self.port}"',
            '"0.0.0.0:8222"': f'"127.0.0.1:{self.http_port}"',
            '"/data"': json.dumps(str(folder)),
        }.items():
            assert text.count(there) == 1
            text = text.replace(there, here)
        (folder / "nats.conf").write_text(text)
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [Path(sysconfig.get_path("scripts")) / "nats-server", "--config", folder / "nats.conf"],
                stderr=log,
            )

    def get(self, path: str) -> dict[str, Any] | None:
        """What its monitoring says; None until it does."""
        assert self.process.poll() is None, self.log.read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=5) as answer:
                return json.load(answer)
        except OSError:
            return None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path)
    yield running
    running.process.terminate()
    running.process.wait(10)


def test_it_is_healthy_by_the_address_that_the_health_check_asks(server):
    assert eventually(lambda: server.get("/healthz?js-enabled-only=true")) == {"status": "ok"}


def test_it_keeps_what_it_acknowledged_and_lets_every_reply_through(server):
    figures = eventually(lambda: server.get("/varz"))
    assert figures["jetstream"]["config"]["sync_always"] is True
    assert figures["max_payload"] == 8 * 1024 * 1024


async def test_the_migration_makes_its_streams_there(server):
    eventually(lambda: server.get("/healthz"))
    connection = await nats.connect(f"nats://127.0.0.1:{server.port}")
    done = await streams.ensure(connection.jetstream(), max_age_days=1, replicas=1)
    await connection.close()
    names = [each.name for each in streams.configurations(max_age_days=1, replicas=1)]
    assert done == [f"stream {name} made" for name in names]
