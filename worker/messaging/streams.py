"""The streams and buckets: made by ``library migrate``, and by nobody else."""

from collections.abc import Sequence
from dataclasses import replace

from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError

from contracts import subjects

_DAY_SECONDS = 86_400
_DUPLICATE_WINDOW_SECONDS = 120


def configurations(*, max_age_days: int, replicas: int) -> Sequence[StreamConfig]:
    """What is made where it is not there yet."""
    return (
        StreamConfig(
            name=subjects.EVENTS_STREAM,
            description="Every committed transition, once, in each entity's order.",
            subjects=[subjects.EVENTS_WILDCARD],
            retention=RetentionPolicy.LIMITS,
            discard=DiscardPolicy.OLD,
            storage=StorageType.FILE,
            max_age=max_age_days * _DAY_SECONDS,
            num_replicas=replicas,
            duplicate_window=_DUPLICATE_WINDOW_SECONDS,
            allow_direct=True,
            allow_atomic=True,
        ),
        StreamConfig(
            name=subjects.COMMANDS_STREAM,
            description="Commands that wait until a worker has carried them out.",
            subjects=[subjects.COMMANDS_WILDCARD],
            retention=RetentionPolicy.WORK_QUEUE,
            discard=DiscardPolicy.OLD,
            storage=StorageType.FILE,
            num_replicas=replicas,
            duplicate_window=_DUPLICATE_WINDOW_SECONDS,
            allow_direct=True,
            allow_atomic=True,
        ),
        StreamConfig(
            name=subjects.DEAD_STREAM,
            description="Commands that could not be carried out, whole, with the reason.",
            subjects=[subjects.DEAD_WILDCARD],
            retention=RetentionPolicy.LIMITS,
            discard=DiscardPolicy.OLD,
            storage=StorageType.FILE,
            max_age=max_age_days * _DAY_SECONDS,
            num_replicas=replicas,
            duplicate_window=_DUPLICATE_WINDOW_SECONDS,
            allow_direct=True,
            allow_atomic=True,
        ),
        _bucket(subjects.ACTIVE_BUCKET, "What is active now, by environment and entity.", replicas),
        _bucket(subjects.PENDING_BUCKET, "What waits to be confirmed, by environment and entity.", replicas),
        _bucket(subjects.APPLIED_BUCKET, "What agents run, by environment, entity and agent.", replicas),
    )


def _bucket(name: str, description: str, replicas: int) -> StreamConfig:
    """A key-value bucket, as ADR-8 lays it out."""
    return StreamConfig(
        name=subjects.bucket_stream(name),
        description=description,
        subjects=[subjects.bucket_subject(name, ">")],
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.NEW,
        storage=StorageType.FILE,
        max_msgs_per_subject=1,
        num_replicas=replicas,
        duplicate_window=_DUPLICATE_WINDOW_SECONDS,
        allow_rollup_hdrs=True,
        deny_delete=True,
        allow_direct=True,
        allow_atomic=True,
    )


async def ensure(jetstream: JetStreamContext, *, max_age_days: int, replicas: int) -> list[str]:
    """Make what is missing; what is there keeps its settings, save those that the relay cannot do without.

    A duplicate window below a second is what a restore that was killed left behind. Returns what was done, a
    line each.
    """
    done: list[str] = []
    for wanted in configurations(max_age_days=max_age_days, replicas=replicas):
        assert wanted.name is not None
        try:
            there = (await jetstream.stream_info(wanted.name)).config
        except NotFoundError:
            await jetstream.add_stream(wanted)
            done.append(f"stream {wanted.name} made")
            continue
        needed = replace(there, allow_atomic=True, allow_direct=True)
        if (there.duplicate_window or 0) < 1:
            needed = replace(needed, duplicate_window=wanted.duplicate_window)
        if needed != there:
            await jetstream.update_stream(needed)
            done.append(f"stream {wanted.name} now has the settings that the relay needs")
    return done
