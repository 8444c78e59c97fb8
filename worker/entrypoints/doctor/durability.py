"""Whether nats-server syncs what it acknowledges: not told over NATS, so it is looked up where it can be."""

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

from worker.embedded.nats_server import SERVER_NAME
from worker.entrypoints.doctor.finding import Finding, fault, ok, warning

_WITHIN = 1.0
_PORT = 8222
_MOST_BYTES = 4 * 1024 * 1024
_SET = "jetstream { sync_interval: always }"


def look(server: dict[str, Any], host: str | None, monitoring: str | None) -> Finding:
    """The finding about one server, named by its ``id`` and ``name``; blocks for some seconds at most.

    ``monitoring`` is the URL of its monitoring, by default port 8222 of ``host``, where nats-server's own
    examples have it. What answers there counts only if it is this very server.
    """
    if server.get("name") == SERVER_NAME:
        return ok("sync_interval", "always, as library up sets it")
    where = monitoring or f"http://{f'[{host}]' if host and ':' in host else host}:{_PORT}"
    told = _told(where) if monitoring or host else {}
    settings = told.get("jetstream", {}).get("config", {})
    if not settings or told.get("server_id") != server.get("id"):
        return warning(
            "sync_interval",
            "not told over NATS, and no monitoring of this server answers; unless it is always, what was "
            "acknowledged may be lost at a power cut",
            f"See that {_SET} stands in the server's configuration, or say where its monitoring is: "
            "library doctor --monitoring http://HOST:PORT",
        )
    if settings.get("sync_always"):
        return ok("sync_interval", f"always, as {where} tells")
    seconds = settings.get("sync_interval", 0) / 1e9
    says = f"{seconds:g} s: what was acknowledged within them is lost at a power cut"
    return fault("sync_interval", says, f"Set {_SET} in the server's configuration.")


def _told(where: str) -> dict[str, Any]:
    """What nats-server's ``/varz`` says; empty where nothing of the kind answers."""
    try:
        parts = urlsplit(where)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=_WITHIN)
        try:
            connection.request("GET", f"{parts.path.rstrip('/')}/varz")
            told = json.loads(connection.getresponse().read(_MOST_BYTES))
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException):
        return {}
    return told if isinstance(told, dict) else {}
