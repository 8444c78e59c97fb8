"""What is put aside of a durable command that cannot be carried out: all of it that a stream takes."""

from collections.abc import Mapping
from typing import NamedTuple

from nats.aio.msg import Msg

from contracts import headers, subjects
from contracts.dead_letters import portable
from contracts.problems import ProblemError

_REASON_CHARACTERS = 500
_SHORTENED = " (Only the beginning of its body is kept.)"
_HEADER_BYTES = 65_535
"""No stream stores more of headers."""
_OURS_BYTES = 1024
_FRAME_BYTES, _LINE_BYTES = len(b"NATS/1.0\r\n\r\n"), len(b": \r\n")


class Letter(NamedTuple):
    """A message for the stream of dead commands."""

    subject: str
    body: bytes
    headers: dict[str, str]


def letter(message: Msg, problem: ProblemError, max_payload: int) -> Letter:
    """The command's message with the reason; shortened where it would not fit into a message any more."""
    metadata = message.metadata
    carried = {
        headers.MESSAGE_ID: f"{metadata.stream}-{metadata.sequence.stream}",
        **_fitting(portable(message.headers or {}), _HEADER_BYTES - _OURS_BYTES),
        headers.DEAD_REASON: _reason(problem),
    }
    body = message.data
    if _FRAME_BYTES + _size(carried) + len(body) > max_payload:
        carried[headers.DEAD_REASON] += _SHORTENED
        body = body[: max_payload - _FRAME_BYTES - _size(carried)]
    return Letter(_subject(message.subject), body, carried)


def _subject(came_on: str) -> str:
    """Where it goes; a token that nobody knows may be anything, longer than nats-server reads at that."""
    return subjects.dead_letter(came_on if came_on in subjects.COMMANDS else subjects.UNKNOWN_COMMAND)


def _fitting(carried: Mapping[str, str], room: int) -> dict[str, str]:
    """Those that fit, with the command's id first and then the shorter ones."""
    fitting: set[str] = set()
    for name in sorted(carried, key=lambda name: (name != headers.MESSAGE_ID, len(carried[name]))):
        room -= _size({name: carried[name]})
        if room < 0:
            break
        fitting.add(name)
    return {name: value for name, value in carried.items() if name in fitting}


def _size(carried: Mapping[str, str]) -> int:
    return sum(len(name) + len(value.encode()) + _LINE_BYTES for name, value in carried.items())


def _reason(problem: ProblemError) -> str:
    """The problem in a header's terms: one line of ASCII."""
    said = f"{problem.code}: {problem.detail}".encode("ascii", "replace").decode()
    return " ".join(said.split())[:_REASON_CHARACTERS]
