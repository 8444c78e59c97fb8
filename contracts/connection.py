"""A connection to NATS that keeps itself alive, and what is said when nobody is at the other end."""

import asyncio
import logging
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError

from contracts.problems import ProblemError

_log = logging.getLogger(__name__)


class NoAnswerError(ProblemError):
    """Nobody answered, so nobody refused: ``unavailable`` if nothing was done, ``no_answer`` if that is open.

    ``request_id`` is the key to ask again with.
    """


def sturdy(connection: Client) -> Client:
    """The connection, no longer silenced for good by one message whose header block cannot be read.

    nats-py 2.16 lets the exception end its reading; here such a message has no headers.
    """
    read = connection._process_headers  # noqa: SLF001 - the one place where it can be caught

    async def read_or_none(block: bytes | None) -> dict[str, str] | None:
        try:
            return await read(block)
        except Exception as error:  # noqa: BLE001 - whatever the bytes led to
            _log.info("nats_headers_unreadable error=%s", type(error).__name__)
            return None

    connection._process_headers = read_or_none  # type: ignore[assignment, method-assign]  # noqa: SLF001
    return connection


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
