"""Commands that were put aside: read them, send them again, drop them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from contracts import headers, subjects
from contracts.ids import new_id
from contracts.problems import ProblemError

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


def portable(carried: Mapping[str, str]) -> dict[str, str]:
    """The headers that a message may bring to another stream.

    Not those that tell nats-server what to do with a message, save its id, for they were meant for the stream
    it came from; nor those with a name that nats-py reads, but writes to nobody.
    """
    return {
        name: value
        for name, value in carried.items()
        if _NAME.fullmatch(name) and (name == headers.MESSAGE_ID or not name.lower().startswith("nats-"))
    }


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A command in the stream of dead ones; ``number`` is its sequence there."""

    number: int
    subject: str
    body: bytes
    carried: Mapping[str, str]
    put_aside_at: datetime | None

    @property
    def command(self) -> str:
        """``deploy`` or ``rollback``; ``_`` where it came on another subject."""
        return subjects.command_name(self.subject)

    @property
    def command_id(self) -> str:
        """Its message's id."""
        return self.carried.get(headers.MESSAGE_ID, "")

    @property
    def reason(self) -> str:
        """Why it was put aside."""
        return self.carried.get(headers.DEAD_REASON, "")


class DeadLetters:
    """The stream of dead commands."""

    def __init__(self, jetstream: JetStreamContext) -> None:
        self._jetstream = jetstream

    async def numbers(self) -> Iterator[int]:
        """The numbers between the oldest and the newest; some may be gone."""
        state = (await self._jetstream.stream_info(subjects.DEAD_STREAM)).state
        return iter(range(state.first_seq, state.last_seq + 1)) if state.messages else iter(())

    async def find(self, number: int) -> DeadLetter | None:
        """The letter of a number, None if there is none."""
        try:
            found = await self._jetstream.get_msg(subjects.DEAD_STREAM, number)
        except NotFoundError:
            return None
        return _letter(number, found)

    async def get(self, number: int) -> DeadLetter:
        """The letter of a number. Raises ``ProblemError`` (``not_found``)."""
        letter = await self.find(number)
        if letter is None:
            raise ProblemError(
                "not_found", f"There is no dead command {number}; `library dead list` shows them."
            )
        return letter

    async def retry(self, number: int) -> DeadLetter:
        """Send a command again, under a new id, and take it out of the dead ones; the letter as it is sent.

        A new id, since the outcome of the old one may be a refusal that is stored. An ``Idempotency-Key`` of
        its own stays. Raises ``ProblemError`` for what came on no command's subject.
        """
        letter = await self.get(number)
        subject = subjects.durable_command(letter.command)
        if subject not in subjects.COMMANDS:
            raise ProblemError(
                "invalid_request",
                f"Dead command {number} came on no command's subject; it can only be dropped.",
            )
        carried = portable(letter.carried)
        carried[headers.MESSAGE_ID] = str(new_id())
        for ours in (headers.DEAD_REASON, headers.DEADLINE):
            carried.pop(ours, None)
        await self._jetstream.publish(subject, letter.body, headers=carried)
        await self._jetstream.delete_msg(subjects.DEAD_STREAM, number)
        return DeadLetter(number, subject, letter.body, carried, letter.put_aside_at)

    async def drop(self, number: int) -> DeadLetter:
        """Forget a command."""
        letter = await self.get(number)
        await self._jetstream.delete_msg(subjects.DEAD_STREAM, number)
        return letter


def _letter(number: int, message: RawStreamMsg) -> DeadLetter:
    at = message.time
    if isinstance(at, str):
        at = datetime.fromisoformat(at)
    return DeadLetter(
        number,
        message.subject or "",
        message.data or b"",
        message.headers or {},
        at.astimezone(UTC) if at else None,
    )
