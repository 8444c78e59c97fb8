"""Faults of the whole: ``library up`` killed with all its children, and a disk without space."""

import asyncio
import contextlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil

from tests.faults.fault import Fault, Unavailable
from tests.faults.plant import Plant
from tests.faults.servers import repeatedly, restart
from tests.faults.workers import one_worker
from tests.system import System, eventually, free_port

_DISK_MEGABYTES = 400
_READY_WITHIN = 60.0


class UpPlant(Plant):
    """The product as ``library up`` runs it, on one data directory."""

    def __init__(self) -> None:  # no system of the tests
        self._directory = Path(tempfile.mkdtemp(prefix="library-test-"))
        self._directory.chmod(0o711)  # as root, PostgreSQL runs as another user
        self._ports = {"--nats-port": free_port(), "--http-port": free_port()}
        self._addresses: dict[str, str] = {}
        self._up: subprocess.Popen[str]

    @property
    def nats_url(self) -> str:
        """What it said."""
        return self._addresses["nats"]

    @property
    def database_url(self) -> str:
        """What it said."""
        return self._addresses["database"]

    async def start(self) -> None:
        """Start it, and wait for its line."""
        options = ["--data-dir", str(self._directory / "data")]
        for name, port in self._ports.items():
            options += [name, str(port)]
        self._up = self._spawn([sys.executable, "-m", "worker", "up", *options])
        assert self._up.stdout is not None
        line = await asyncio.wait_for(asyncio.to_thread(self._up.stdout.readline), _READY_WITHIN)
        assert line.startswith("ready "), f"library up said {line!r}"
        self._addresses = dict(word.split("=", 1) for word in line.split()[1:])

    async def kill(self) -> None:
        """kill -9 of all its processes, PostgreSQL's own among them, in any order."""
        family = psutil.Process(self._up.pid).children(recursive=True)
        random.shuffle(family)
        for process in (psutil.Process(self._up.pid), *family):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        await asyncio.to_thread(psutil.wait_procs, family, 10)
        self._close()

    async def stop(self) -> None:
        """Stop it and remove its files."""
        self._up.send_signal(signal.SIGTERM)
        self._close()
        shutil.rmtree(self._directory, ignore_errors=True)

    async def clear(self) -> None:
        """Nothing was arranged."""

    @staticmethod
    def _spawn(command: list[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def _close(self) -> None:
        self._up.wait(60)
        assert self._up.stdout is not None
        self._up.stdout.close()


class SmallDiskPlant(Plant):
    """A plant whose servers keep their files on a small disk of their own."""

    def __init__(self) -> None:
        system = System()
        self._disk = system.directory
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={_DISK_MEGABYTES}m,mode=711", "none", str(self._disk)],
            capture_output=True,
            text=True,
            check=False,
        )
        super().__init__(system)
        self._mounted = made.returncode == 0
        self._why = made.stderr.strip()

    async def start(self) -> None:
        """Start the servers there. Raises ``Unavailable`` where nothing can be mounted."""
        if not self._mounted:
            await self.stop()
            raise Unavailable(f"a small disk cannot be mounted here: {self._why}")
        await super().start()

    async def stop(self) -> None:
        """Stop everything, and give the disk back."""
        await super().stop()
        if self._mounted:
            self._unmount()

    def _unmount(self) -> None:
        subprocess.run(["umount", "--lazy", str(self._disk)], check=True)
        shutil.rmtree(self._disk)  # what was there before it was a disk

    def fill(self) -> None:
        """Leave no byte free."""
        with (self._disk / "ballast").open("wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(bytes(1 << 16))
            except OSError:
                return

    def empty(self) -> None:
        """Give the space back."""
        (self._disk / "ballast").unlink()


async def _nothing_to_arrange(plant: Plant) -> None:
    """It runs a worker of its own."""


async def _everything(plant: Plant) -> None:
    assert isinstance(plant, UpPlant)
    await plant.kill()
    await plant.start()


async def _full_disk(plant: Plant) -> None:
    """Fill the disk for a while; PostgreSQL may end itself over it, and is started again with space.

    So is nats-server, as the log of the relay advises: 2.15 may answer no more writes to a stream for which a
    batch met the full disk.
    """
    assert isinstance(plant, SmallDiskPlant)
    await asyncio.to_thread(plant.fill)
    await asyncio.sleep(random.uniform(1.0, 2.0))
    plant.empty()
    postgres = plant.system.postgres
    assert postgres.process is not None
    if postgres.process.poll() is not None:
        postgres.spawn()
    await asyncio.to_thread(eventually, postgres.is_ready, 30)
    await restart(plant.system.nats)


FAULTS = (
    Fault(
        "everything",
        "kill -9 of library up and all its processes, started again",
        repeatedly(_everything, 4.0),
        _nothing_to_arrange,
        UpPlant,
    ),
    Fault("disk", "the disk full, then not", repeatedly(_full_disk, 3.0), one_worker, SmallDiskPlant),
)
