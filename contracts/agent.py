"""The agent: what a program imports to run whatever is active for it, and to swap without a pause.

::

    class Strategy:
        async def prepare(self, new: Configuration) -> None: ...   # load, connect, warm up, beside what runs
        async def activate(self, new: Configuration) -> None: ...  # swap
        async def release(self, old: Configuration) -> None: ...   # give back

    async with (
        await LibraryClient.connect(url) as client,
        Agent(client, "production", entity_id, "runner-1", Strategy()) as agent,
    ):
        await agent.wait()

An agent looks at two buckets and brings its place to what they show. One coroutine of a program is called
at a time, and always in this order:

1. What waits to be confirmed: ``prepare(new)``. If that raises, the deployment is refused with its message,
   then ``release(new)``; what runs is not touched. If it returns, the deployment is confirmed, under a key
   that makes it safe to ask again, for as long as it waits.
2. Only when the live state shows that it is active: ``activate(new)``, then ``release(old)``.
3. If it is decided otherwise (refused, too late, superseded, overtaken by a rollback): ``release(new)``, with
   a ``prepare`` that is under way cancelled first.
4. What is active and was not prepared (an instant environment, a rollback, a start): ``prepare(new)``,
   ``activate(new)``, ``release(old)``; nothing is confirmed. A ``prepare`` for something else that is under
   way is cancelled, its share released, and it is prepared again afterwards if it still waits.
5. Nothing is active: ``release(old)``. The bucket says so by a deletion. Where a key is missing without
   one, the bucket was lost or emptied: what runs goes on, and the library is asked; only if it says that
   nothing is active there, ``release(old)``.

A lower sequence never follows a higher one, the same one is applied once, and a deployment that went and
came back unnoticed stays as it is. What is active but cannot be run (its ``prepare`` or ``activate`` raises)
is reported ``unhealthy`` each time, and tried again after 0.25 s, then twice as long, up to 30 s; what ran
before stays as ``activate`` left it. ``activate`` is then called again without another ``prepare``; if the
deployment loses its place meanwhile, as after a rollback for its health, it is released. An error of
``release`` is logged, and what was to be released counts as released; so it does where that takes longer than
30 seconds, when it is cancelled.

NATS or the worker being away changes nothing of what runs; an agent goes on where it was when they are back.
After its own restart it begins at 4, with what is active, then 1, with what waits. Ending one (the end of
``async with``, or cancelling ``run``) cancels a ``prepare``, lets an ``activate`` or ``release`` finish,
releases what was prepared, and leaves what runs to the program. An agent's memory of sequences is its
process's: restart agents after the database was restored from a backup.
"""

from collections.abc import Callable, Mapping
from uuid import UUID

from contracts.client import LibraryClient
from contracts.deployments import AgentName
from contracts.environments import EnvironmentName
from contracts.hotswap.follower import Follower
from contracts.hotswap.program import Configuration, Health, Program, ReportsHealth

__all__ = ["Agent", "Configuration", "Fleet", "Health", "Program", "ReportsHealth"]

HEALTH_INTERVAL = 10.0
"""Seconds between two reports on a program that has ``health``."""


class Agent(Follower):
    """Brings one entity in one environment along: ``async with`` it, or ``run`` it.

    ``name`` is unique among the agents of the place, and the same after a restart. ``health_interval`` is in
    seconds and matters to a program that has ``health`` (see ``ReportsHealth``).
    """

    def __init__(
        self,
        client: LibraryClient,
        environment: EnvironmentName,
        entity_id: UUID,
        name: AgentName,
        program: Program,
        *,
        health_interval: float = HEALTH_INTERVAL,
    ) -> None:
        super().__init__(client, environment, name, health_interval=health_interval, entity_id=entity_id)
        self.entity_id = entity_id
        self._program = program

    @property
    def running(self) -> Configuration | None:
        """What ``activate`` was last done for and was not released; None for nothing."""
        place = self._places.get(self.entity_id)
        return place.order.running if place else None

    @property
    def error(self) -> str | None:
        """Why what is active could not be run at the last try; None while it runs, or is not tried yet."""
        place = self._places.get(self.entity_id)
        return place.order.error if place else None

    def _program_for(self, entity_id: UUID) -> Program | None:
        return self._program if entity_id == self.entity_id else None


class Fleet(Follower):
    """An agent for every entity of an environment that this process runs, all on two consumers.

    ``program_for`` is asked when an entity is first seen there, also one of which nothing is active any more,
    and again at each change while it gives None, which says that the entity is none of ours. ``name`` is that
    of each agent. An entity's program has its coroutines called one at a time; those of different entities
    are called side by side.
    """

    def __init__(
        self,
        client: LibraryClient,
        environment: EnvironmentName,
        name: AgentName,
        program_for: Callable[[UUID], Program | None],
        *,
        health_interval: float = HEALTH_INTERVAL,
    ) -> None:
        super().__init__(client, environment, name, health_interval=health_interval)
        self._programs = program_for

    @property
    def running(self) -> Mapping[UUID, Configuration]:
        """What runs now, by entity."""
        return {
            entity_id: place.order.running
            for entity_id, place in self._places.items()
            if place.order.running is not None
        }

    def _program_for(self, entity_id: UUID) -> Program | None:
        return self._programs(entity_id)
