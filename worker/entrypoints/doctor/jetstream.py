"""nats-server, its streams and its buckets."""

from collections.abc import AsyncIterator

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import StreamConfig
from nats.js.errors import NotFoundError

from contracts.limits import MIN_SERVER_PAYLOAD
from worker.entrypoints.doctor.finding import Finding, fault, ok, warning
from worker.messaging import streams
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


async def look(settings: Settings, client: Client) -> AsyncIterator[Finding]:
    """Findings about the server that ``client`` is connected to."""
    version = client.connected_server_version
    says = f"version {version.major}.{version.minor}.{version.patch}"
    if (version.major, version.minor) < _OLDEST:
        yield fault("nats-server", says, "Use nats-server 2.12 or newer: the relay needs atomic batches.")
    else:
        yield ok("nats-server", says)
    if client.max_payload < MIN_SERVER_PAYLOAD:
        yield fault(
            "max_payload",
            f"messages of {client.max_payload:,} bytes at most, {MIN_SERVER_PAYLOAD:,} are needed",
            "Set max_payload: 8MB in the server's configuration.",
        )
    else:
        yield ok("max_payload", f"{client.max_payload:,} bytes")
    try:
        account = await client.jetstream().account_info()
    except (NatsError, TimeoutError):
        yield fault("JetStream", "does not answer", "Set jetstream { store_dir: … } in the configuration.")
        return
    yield ok("JetStream", f"{account.streams} streams, {account.storage:,} bytes")
    if settings.replicas == 1:
        yield warning(
            "sync_interval",
            "no server tells it over NATS; unless set, what was acknowledged is lost at a power cut",
            "See that jetstream { sync_interval: always } stands in the server's configuration.",
        )
    for wanted in streams.configurations(
        max_age_days=settings.events_max_age_days, replicas=settings.replicas
    ):
        yield await _stream(client, wanted)


async def _stream(client: Client, wanted: StreamConfig) -> Finding:
    assert wanted.name is not None
    about = f"stream {wanted.name}"
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
