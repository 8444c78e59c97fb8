"""Three nats-servers as one, each a process of this machine, with streams of three replicas."""

import asyncio
import contextlib
from pathlib import Path

import nats
from nats.errors import Error as NatsError

from contracts import subjects
from tests.faults.plant import Plant
from tests.system import System, eventually
from worker.embedded.nats_server import NatsServer
from worker.embedded.ports import free_port

SERVERS = 3
_ROUTES = """
server_name: {name}
cluster {{
  name: library
  listen: "127.0.0.1:{port}"
  routes: [{routes}]
}}
"""


class Member(NatsServer):
    """One server of the cluster, with the configuration of ``library up`` and its routes."""

    def __init__(self, directory: Path, *, member: str, port: int, routes: list[int], output: int) -> None:
        directory.mkdir()
        super().__init__(directory, output=output)
        self.member = member
        addresses = ", ".join(f'"nats://127.0.0.1:{each}"' for each in routes)
        self._routes = _ROUTES.format(name=member, port=port, routes=addresses)

    def prepare(self) -> None:
        """As its base, and the routes."""
        super().prepare()
        with self.configuration.open("a") as configuration:
            configuration.write(self._routes)


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
