"""Whether what must hold does hold, on a running system: tables, outbox, stream, live state."""

import asyncio
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from nats.aio.client import Client
from sqlalchemy import Engine

from contracts import subjects
from worker.domain import audit as rules
from worker.domain.audit import Finding
from worker.entrypoints.upkeep.servers import LiveState, Progress, in_thread, live_state, patient_engine
from worker.messaging import audit as stream
from worker.messaging import live_state as live
from worker.messaging.live_state import Difference, batched
from worker.settings import Settings
from worker.store import audit as tables
from worker.store import schema, unit_of_work
from worker.store.audit import Audit
from worker.store.stream_copy import StoredMessage

SHOWN = 1000
"""So many findings are kept of each kind of check; the rest is counted."""
_OUTBOX_LIMIT = 10.0
PATIENCE = 5.0
"""For so many seconds what differs may be under way: the relay is at work, or takes up again."""
_LOOK_AGAIN = 0.5
_CLOCKS = timedelta(minutes=1)
"""By so much the clocks of NATS and PostgreSQL may differ where the age of an event counts."""
_FOREVER = timedelta(days=365_000)


@dataclass(slots=True)
class Report:
    """What was looked at, and what differs."""

    looked_at: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    unlisted: int = 0

    @property
    def holds(self) -> bool:
        """Whether nothing differs."""
        return not self.findings

    def add(self, findings: Iterable[Finding]) -> None:
        """Take in the findings of one kind of check."""
        for number, finding in enumerate(findings, 1):
            if number <= SHOWN:
                self.findings.append(finding)
            else:
                self.unlisted += 1


async def check(
    settings: Settings, client: Client, progress: Progress, *, patience: float = PATIENCE
) -> Report:
    """Look at everything. Nothing stops meanwhile, and what is merely under way is no difference.

    Raises what the servers raise, and ``SchemaOutdated``.
    """
    report = Report()
    engine = patient_engine(settings, size=2)
    try:
        await in_thread(lambda: schema.require(engine))
        with closing(await in_thread(lambda: Audit(engine))) as audit:
            await _tables_and_stream(client, audit, report, progress)
        await _outbox(engine, report, patience)
    finally:
        engine.dispose()
    async with live_state(settings, client) as states:
        for state in states:
            await _live_state(state, report, progress, patience)
    return report


async def _tables_and_stream(client: Client, audit: Audit, report: Report, progress: Progress) -> None:
    """Compare tables and stream exactly, while both grow.

    What the stream holds before the snapshot is of events that the snapshot knows; what the snapshot says is
    published was in the stream by then. So the stream is read before it, and a little more right after it.
    """
    extent = await stream.extent(client, subjects.EVENTS_STREAM)
    oldest = await _keep(client, audit, extent.first, extent.last, progress)
    now = await in_thread(audit.begin)
    later = await stream.extent(client, subjects.EVENTS_STREAM)
    await _keep(client, audit, extent.last + 1, later.last, progress)
    kept_since = _kept_since(extent, oldest, now)

    def look() -> None:
        entities, deployments, events = audit.counts()
        report.looked_at.update(entities=entities, deployments=deployments, events=events)
        report.add(rules.one_in_each_place(audit.places()))
        report.add(rules.statuses(audit.last_transitions()))
        report.add(rules.sequences(audit.numbered()))
        report.add(rules.unknown_in_outbox(audit.unknown_in_outbox()))
        report.add(rules.announcements(audit.announced(kept_since), all_known_until=extent.last))

    await in_thread(look)


async def _keep(client: Client, audit: Audit, first: int, last: int, progress: Progress) -> datetime | None:
    """Have the audit keep a part of the stream; when its first message was stored."""
    oldest: datetime | None = None
    kept = 0
    async for chunk in stream.StoredMessages(client, subjects.EVENTS_STREAM, first=first, last=last).chunks():
        oldest = oldest or chunk[0].metadata.timestamp
        messages = [StoredMessage(*stream.identity(message)) for message in chunk]
        await in_thread(lambda: audit.keep(messages))  # noqa: B023 - awaited at once
        kept += len(messages)
        progress("messages of the stream", kept, last - first + 1)
    return oldest


def _kept_since(extent: stream.Extent, oldest: datetime | None, now: datetime) -> datetime:
    """From when on the stream must have every event; what is older may be gone."""
    since = now - (extent.max_age or _FOREVER) + _CLOCKS
    if extent.size_limited and oldest is not None:
        return max(since, oldest + _CLOCKS)
    return since


async def _outbox(engine: Engine, report: Report, patience: float) -> None:
    """Give the relay time to take what has waited long."""
    first = latest = await in_thread(lambda: unit_of_work.read(engine, tables.waiting))
    until = time.monotonic() + patience
    while (stuck := list(rules.outbox(first, latest, limit=_OUTBOX_LIMIT))) and time.monotonic() < until:
        await asyncio.sleep(_LOOK_AGAIN)
        latest = await in_thread(lambda: unit_of_work.read(engine, tables.waiting))
    report.add(stuck)


async def _live_state(state: LiveState, report: Report, progress: Progress, patience: float) -> None:
    """Differences that stand still for a while: the relay writes the live state a moment after the rest."""
    differing: list[Difference] = []
    looked_at = 0
    async for compared in live.differences(state.bucket, state.source, state.blocking):
        looked_at += compared.looked_at
        differing += compared.differing
        progress("keys", looked_at)
        if len(differing) > SHOWN:
            break
    report.looked_at["keys"] = report.looked_at.get("keys", 0) + looked_at
    findings = (
        rules.live_value(each.key, each.expected, each.kept.value)
        for each in await _standing(state, differing, patience)
    )
    report.add(finding for finding in findings if finding is not None)


async def _standing(state: LiveState, differing: list[Difference], patience: float) -> list[Difference]:
    """Those that differ for a while without being written: what the relay writes is right when it does."""
    begun = time.monotonic()
    watched = {each.key: each for each in differing}
    while watched and time.monotonic() < begun + patience:
        await asyncio.sleep(_LOOK_AGAIN)
        still: list[Difference] = []
        for some in batched(list(watched), live.CHUNK):
            still += await live.compare(state.bucket, state.source, state.blocking, some)
        watched = {each.key: each for each in still if each.kept.revision == watched[each.key].kept.revision}
    return list(watched.values())
