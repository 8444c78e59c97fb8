"""nats-server, its streams and its buckets."""

import asyncio
from collections.abc import AsyncIterator

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import StreamConfig
from nats.js.errors import NotFoundError

from contracts.limits import MIN_SERVER_PAYLOAD
from worker.entrypoints.doctor import durability
from worker.entrypoints.doctor.finding import Finding, fault, ok, warning
from worker.entrypoints.doctor.nats_user import User
from worker.messaging import rights, streams
from worker.settings import Settings

_OLDEST = (2, 12)
"""The first nats-server with atomic batches (NATS ADR-50)."""

_NEEDED = (
    "subjects",
    "retention",
    "storage",
    "discard",
    "max_msgs_per_subject",
    "allow_atomic",
    "allow_direct",
)
_WISHED = ("num_replicas", "max_age", "duplicate_window")
_MIGRATE = "Run library migrate."


async def look(
    settings: Settings, client: Client, user: User, monitoring: str | None
) -> AsyncIterator[Finding]:
    """Findings about the server that ``client`` is connected to, as far as ``user`` may ask."""
    yield _version(client)
    yield _payload(client)
    if user.may_publish(rights.JETSTREAM_INFO):
        account = await _account(client)
        yield account
        if account.verdict == "fault":
            return
    if settings.replicas == 1:  # of several servers, one that loses its power has it back from the others
        where = client.connected_url
        yield await asyncio.to_thread(
            durability.look, user.server, where.hostname if where else None, monitoring
        )
    for wanted in streams.configurations(
        max_age_days=settings.events_max_age_days, replicas=settings.replicas
    ):
        yield await _stream(client, wanted, user)


def _version(client: Client) -> Finding:
    version = client.connected_server_version
    says = f"version {version.major}.{version.minor}.{version.patch}"
    if (version.major, version.minor) < _OLDEST:
        return fault("nats-server", says, "Use nats-server 2.12 or newer: the relay needs atomic batches.")
    return ok("nats-server", says)


def _payload(client: Client) -> Finding:
    if client.max_payload < MIN_SERVER_PAYLOAD:
        return fault(
            "max_payload",
            f"messages of {client.max_payload:,} bytes at most, {MIN_SERVER_PAYLOAD:,} are needed",
            "Set max_payload: 8MB in the server's configuration.",
        )
    return ok("max_payload", f"{client.max_payload:,} bytes")


async def _account(client: Client) -> Finding:
    try:
        account = await client.jetstream().account_info()
    except (NatsError, TimeoutError):
        return fault("JetStream", "does not answer", "Set jetstream { store_dir: … } in the configuration.")
    return ok("JetStream", f"{account.streams} streams, {account.storage:,} bytes")


async def _stream(client: Client, wanted: StreamConfig, user: User) -> Finding:
    assert wanted.name is not None
    about = f"stream {wanted.name}"
    asking = rights.stream_info(wanted.name)
    if not user.may_publish(asking):
        return warning(about, "this user may not look at it", f"Allow it to publish on {asking}.")
    try:
        info = await client.jetstream().stream_info(wanted.name)
    except NotFoundError:
        return fault(about, "is not there", _MIGRATE)
    except (NatsError, TimeoutError):
        return fault(about, "does not answer", "See whether its servers run and have a leader.")
    if wrong := _differing(wanted, info.config, _NEEDED):
        return fault(about, wrong, f"{_MIGRATE} If it says so still, make the stream anew.")
    if other := _differing(wanted, info.config, _WISHED):
        return warning(about, other, "If that was not meant, change it with nats stream edit.")
    return ok(about, f"{info.state.messages:,} messages, {info.state.bytes:,} bytes")


def _differing(wanted: StreamConfig, there: StreamConfig, names: tuple[str, ...]) -> str:
    different = [
        f"{name} is {_shown(getattr(there, name))}, not {_shown(getattr(wanted, name))}"
        for name in names
        if getattr(wanted, name) not in (None, getattr(there, name))
    ]
    return "; ".join(different)


def _shown(value: object) -> str:
    return str(getattr(value, "value", value))
