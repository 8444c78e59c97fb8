"""Whether the configured NATS user may do what worker, migration and callers do.

Nothing is carried out to find that out. A subscription is ended before anything can come. A message is
published with a reply subject that is the server's own: the server looks at the right to publish first, then
refuses the message for its reply subject, so it reaches nobody, and the refusal says which of the two it was.
The server's log has a line for each.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError

from worker.entrypoints.doctor.finding import Finding, fault, ok, warning
from worker.messaging import rights
from worker.messaging.rights import Rights

_ANSWER = 1.0
_RESERVED_REPLY = "$JS.ACK.library-doctor"
_NOWHERE = {"Nats-Expected-Stream": "none"}
"""Should a server ever let such a message through, no stream takes it."""
_SHOWN = 6
_ALLOW = "Allow it in the server's configuration, as deploy/nats-users.conf does."


@dataclass(slots=True)
class Refusals:
    """What a server refuses; ``hear`` is the error callback of a connection."""

    heard: list[str] = field(default_factory=list)

    async def hear(self, error: Exception) -> None:
        """Keep it."""
        self.heard.append(str(error))

    def of(self, action: str, subjects: Iterable[str]) -> frozenset[str]:
        """Those that were refused; nats-py makes the server's words lower case."""
        said = "\n".join(self.heard)
        return frozenset(
            each for each in subjects if f'permissions violation for {action} "{each.lower()}"' in said
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """What the server says of the user.

    ``server`` names it (``name``, ``id``), where it ``tells``. ``hears`` is False where not even a reply
    reaches us; then nothing else was asked.
    """

    server: dict[str, Any]
    tells: bool
    hears: bool = True
    replies: bool = True
    unpublished: frozenset[str] = frozenset()
    unsubscribed: frozenset[str] = frozenset()

    def may_publish(self, subject: str) -> bool:
        """Whether it was not refused."""
        return subject not in self.unpublished


async def ask(client: Client, refusals: Refusals, reply_prefixes: Iterable[str]) -> User:
    """Who we are and what we may do; ``refusals`` hears the errors of ``client``."""
    if await _unsubscribed(client, refusals, [client.new_inbox()]):
        return User(server={}, tells=False, hears=False)
    told = await _whoami(client)
    server = told.get("server", {})
    granted = told.get("data", {}).get("permissions")
    if told and not granted:
        return User(server=server, tells=True)
    replies = {f"{prefix}library-doctor" for prefix in reply_prefixes}
    every = (rights.WORKER, rights.MIGRATION, rights.CALLERS)
    publish = {rights.JETSTREAM_INFO, *replies, *(subject for each in every for subject in each.publish)}
    unpublished = await _unpublished(client, refusals, publish)
    return User(
        server=server,
        tells=bool(told),
        replies=bool((granted or {}).get("responses")) or not unpublished & replies,
        unpublished=unpublished,
        unsubscribed=await _unsubscribed(
            client, refusals, {subject for each in every for subject in each.subscribe}
        ),
    )


async def _whoami(client: Client) -> dict[str, Any]:
    """The server's answer; empty where we may not even ask."""
    try:
        answer: dict[str, Any] = json.loads((await client.request(rights.WHOAMI, timeout=_ANSWER)).data)
    except (NatsError, TimeoutError, ValueError):
        return {}
    return answer if "data" in answer else {}


async def _unpublished(client: Client, refusals: Refusals, subjects: Iterable[str]) -> frozenset[str]:
    for subject in subjects:
        await client.publish(subject, b"", reply=_RESERVED_REPLY, headers=_NOWHERE)
    await _answered(client)
    return refusals.of("publish to", subjects)


async def _unsubscribed(client: Client, refusals: Refusals, subjects: Iterable[str]) -> frozenset[str]:
    for subject in subjects:
        subscription = await client.subscribe(subject)
        await subscription.unsubscribe()
    await _answered(client)
    return refusals.of("subscription to", subjects)


async def _answered(client: Client) -> None:
    """Wait for the server's word on all of it; nats-py's ping overtakes what it still buffers, once."""
    await client.flush()
    await client.flush()


def look(user: User, *, is_migrated: bool) -> Iterator[Finding]:
    """Findings about the user; ``is_migrated`` where all streams are there, so that migrate can wait."""
    if not user.hears:
        says = "this user may not subscribe to _INBOX.>, so no answer reaches it"
        yield fault("NATS rights", says, _ALLOW)
        return
    yield _worker(user)
    if lacks := _lacks(user, rights.MIGRATION):
        do = f"Run library migrate as a user that may; or: {_ALLOW}"
        yield (warning if is_migrated else fault)("NATS rights: migrate", lacks, do)
    else:
        yield ok("NATS rights: migrate", "this user may make and change the streams")
    if lacks := _lacks(user, rights.CALLERS):
        do = f"Run library gateway and the command line as a user that may; or: {_ALLOW}"
        yield warning("NATS rights: callers", lacks, do)
    else:
        yield ok("NATS rights: callers", "this user may ask for everything")


def _worker(user: User) -> Finding:
    about = "NATS rights: worker"
    if lacks := _lacks(user, rights.WORKER):
        return fault(about, lacks, _ALLOW)
    if user.replies:
        return ok(about, "this user may do what a worker does")
    if user.tells:
        return fault(about, "this user may not publish on _INBOX.>, where replies go", _ALLOW)
    return warning(
        about,
        "this user may not publish on _INBOX.>; whether it may to reply (allow_responses), nobody tells it",
        f"Allow it to publish on {rights.WHOAMI}, so that it can ask.",
    )


def _lacks(user: User, wanted: Rights) -> str:
    """What it may not do of this, in words; empty where it may do all of it."""
    refused = {
        "publish on": [each for each in wanted.publish if each in user.unpublished],
        "subscribe to": [each for each in wanted.subscribe if each in user.unsubscribed],
    }
    parts = [f"may not {action} {_some(which)}" for action, which in refused.items() if which]
    return f"this user {' and '.join(parts)}" if parts else ""


def _some(subjects: list[str]) -> str:
    more = len(subjects) - _SHOWN
    return ", ".join(subjects[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
