# ruff: noqa: INP001, T201 - a script that tells its story on standard output
"""The library in a minute: a refusal, two deploys that a running program sees at once, a rollback, hot swaps.

It starts everything on free ports with a data folder of its own, and leaves nothing behind. ``DEMO_PACE=0``
leaves out the pauses, as does ``CI``; ``DEMO_PACE=2`` doubles them.
"""

import contextlib
import json
import os
import queue
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PACE = float(os.environ.get("DEMO_PACE") or (0 if os.environ.get("CI") else 1))
LIBRARY = (sys.executable, "-m", "worker")
SHOP, STRATEGY = "live_configuration.py", "strategy_runner.py"
BOLD, GREEN, CYAN = "1", "32", "36"
SEEN_SECONDS = 20
_THRESHOLD = '{"threshold": %s}'
_SUMMARY_LINES = 3
LEFT_OUT = ("id:", "type:", "health:", "revision:", "created:", "updated:", "deployed:", "method:", "confirm")
"""Lines of the answers that this story does without."""


def styled(text: str, style: str) -> str:
    """The text in a style of the terminal's, plain elsewhere."""
    return f"\033[{style}m{text}\033[0m" if sys.stdout.isatty() else text


def say(text: str) -> None:
    """Tell the viewer something, and leave time to read it."""
    print("", *(styled(line, BOLD) for line in textwrap.wrap(text, 100)), sep="\n", flush=True)
    time.sleep(PACE * (0.5 + len(text) / 70))


def run(*arguments: str, refused: bool = False) -> None:
    """Run ``library`` before the viewer's eyes, and fail where it ends otherwise than told."""
    print(styled(f"$ library {shlex.join(arguments)}", CYAN), flush=True)
    done = _library(*arguments)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith(LEFT_OUT)]
    print(*(f"    {line}" for line in lines), sep="\n", flush=True)
    if done.returncode != int(refused):
        raise SystemExit(f"`library {arguments[0]}` ended with exit status {done.returncode}")
    time.sleep(PACE * (0.5 + len(lines) / 4))


def found(*arguments: str) -> Any:
    """What a command gives as JSON, behind the scenes."""
    return json.loads(_library(*arguments, "--json").stdout)


def _library(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*LIBRARY, *arguments], capture_output=True, text=True, check=False)  # noqa: S603


@contextlib.contextmanager
def everything() -> Iterator[dict[str, str]]:
    """``library up``, and the addresses that it says, by ``nats``, ``http`` and ``database``."""
    folder = Path(tempfile.mkdtemp(prefix="library-demo-"))
    options = ("--data-dir", str(folder / "state"), "--nats-port", "0", "--http-port", "0")
    folder.chmod(0o711)  # root's PostgreSQL runs as another account
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*LIBRARY, "up", *options], stdout=subprocess.PIPE, stderr=log)  # noqa: S603
    try:
        assert process.stdout is not None
        ready, *addresses = process.stdout.readline().decode().split() or [""]
        if ready != "ready":
            last = (folder / "log").read_text(errors="replace").splitlines()[-1:]
            raise SystemExit(f"The demo cannot start. {' '.join(last)}")
        yield dict(address.split("=", 1) for address in addresses)
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def program(example: str, entity: str, environment: str) -> Iterator["queue.Queue[str]"]:
    """A process that runs with what is active there; the lines it prints, as they come."""
    lines: queue.Queue[str] = queue.Queue()
    script = str(Path(__file__).with_name(example))
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, script, entity, environment], stdout=subprocess.PIPE, text=True
    )

    def read() -> None:
        for line in process.stdout or ():
            lines.put(line.strip())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield lines
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()
        reader.join()


def seen(lines: "queue.Queue[str]", whose: str = "shop") -> None:
    """Show what the program printed next."""
    try:
        line = lines.get(timeout=SEEN_SECONDS)
    except queue.Empty:
        raise SystemExit(f"The program saw nothing within {SEEN_SECONDS} s.") from None
    print(styled(f"    the {whose}'s process | {line}", GREEN), flush=True)
    time.sleep(PACE * 2)


def over_http(url: str, body: dict[str, str]) -> None:
    """Deploy through the gateway."""
    print(styled(f"POST {url}  {json.dumps(body)}", CYAN), flush=True)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # it is on this very machine
    with direct.open(urllib.request.Request(url, json.dumps(body).encode())) as response:  # noqa: S310
        reply = json.load(response)
    summary = {name: reply[name] for name in ("entity_name", "version", "status", "deployment_method")}
    print(f"    {response.status} {json.dumps(summary)}", flush=True)
    time.sleep(PACE)


def story(http: str) -> None:
    """What happens, in order."""
    say("Three entities: prices; shop, which needs prices beside it and is a draft still; and newsletter.")
    run("entity", "create", "prices", "--type", "service", "--version", "1.4.0", "--config", '{"tax": 0.19}')
    shop = (
        "--config",
        '{"banner": "Hello", "replicas": 2}',
        "--depends",
        "prices>=1.2,<2",
        "--status",
        "draft",
    )
    run("entity", "create", "shop", "--type", "service", "--version", "2.0.0", *shop)
    run(
        "entity",
        "create",
        "newsletter",
        "--type",
        "service",
        "--version",
        "0.3.0",
        "--config",
        '{"weekly": true}',
    )

    say("A deploy that should not happen is refused, with every reason at once; nothing is changed.")
    run("deploy", "shop", "production", refused=True)

    say("The shop is validated, and prices go first. A process of the shop is up already and waits.")
    run("entity", "update", "shop", "--status", "validated")
    run("deploy", "prices", "production")
    with program(SHOP, "shop", "production") as lines:
        seen(lines)
        say("Now the shop. Its process watches one key in NATS; no restart, no polling.")
        run("deploy", "shop", "production", "--reason", "First release")
        seen(lines)

        say("A new version: first a look at what would change, then the deploy.")
        run(
            "entity", "update", "shop", "--version", "2.1.0", "--config", '{"banner": "SALE!", "replicas": 4}'
        )
        run("validate", "shop", "production")
        run("deploy", "shop", "production", "--reason", "Sale")
        seen(lines)

        say("Customers complain. One command, and what ran before runs again, exactly as it was.")
        second = found("list", "--entity", "shop", "--status", "active")["deployments"][0]["deployment_id"]
        run("rollback", "shop", "production", "--reason", "Prices are shown without tax")
        seen(lines)

    hot_swap()

    say("The newsletter over HTTP: the same requests, the same answers.")
    newsletter = found("entity", "get", "newsletter")["entity_id"]
    body = {"entity_id": newsletter, "environment": "production", "deployed_by": "carol"}
    over_http(f"{http}/api/v1/deployments", body)

    say("What happened to the second release, and what is where now.")
    run("history", second)
    run("list", "--environment", "production")


def hot_swap() -> None:
    """A program that must not pause, in an environment where it has the last word."""
    say(
        "A trading strategy handles a thousand ticks a second and must not miss one. In staging, from now "
        "on, a deployment counts when the program that runs it has confirmed it."
    )
    run("environment", "set", "staging", "--activation", "confirmed")
    run(
        "entity",
        "create",
        "momentum",
        "--type",
        "strategy",
        "--version",
        "1.0.0",
        "--config",
        _THRESHOLD % 0.98,
    )
    with program(STRATEGY, "momentum", "staging") as lines:
        run("deploy", "momentum", "staging", "--wait")
        seen(lines, "strategy")

        say("A new version: it is warmed up beside the old one, confirmed, and swapped in between two ticks.")
        run("entity", "update", "momentum", "--version", "1.1.0", "--config", _THRESHOLD % 0.97)
        run("deploy", "momentum", "staging", "--wait")
        seen(lines, "strategy")

        say("One that cannot run is refused by the program, and what runs is not touched.")
        run("entity", "update", "momentum", "--version", "1.2.0", "--config", _THRESHOLD % 97)
        run("deploy", "momentum", "staging", "--wait", refused=True)
    say("Its ticks, counted:")
    for _ in range(_SUMMARY_LINES):
        seen(lines, "strategy")


def main() -> None:
    """Start everything, tell the story, stop everything."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore
    began = time.monotonic()
    print("Starting nats-server, PostgreSQL, a worker and the HTTP gateway on this machine ...", flush=True)
    with everything() as addresses:
        print(f"All of it answers after {time.monotonic() - began:.1f} s.", flush=True)
        os.environ["LIBRARY_NATS_URL"] = addresses["nats"]
        story(addresses["http"])
        say("That was it; everything stops now, and nothing stays behind. Yours starts with: make up")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
