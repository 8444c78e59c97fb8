"""The supervisor as a real process, with real programs as its children; what it logs is what we wait for."""

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.embedded.process_ledger import ProcessLedger, ProcessRecord
from worker.embedded.processes import birth_of

HOST = """
import json, sys
from pathlib import Path
from worker.embedded.process_ledger import ProcessLedger
from worker.embedded.processes import spawn
from worker.embedded.supervisor import ChildSpec, StopRequested, Supervisor

def say(line):
    sys.stdout.write(line + "\\n")
    sys.stdout.flush()

ledger = ProcessLedger(Path(sys.argv[1]))
for survivor in ledger.end_survivors(grace_s=0.3):
    say(f"survivor_ended name={survivor.name} pid={survivor.pid}")
with Supervisor(ledger=ledger, log=say) as supervisor:
    for name, program in json.loads(sys.argv[2]):
        command = [sys.executable, "-S", "-c", program]
        spec = ChildSpec(name=name, spawn=lambda c=command: spawn(c, output=1), stop_timeout_s=1.0)
        supervisor.start(spec)
    try:
        supervisor.watch()
    except StopRequested:
        say("stopping")
say("left")
"""
OBEDIENT = "import signal; print('READY', flush=True); signal.pause()"
STUBBORN = "import signal; signal.signal(15, signal.SIG_IGN); print('READY', flush=True); signal.pause()"
FAILING = "raise SystemExit(3)"


class Host:
    def __init__(self, ledger: Path, children: list[tuple[str, str]]):
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOST, str(ledger), json.dumps(children)],
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self.output = ""

    def wait_for(self, pattern: str, times: int = 1) -> re.Match[str]:
        """Reads on until the pattern has been printed so many times since the start; gives the last one."""
        give_up = time.monotonic() + 10
        while len(found := list(re.finditer(pattern, self.output))) < times:
            readable = select.select([self.process.stdout], [], [], give_up - time.monotonic())[0]
            piece = os.read(self.process.stdout.fileno(), 4096) if readable else b""
            assert piece, f"no {pattern!r} in {self.output}"
            self.output += piece.decode()
        return found[times - 1]

    def wait_for_start_of(self, name: str, times: int = 1) -> int:
        return int(self.wait_for(rf"child_started name={name} pid=(\d+)\n", times)[1])

    def leave(self) -> int:
        status = self.process.wait(10)
        self.wait_for("left\n")
        return status


@pytest.fixture
def run(tmp_path: Path) -> Iterator:
    hosts: list[Host] = []

    def start(*children: tuple[str, str]) -> Host:
        hosts.append(Host(tmp_path / "processes.json", list(children)))
        return hosts[-1]

    yield start
    for host in hosts:
        host.process.terminate()
        host.process.wait(10)
        host.process.stdout.close()
    ProcessLedger(tmp_path / "processes.json").end_survivors(grace_s=0.0)


def wait_until_gone(pid: int, birth: str | None) -> None:
    give_up = time.monotonic() + 5
    while birth_of(pid) == birth:
        assert time.monotonic() < give_up, f"process {pid} still runs"
        time.sleep(0.005)


def test_a_child_that_is_killed_is_started_again_within_a_second(run):
    host = run(("server", OBEDIENT))
    first = host.wait_for_start_of("server")
    killed_at = time.monotonic()
    os.kill(first, signal.SIGKILL)
    second = host.wait_for_start_of("server", times=2)
    assert time.monotonic() - killed_at < 1.0
    assert second != first


def test_the_other_children_stay_when_one_dies(run):
    host = run(("server", OBEDIENT), ("worker", OBEDIENT))
    server = host.wait_for_start_of("server")
    os.kill(host.wait_for_start_of("worker"), signal.SIGKILL)
    host.wait_for_start_of("worker", times=2)
    assert birth_of(server) is not None


def test_it_slows_down_only_after_five_early_deaths(run):
    host = run(("worker", FAILING))
    host.wait_for(r"child_died.*\n", times=5)
    delays = [int(found) for found in re.findall(r"restart_in_ms=(\d+)", host.output)]
    assert all(delay < 1000 for delay in delays[:4])
    assert delays[4] > 1000


def test_it_stops_at_once_while_a_child_waits_to_be_started_again(run):
    host = run(("worker", FAILING))
    host.wait_for(r"child_died.*\n", times=5)
    asked_at = time.monotonic()
    host.process.terminate()
    assert host.leave() == 0
    assert time.monotonic() - asked_at < 1.0


@pytest.mark.parametrize("stop_signal", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_ends_the_latest_child_first(run, stop_signal):
    host = run(("server", OBEDIENT), ("worker", OBEDIENT), ("gateway", OBEDIENT))
    host.wait_for("READY", times=3)
    host.process.send_signal(stop_signal)
    assert host.leave() == 0
    stopped = re.findall(r"child_stopped name=(\w+)", host.output)
    assert stopped == ["gateway", "worker", "server"]


def test_a_signal_to_the_whole_process_group_reaches_the_supervisor_alone(run):
    host = run(("server", OBEDIENT), ("worker", OBEDIENT))
    host.wait_for("READY", times=2)
    os.killpg(host.process.pid, signal.SIGINT)
    assert host.leave() == 0
    assert "child_died" not in host.output


def test_a_child_that_ignores_its_stop_signal_is_killed_and_the_next_one_still_stopped_in_peace(run):
    host = run(("server", OBEDIENT), ("worker", STUBBORN))
    host.wait_for("READY", times=2)
    host.process.terminate()
    assert host.leave() == 0
    ends = re.findall(r"(child_stopped|child_killed) name=(\w+)", host.output)
    assert ends == [("child_killed", "worker"), ("child_stopped", "server")]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux signals the children of a killed process")
def test_children_end_with_a_supervisor_that_is_killed(run):
    host = run(("server", OBEDIENT))
    pid = host.wait_for_start_of("server")
    birth = birth_of(pid)
    host.wait_for("READY")
    host.process.kill()
    wait_until_gone(pid, birth)


def test_what_survives_a_killed_supervisor_is_ended_by_the_next_one(run):
    host = run(("server", STUBBORN), ("worker", STUBBORN))
    server, worker = host.wait_for_start_of("server"), host.wait_for_start_of("worker")
    births = [birth_of(server), birth_of(worker)]
    host.wait_for("READY", times=2)
    host.process.kill()
    host.process.wait()
    assert [birth_of(server), birth_of(worker)] == births, "they survive, or this shows nothing"

    successor = run(("server", OBEDIENT))
    successor.wait_for_start_of("server")
    assert f"survivor_ended name=server pid={server}" in successor.output
    assert birth_of(server) != births[0]
    assert birth_of(worker) != births[1]


def test_a_process_that_got_the_pid_of_an_earlier_child_is_left_alone(tmp_path):
    ledger = ProcessLedger(tmp_path / "processes.json")
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as innocent:
        ledger.write(
            [
                ProcessRecord(
                    name="worker", pid=innocent.pid, birth="another boot/1", stop_signal=signal.SIGTERM
                )
            ]
        )
        assert ledger.end_survivors(grace_s=0.1) == []
        assert innocent.poll() is None
        innocent.kill()


@pytest.mark.parametrize("content", ["", "{", '[{"pid": 1}]', "[1]"])
def test_a_damaged_ledger_is_no_obstacle(tmp_path, content):
    path = tmp_path / "processes.json"
    path.write_text(content)
    assert ProcessLedger(path).end_survivors() == []


def test_a_process_that_has_ended_but_was_not_waited_for_counts_as_gone():
    child = subprocess.Popen(["true"])
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert birth_of(child.pid) is None
    child.wait()
