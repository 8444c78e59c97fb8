"""Three nats-servers as one, each a process of this machine, with streams of three replicas."""

import asyncio
import contextlib
import json
import os
import subprocess
from pathlib import Path

import nats
from nats.errors import Error as NatsError

from contracts import subjects
from tests.faults.plant import Plant
from tests.system import System, eventually
from worker.embedded.nats_server import NatsServer
from worker.embedded.ports import free_port
from worker.embedded.processes import spawn

SERVERS = 3
_CONFIGURATION = Path(__file__).parents[2] / "deploy" / "nats-cluster.conf"


class Member(NatsServer):
    """One server of the cluster, on the configuration that compose.cluster.yaml uses."""

    def __init__(self, directory: Path, *, member: str, port: int, routes: list[int], output: int) -> None:
        directory.mkdir()
        super().__init__(directory, output=output)
        self.member = member
        self._folder = directory / "nats"
        self._routes = json.dumps([f"nats://127.0.0.1:{each}" for each in routes])
        self._cluster_port = port
        self._http_port = free_port()

    def prepare(self) -> None:
        """As its base; the configuration is another."""
        super().prepare()
        self.configuration = _CONFIGURATION

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start it, with what the configuration asks of the environment."""
        self.process = spawn(
            [self._program, "--config", str(self.configuration)],
            environment={
                **os.environ,
                "NATS_NAME": self.member,
                "NATS_LISTEN": json.dumps(f"127.0.0.1:{self.port}"),
                "NATS_HTTP": json.dumps(f"127.0.0.1:{self._http_port}"),
                "NATS_STORE": json.dumps(str(self._folder)),
                "NATS_CLUSTER": json.dumps(f"127.0.0.1:{self._cluster_port}"),
                "NATS_ROUTES": self._routes,
            },
            output=self._output,
            folder="/",
            death_signal=self.stop_signal,
        )
        return self.process


class Cluster:
    """What a system asks of its nats-server, of three."""

    def __init__(self, directory: Path, output: int) -> None:
        ports = [free_port() for _ in range(SERVERS)]
        self.members = [
            Member(directory / f"n{n}", member=f"n{n}", port=port, routes=ports, output=output)
            for n, port in enumerate(ports, 1)
        ]

    @property
    def url(self) -> str:
        """All addresses."""
        return ",".join(member.url for member in self.members)

    def start(self) -> None:
        """Start all, and wait for each: together, since none greets before it knows its streams."""
        for member in self.members:
            member.prepare()
            member.spawn()
        for member in self.members:
            eventually(member.is_ready, timeout=20)
        asyncio.run(self._elected())

    async def _elected(self) -> None:
        """Wait until JetStream has a leader and knows all its servers, so that streams can be made."""
        client = await nats.connect(self.url.split(","))
        try:
            while True:
                try:
                    await client.jetstream(timeout=1).add_stream(
                        name="elected", subjects=["elected"], num_replicas=SERVERS
                    )
                except NatsError:
                    await asyncio.sleep(0.1)
                else:
                    await client.jetstream().delete_stream("elected")
                    return
        finally:
            await client.close()

    def stop(self) -> None:
        """Stop all."""
        for member in self.members:
            member.stop()


class ClusterSystem(System):
    """A system on a cluster."""

    def __init__(self) -> None:
        super().__init__()
        self.nats = Cluster(self.directory, self._log)

    @property
    def environment(self) -> dict[str, str]:
        """With streams of three replicas."""
        return {**super().environment, "LIBRARY_REPLICAS": str(SERVERS)}


class ClusterPlant(Plant):
    """A plant on a cluster."""

    system: ClusterSystem

    def __init__(self) -> None:
        super().__init__(ClusterSystem())

    async def leader(self) -> Member:
        """The server that leads the stream of events, as soon as there is one."""
        client = await nats.connect(self.nats_url.split(","))
        jetstream = client.jetstream(timeout=1)
        try:
            while True:
                with contextlib.suppress(NatsError):
                    told = (await jetstream.stream_info(subjects.EVENTS_STREAM)).cluster
                    for member in self.system.nats.members:
                        if told and member.member == told.leader:
                            return member
                await asyncio.sleep(0.1)
        finally:
            await client.close()
