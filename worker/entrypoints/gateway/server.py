"""The gateway's process: listens, serves, and stops without leaving anyone unanswered."""

import signal
import socket
from collections.abc import Collection

import structlog
import uvicorn
from fastapi import FastAPI

from worker.entrypoints.gateway.app import create_app

_BACKLOG = 2048
_log = structlog.get_logger(__name__)


def serve(
    *,
    nats_url: str,
    host: str = "127.0.0.1",
    port: int = 8350,
    request_timeout: float = 10.0,
    names: Collection[str] = (),
    exposed: bool = False,
    grace: int = 8,
) -> int:
    """Serve until SIGTERM or SIGINT; the exit status: 0 after a stop, 1 where it cannot listen.

    Port 0 picks a free one, which the event ``gateway_listening`` names. What is in flight at a stop has
    ``grace`` seconds to be answered by a worker, and is told ``no_answer`` then.
    """
    try:
        listener = _listen(host, port)
    except OSError as error:
        _log.error("gateway_cannot_listen", host=host, port=port, reason=error.strerror or str(error))
        return 1
    app = create_app(nats_url=nats_url, request_timeout=request_timeout, names=names, exposed=exposed)
    server = http_server(app, grace=grace)
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn raises the signal again once it has stopped, and one may come before it listens for them
        signal.signal(number, server.handle_exit)
    _log.info("gateway_listening", url=_url(listener))
    if exposed:
        _log.warning("gateway_exposed", reason="no authentication: anyone who reaches it can deploy")
    server.run(sockets=[listener])
    _log.info("gateway_stopped")
    return 0


class _Server(uvicorn.Server):
    """Ends live pages when it stops: they would stay for ever."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        app = self.config.app
        if isinstance(app, FastAPI):
            app.state.changes.close()
        await super().shutdown(sockets)


def http_server(app: FastAPI, *, grace: int) -> uvicorn.Server:
    """The server for ``app``, still without an address; ``grace`` as for ``serve``."""
    return _Server(
        uvicorn.Config(
            app,
            http="h11",  # bounds the headers at 64 KiB, which httptools does not
            access_log=False,
            log_config=None,
            log_level="warning",
            lifespan="on",
            ws="none",
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=grace,
        )
    )


def _listen(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
