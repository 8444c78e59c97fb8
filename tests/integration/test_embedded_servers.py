import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import nats
import psycopg2
import pytest

from worker.embedded.accounts import Account, account_for, first_impassable
from worker.embedded.errors import EmbeddedServerError
from worker.embedded.nats_server import NatsServer
from worker.embedded.ports import free_port, require_free
from worker.embedded.postgres import PostgresServer
from worker.embedded.postgres_cluster import find_programs, require_passable

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="root runs PostgreSQL as another account")


@contextlib.contextmanager
def new_folder() -> Iterator[Path]:
    # Not tmp_path: its parents are closed to the account that PostgreSQL runs as under root.
    path = Path(tempfile.mkdtemp(prefix="library-test-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def folder() -> Iterator[Path]:
    with new_folder() as path:
        yield path


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with new_folder() as path, PostgresServer(path, output=subprocess.DEVNULL) as server:
        yield server


def query(url: str, statement: str) -> list[tuple]:
    with contextlib.closing(psycopg2.connect(url, connect_timeout=5)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []


def wait_until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.005)


def fault_of(act: Callable[[], object]) -> str:
    with pytest.raises(EmbeddedServerError) as caught:
        act()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# PostgreSQL


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("data_checksums", "on"),
        ("max_connections", "100"),
        ("listen_addresses", "127.0.0.1"),
        ("server_encoding", "UTF8"),
    ],
)
def test_postgres_runs_with_durable_settings(postgres, setting, value):
    assert query(postgres.url, f"SHOW {setting}") == [(value,)]


def test_the_role_may_create_databases_but_is_no_superuser(postgres):
    query(postgres.url, "CREATE DATABASE another")
    query(postgres.url, "DROP DATABASE another")
    assert query(postgres.url, "SELECT rolcreatedb, rolsuper FROM pg_roles WHERE rolname = current_user") == [
        (True, False)
    ]


def test_the_url_works_with_psql(postgres):
    psql = find_programs(postgres.data) / "psql"
    shown = subprocess.run(
        [psql, postgres.url, "-Atc", "SELECT 7"], capture_output=True, text=True, check=True
    )
    assert shown.stdout == "7\n"


@pytest.mark.parametrize("url_part", ["library:wrong@", "postgres@", "postgres:@", "library@"])
def test_postgres_lets_nobody_in_without_the_password(postgres, url_part):
    address = postgres.url.rpartition("@")[2]
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(f"postgresql://{url_part}{address}")


def test_only_the_owner_reads_the_password_and_the_data(postgres):
    password_file = postgres.data.parent / "postgres.json"
    assert stat.S_IMODE(password_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(postgres.data.stat().st_mode) == 0o700


def test_postgres_keeps_its_data_and_its_address(postgres):
    query(postgres.url, "DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT 42 AS answer")
    postgres.stop()
    try:
        with PostgresServer(postgres.data.parent, output=subprocess.DEVNULL) as second:
            assert second.url == postgres.url
            assert query(second.url, "SELECT answer FROM kept") == [(42,)]
    finally:
        postgres.start()


def test_a_killed_postgres_comes_back_at_once_beside_busy_sessions(postgres):
    address = postgres.url
    query(address, "DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT 42 AS answer")
    with contextlib.closing(psycopg2.connect(address)) as busy:
        busy.cursor().execute("SELECT pg_backend_pid()")
        postgres.process.kill()
        postgres.process.wait()
        killed_at = time.monotonic()
        postgres.spawn()
        assert time.monotonic() - killed_at < 1.0
        wait_until(postgres.is_ready)
    assert postgres.url == address
    assert query(address, "SELECT answer FROM kept") == [(42,)]


def test_a_pid_file_that_names_a_living_stranger_does_not_keep_postgres_from_starting(postgres):
    pid_file = postgres.data / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    postgres.process.kill()
    postgres.process.wait()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        postgres.start()
        assert query(postgres.url, "SELECT 1") == [(1,)]
        assert stranger.poll() is None
        stranger.kill()


def test_a_missing_database_is_created_again(postgres):
    query(postgres.url.removesuffix("/library") + "/postgres", "DROP DATABASE library")
    postgres.ensure_database()
    assert query(postgres.url, "SELECT current_database()") == [("library",)]


def test_what_an_interrupted_first_start_left_is_thrown_away(folder):
    draft = folder / "postgres.new"
    draft.mkdir()
    (draft / "PG_VERSION").write_text("18\n")
    with PostgresServer(folder, output=subprocess.DEVNULL) as server:
        assert query(server.url, "SELECT 1") == [(1,)]
    assert not draft.exists()


def test_a_deep_folder_with_odd_characters_will_do(folder):
    folder.chmod(0o711)
    deep = folder / ('it\'s a "deep" folder ' + "x" * 100) / ("y" * 100)
    with PostgresServer(deep, output=subprocess.DEVNULL) as server:
        assert " " not in server.url
        assert query(server.url, "SELECT 1") == [(1,)]


def test_a_lost_password_and_another_version_are_named(folder):
    (folder / "postgres").mkdir()
    (folder / "postgres" / "PG_VERSION").write_text("12\n")
    assert "made by PostgreSQL 12" in fault_of(PostgresServer(folder).prepare)
    (folder / "postgres" / "PG_VERSION").write_text("18\n")
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder / "postgres", nobody.pw_uid, nobody.pw_gid)
    assert "postgres.json" in fault_of(PostgresServer(folder).prepare)


@as_root
def test_under_root_only_the_data_folder_itself_is_widened(folder):
    data_dir = folder / "closed" / "data"
    data_dir.mkdir(parents=True)
    data_dir.chmod(0o700)
    data_dir.parent.chmod(0o700)
    folder.chmod(0o711)
    message = fault_of(PostgresServer(data_dir).prepare)
    assert f"chmod o+x '{data_dir.parent}'" in message
    assert stat.S_IMODE(data_dir.parent.stat().st_mode) == 0o700
    assert not (data_dir / "postgres").exists()

    data_dir.parent.chmod(0o711)
    with PostgresServer(data_dir, output=subprocess.DEVNULL):
        assert stat.S_IMODE(data_dir.stat().st_mode) == 0o701
        assert stat.S_IMODE(data_dir.parent.stat().st_mode) == 0o711


@as_root
def test_under_root_a_program_that_the_account_cannot_reach_is_named(folder):
    programs = folder / "venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "postgres").touch(mode=0o755)
    account = account_for(folder / "postgres")
    assert account is not None
    assert f"chmod o+rx '{folder}'" in fault_of(lambda: require_passable(folder, programs, account))


def test_an_account_passes_a_folder_by_the_one_class_of_users_that_it_is_in(folder):
    me = folder.stat()
    owner = Account(name="owner", uid=me.st_uid, gid=12345)
    stranger = Account(name="stranger", uid=12345, gid=12345)
    folder.chmod(0o611)
    assert first_impassable(folder / "postgres", owner) == folder.resolve()
    assert first_impassable(folder / "postgres", stranger) is None
    owner.grant(folder, os.X_OK)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o711


# nats-server


async def test_nats_server_has_durable_jetstream_and_bodies_of_8_mib(folder):
    with NatsServer(folder, output=subprocess.DEVNULL) as server:
        client = await nats.connect(server.url)
        assert client.max_payload == 8 * 1024 * 1024
        await client.jetstream().add_stream(name="KEPT", subjects=["kept"])
        await client.close()
    varz = varz_of(server)
    assert varz["jetstream"]["config"]["sync_always"] is True
    assert varz["jetstream"]["config"]["store_dir"].startswith(str(folder / "nats"))
    assert varz["host"] == "127.0.0.1"
    assert varz["max_payload"] == 8 * 1024 * 1024


def varz_of(server: NatsServer) -> dict:
    """What a nats-server on the same configuration says of it; ours has no monitoring port to ask."""
    monitored = free_port()
    twin = server.configuration.with_name("twin.conf")
    twin.write_text(f'include "./{server.configuration.name}"\nhttp: "127.0.0.1:{monitored}"\n')
    program = shutil.which("nats-server", path=Path(sys.executable).parent) or "nats-server"
    process = subprocess.Popen([program, "-c", twin], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: accepts(monitored))
        with urllib.request.urlopen(f"http://127.0.0.1:{monitored}/varz") as answer:
            return json.load(answer)
    finally:
        process.terminate()
        process.wait()


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_a_killed_nats_server_comes_back_on_its_address_with_what_it_acknowledged(folder):
    with NatsServer(folder, output=subprocess.DEVNULL) as server:
        address = server.url
        client = await nats.connect(address)
        await client.jetstream().add_stream(name="KEPT", subjects=["kept"])
        await client.jetstream().publish("kept", b"one")
        await client.close()
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        server.spawn()
        wait_until(server.is_ready)
        assert server.url == address
        client = await nats.connect(address)
        assert (await client.jetstream().stream_info("KEPT")).state.messages == 1
        await client.close()


def test_nats_server_takes_a_folder_with_odd_characters(folder):
    with NatsServer(folder / 'a "quoted" $HOME \\ folder', output=subprocess.DEVNULL) as server:
        assert server.is_ready()
        assert not server.url.endswith("/")


def test_a_port_that_is_taken_is_named(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = fault_of(NatsServer(folder, port=port).prepare)
    assert f"port {port}" in message
    assert "--nats-port" in message


def test_a_number_that_is_no_port_is_refused():
    assert "port 70000" in fault_of(lambda: require_free(70_000, owner="the gateway", option="--http-port"))


def test_a_server_that_ends_while_it_starts_is_an_error_and_no_wait(folder):
    server = NatsServer(folder, output=subprocess.DEVNULL)
    server.prepare()
    shutil.rmtree(folder / "nats")
    (folder / "nats").write_text("not a folder")
    server.prepare = lambda: None
    asked_at = time.monotonic()
    assert "ended during its start" in fault_of(server.start)
    assert time.monotonic() - asked_at < 5.0
