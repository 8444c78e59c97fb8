"""The running products that faults strike: servers, and workers that are started again when they die."""

import asyncio
import signal
import threading
from collections.abc import Sequence
from contextlib import AsyncExitStack

from tests.faults.observed import Finding, Span
from tests.faults.proxy import Proxy
from tests.system import Process, System

OUR_PROGRAM = ("-m", "worker")
_READY = "worker_ready"
_STOPS_WITHIN = 30.0


class KeptWorker:
    """A worker and whoever comes after it: started again at once, as a supervisor would."""

    def __init__(self, environment: dict[str, str], program: Sequence[str] = OUR_PROGRAM) -> None:
        self._environment, self._program = environment, program
        self._wanted = True
        self.deaths = 0
        self.process = self._start()
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    def send(self, sent: signal.Signals) -> None:
        """Signal the present process."""
        self.process.popen.send_signal(sent)

    async def ready(self) -> None:
        """Wait until it takes requests."""
        await asyncio.to_thread(self.process.wait_for_line, _READY)

    def stop(self) -> None:
        """Let it drain, and start no other."""
        self._wanted = False
        self.send(signal.SIGTERM)
        self._keeper.join(_STOPS_WITHIN)
        if self._keeper.is_alive():
            self.send(signal.SIGKILL)
            self._keeper.join()

    def _start(self) -> Process:
        return Process("worker", self._environment, self._program)

    def _keep(self) -> None:
        while True:
            self.process.popen.wait()
            if not self._wanted:
                return
            self.deaths += 1
            self.process = self._start()


class Plant:
    """Servers of their own for one fault after the other, each with the workers that it asks for."""

    outages: Sequence[Span] = ()

    def __init__(self, system: System | None = None) -> None:
        self.system = system or System()
        self.workers: list[KeptWorker] = []
        self.resources = AsyncExitStack()
        self.proxy: Proxy

    @property
    def nats_url(self) -> str:
        """Where callers connect, past every proxy."""
        return self.system.nats_url

    @property
    def database_url(self) -> str:
        """Where the tables are, past every proxy."""
        return self.system.database_url

    async def start(self) -> None:
        """Start the servers."""
        await asyncio.to_thread(self.system.start_servers)

    async def stop(self) -> None:
        """Stop everything and remove its files."""
        await self.clear()
        await asyncio.to_thread(self.system.stop)

    async def differences(self) -> list[Finding]:
        """What the plant itself finds wrong once all has settled."""
        return []

    async def start_worker(self, program: Sequence[str] = OUR_PROGRAM, **settings: str) -> KeptWorker:
        """One more worker, ready, with further settings in its environment."""
        worker = KeptWorker({**self.system.environment, **settings}, program)
        self.workers.append(worker)
        await worker.ready()
        return worker

    async def clear(self) -> None:
        """Take away what was arranged for a fault."""
        stopped, self.workers = self.workers, []
        await asyncio.gather(*(asyncio.to_thread(worker.stop) for worker in stopped))
        await self.resources.aclose()
