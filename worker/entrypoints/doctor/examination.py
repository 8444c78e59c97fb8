"""The whole examination, in order: settings, PostgreSQL, NATS, processes."""

import asyncio

from nats.aio.client import Client
from nats.errors import Error as NatsError

from contracts.client import LibraryClient
from contracts.connection import NoAnswerError, connect
from contracts.subjects import FIGURES, STATUS_GET
from worker.entrypoints.doctor import configuration, database, jetstream, nats_user, processes
from worker.entrypoints.doctor.finding import Finding, fault
from worker.entrypoints.doctor.nats_user import Refusals, User
from worker.settings import Settings

_CONNECT = 3.0
_EACH = 15.0
_FIGURES = 0.3


async def examine(settings: Settings, *, monitoring: str | None = None) -> list[Finding]:
    """Everything that was found; at most some 40 seconds, however the servers are.

    ``monitoring`` is the URL of nats-server's monitoring, where it is not the usual one.
    """
    findings = list(configuration.look(settings))
    findings += await asyncio.to_thread(lambda: list(database.look(settings)))
    refusals = Refusals()
    try:
        client = await connect(
            settings.nats_url, within=_CONNECT, name="library-doctor", error_cb=refusals.hear
        )
    except (NoAnswerError, ValueError) as problem:
        says = problem.detail if isinstance(problem, NoAnswerError) else str(problem)
        do = "See whether nats-server runs, and whether LIBRARY_NATS_URL is right."
        findings.append(fault("NATS", says, do))
    else:
        try:
            findings += await _over_nats(settings, client, refusals, monitoring)
        finally:
            await client.close()
    findings.append(await asyncio.to_thread(processes.gateway, settings))
    return findings


async def _over_nats(
    settings: Settings, client: Client, refusals: Refusals, monitoring: str | None
) -> list[Finding]:
    user = await nats_user.ask(client, refusals, settings.reply_prefixes)
    if not user.hears:
        return list(nats_user.look(user, is_migrated=True))
    findings = await _servers(settings, client, user, monitoring)
    streams = [each for each in findings if each.about.startswith("stream ")]
    findings += nats_user.look(user, is_migrated=all(each.verdict != "fault" for each in streams))
    if user.may_publish(STATUS_GET):
        findings.append(await processes.worker(LibraryClient(client)))
    findings += processes.releases(await _told(client))
    return findings


async def _servers(settings: Settings, client: Client, user: User, monitoring: str | None) -> list[Finding]:
    findings: list[Finding] = []
    try:
        async with asyncio.timeout(_EACH):
            async for finding in jetstream.look(settings, client, user, monitoring):
                findings.append(finding)  # noqa: PERF401 - what was found before a timeout counts
    except TimeoutError:
        findings.append(fault("JetStream", "answers too slowly", "See whether its servers are overloaded."))
    return findings


async def _told(client: Client) -> list[bytes]:
    """What each worker tells of itself, within a moment."""
    told: list[bytes] = []
    inbox = client.new_inbox()
    try:
        replies = await client.subscribe(inbox)
        await client.publish(FIGURES, b"", reply=inbox)
        while True:
            told.append((await replies.next_msg(timeout=_FIGURES)).data)
    except (NatsError, TimeoutError):
        return told
