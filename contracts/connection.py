"""A connection to NATS that keeps itself alive, and what is said when nobody is at the other end."""

import asyncio
import logging
import re
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import Header
from nats.protocol import parser

from contracts.problems import ProblemError

_log = logging.getLogger(__name__)
_STORED = b"$JS.ACK."
# A subject ends where nats-server ends it. nats-py has it end at any white space, such as a form feed, and
# then reads nothing more.
_NAMES = rb"([^ \t\r\n]+)[ \t]+([^ \t\r\n]+)[ \t]+(([^ \t\r\n]+)[ \t]+)?"
_MESSAGE = re.compile(rb"\AMSG[ \t]+" + _NAMES + rb"(\d+)\r\n")
_MESSAGE_WITH_HEADERS = re.compile(rb"\AHMSG[ \t]+" + _NAMES + rb"(\d+)[ \t]+(\d+)\r\n")


class NoAnswerError(ProblemError):
    """Nobody answered, so nobody refused: ``unavailable`` if nothing was done, ``no_answer`` if that is open.

    ``request_id`` is the key to ask again with.
    """


def sturdy(connection: Client) -> Client:
    """The connection, no longer silenced, for good or again and again, by one message that it cannot read.

    nats-py 2.16 lets an exception end its reading. Here a message whose header block cannot be read has no
    headers, and in a subject that is no UTF-8 stands U+FFFD for what is none. A message of a stream is no
    status of JetStream's, which nats-py would take it for, whatever headers it was stored with.
    """
    parser.MSG_RE, parser.HMSG_RE = _MESSAGE, _MESSAGE_WITH_HEADERS
    read, build = connection._process_headers, connection._build_message  # noqa: SLF001 - where it can be caught

    async def read_or_none(block: bytes | None) -> dict[str, str] | None:
        try:
            return await read(block)
        except Exception as error:  # noqa: BLE001 - whatever the bytes led to
            _log.info("nats_headers_unreadable error=%s", type(error).__name__)
            return None

    def build_any(sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None) -> Any:
        if headers and Header.STATUS in headers and reply.startswith(_STORED):
            headers = {name: value for name, value in headers.items() if name != Header.STATUS}
        try:
            return build(sid, subject, reply, data, headers)
        except UnicodeDecodeError:
            return build(sid, _readable(subject), _readable(reply), data, headers)

    connection._process_headers = read_or_none  # type: ignore[assignment, method-assign]  # noqa: SLF001
    connection._build_message = build_any  # type: ignore[method-assign]  # noqa: SLF001
    return connection


def _readable(subject: bytes) -> bytes:
    return subject.decode(errors="replace").encode()


async def connect(url: str, *, within: float = 5.0, name: str = "library-client", **options: Any) -> Client:
    """A connection that, once made, is sought again until it is closed, however long the server is away.

    ``url`` is ``nats://[user:password@]host[:port]``, or several with commas between; ``within`` is in
    seconds; ``options`` are further ones of ``nats.connect``, such as ``user_credentials`` or ``tls``.
    Raises ``NoAnswerError`` where no server lets us in, ``ValueError`` for what is no address.
    """
    connection = sturdy(Client())
    settings: dict[str, Any] = {
        "max_reconnect_attempts": -1,  # by default it gives up after two minutes, and subscribers sit deaf
        "reconnect_time_wait": 0.25,
        "ping_interval": 20,
        "error_cb": _note,
        "name": name,
        **options,
    }
    try:
        await asyncio.wait_for(connection.connect(servers=url.split(","), **settings), within)
    except TimeoutError:
        reason = connection.last_error
        await connection.close()
        raise NoAnswerError(
            "unavailable", f"No NATS server lets us in at {without_secrets(url)} ({_said(reason)})."
        ) from None
    except (NatsError, ValueError):
        raise ValueError(f"{without_secrets(url)} is no NATS address such as nats://127.0.0.1:4222") from None
    return connection


def without_secrets(url: str) -> str:
    """The addresses of ``url``, without users, passwords and tokens."""
    return ",".join(_address(one) for one in url.split(","))


def _address(url: str) -> str:
    scheme, _, rest = url.rpartition("://")
    return f"{scheme or 'nats'}://{rest.rpartition('@')[2]}"


def _said(reason: Exception | None) -> str:
    if isinstance(reason, ConnectionRefusedError):
        return "connection refused"
    return str(reason).removeprefix("nats: ") if reason and str(reason) else "no answer"


async def _note(error: Exception) -> None:
    """Log it and go on: an error callback that raises ends the attempts to reconnect."""
    _log.info("nats_error error=%s", error)
