"""What a NATS user must be allowed, so that a process of ours works; deploy/nats-users.conf allows it.

The subjects are examples: those that a wildcard stands for are named by one of them.
"""

from dataclasses import dataclass
from typing import Final

from contracts import subjects
from contracts.endpoints import ENDPOINTS

WHOAMI: Final = "$SYS.REQ.USER.INFO"
"""Asks the server who one is and what one may do; nothing but ``library doctor`` does."""
JETSTREAM_INFO: Final = "$JS.API.INFO"
"""Asks how JetStream does; nothing but ``library doctor`` does."""

_ID: Final = "00000000-0000-0000-0000-000000000000"
_PLACE: Final = subjects.active_key("production", _ID)
_LIVE: Final = (
    subjects.bucket_stream(subjects.ACTIVE_BUCKET),
    subjects.bucket_stream(subjects.PENDING_BUCKET),
)
_APPLIED: Final = subjects.bucket_stream(subjects.APPLIED_BUCKET)
_COMMANDS: Final = f"{subjects.COMMANDS_STREAM}.{subjects.COMMANDS_CONSUMER}"
_STREAMS: Final = (
    subjects.EVENTS_STREAM,
    subjects.COMMANDS_STREAM,
    subjects.DEAD_STREAM,
    *_LIVE,
    _APPLIED,
)


@dataclass(frozen=True, slots=True)
class Rights:
    """Subjects to publish on, and subjects to subscribe to."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...] = ()


def stream_info(stream: str) -> str:
    """The subject that asks for a stream's state and settings."""
    return f"$JS.API.STREAM.INFO.{stream}"


WORKER: Final = Rights(
    publish=(
        subjects.OUTBOX_WAKE,
        subjects.deployment_event("completed", "production", _ID),
        subjects.entity_event("updated", _ID),
        subjects.environment_event("updated", "production"),
        *(subjects.dead_letter(command) for command in (*subjects.COMMANDS, subjects.UNKNOWN_COMMAND)),
        *(
            subjects.bucket_subject(name, _PLACE)
            for name in (subjects.ACTIVE_BUCKET, subjects.PENDING_BUCKET)
        ),
        *(stream_info(stream) for stream in (subjects.EVENTS_STREAM, *_LIVE)),
        *(f"$JS.API.DIRECT.GET.{stream}" for stream in _LIVE),
        *(f"$JS.API.CONSUMER.CREATE.{stream}" for stream in (*_LIVE, _APPLIED)),
        f"$JS.API.CONSUMER.CREATE.{subjects.EVENTS_STREAM}.x",
        f"$JS.API.CONSUMER.MSG.NEXT.{subjects.EVENTS_STREAM}.x",
        f"$JS.API.CONSUMER.INFO.{_COMMANDS}",
        f"$JS.API.CONSUMER.CREATE.{_COMMANDS}.{subjects.COMMANDS_WILDCARD}",
        f"$JS.API.CONSUMER.MSG.NEXT.{_COMMANDS}",
        f"$JS.ACK.{_COMMANDS}.1.1.1.1.0",
        f"$JS.FC.{_APPLIED}.x.x",
    ),
    subscribe=(
        *(endpoint.subject for endpoint in ENDPOINTS),
        subjects.FIGURES,
        subjects.OUTBOX_WAKE,
        subjects.deployment_event("completed", "production", _ID),
        f"$SRV.INFO.{subjects.SERVICE}",
    ),
)
MIGRATION: Final = Rights(
    publish=tuple(
        f"$JS.API.STREAM.{verb}.{stream}" for stream in _STREAMS for verb in ("INFO", "CREATE", "UPDATE")
    )
)
CALLERS: Final = Rights(
    publish=(*(endpoint.subject for endpoint in ENDPOINTS), subjects.FIGURES),
    subscribe=(subjects.deployment_event("completed", "production", _ID),),
)
"""The gateway and the command line."""
