"""The whole examination, in order: settings, PostgreSQL, NATS, processes."""

import asyncio

from nats.aio.client import Client
from nats.errors import Error as NatsError

from contracts.client import LibraryClient
from contracts.connection import NoAnswerError, connect
from contracts.subjects import FIGURES
from worker.entrypoints.doctor import configuration, database, jetstream, processes
from worker.entrypoints.doctor.finding import Finding, fault
from worker.settings import Settings

_CONNECT = 3.0
_EACH = 15.0
_FIGURES = 0.3


async def examine(settings: Settings) -> list[Finding]:
    """Everything that was found; at most some 40 seconds, however the servers are."""
    findings = list(configuration.look(settings))
    findings += await asyncio.to_thread(lambda: list(database.look(settings)))
    try:
        client = await connect(settings.nats_url, within=_CONNECT, name="library-doctor")
    except NoAnswerError as problem:
        do = "See whether nats-server runs, and whether LIBRARY_NATS_URL is right."
        findings.append(fault("NATS", problem.detail, do))
    else:
        try:
            findings += await _over_nats(settings, client)
        finally:
            await client.close()
    findings.append(await asyncio.to_thread(processes.gateway, settings))
    return findings


async def _over_nats(settings: Settings, client: Client) -> list[Finding]:
    findings: list[Finding] = []
    try:
        async with asyncio.timeout(_EACH):
            async for finding in jetstream.look(settings, client):
                findings.append(finding)  # noqa: PERF401 - what was found before a timeout counts
    except TimeoutError:
        findings.append(fault("JetStream", "answers too slowly", "See whether its servers are overloaded."))
    findings.append(await processes.worker(LibraryClient(client)))
    findings += processes.releases(await _told(client))
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
