"""By which names the gateway is asked.

A page of another site can make its own name point at this machine (DNS rebinding); to the browser it then is
the gateway's own page. What it cannot change is the name that the browser sends in ``Host``.
"""

import ipaddress
from collections.abc import Collection

from starlette.types import ASGIApp, Receive, Scope, Send

from contracts.problems import ProblemError
from worker.entrypoints.gateway import responses
from worker.entrypoints.gateway.request_headers import request_id

_LOCAL = "localhost"


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches what listens on ``address``."""
    try:
        return ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return address == _LOCAL


def is_known(host: str, names: Collection[str]) -> bool:
    """Whether ``host``, as in the header, is one of ``names``, "localhost" or an address without a name."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    name = name.lower()
    if name == _LOCAL or name in names:
        return True
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


class KnownHosts:
    """Refuses what was meant for another name. A request without ``Host`` (HTTP/1.0) is no browser's."""

    def __init__(self, app: ASGIApp, names: Collection[str]) -> None:
        self._app = app
        self._names = frozenset(name.lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one exchange (ASGI)."""
        if scope["type"] == "http":
            hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
            if not all(is_known(host, self._names) for host in hosts):
                refusal = ProblemError(
                    "forbidden",
                    "The gateway is not known by this name: ask by its address, or name it in"
                    " LIBRARY_HTTP_NAMES.",
                )
                await responses.problem(refusal, request_id(scope["headers"]))(scope, receive, send)
                return
        await self._app(scope, receive, send)
