"""Our own processes: whether a worker answers, and a gateway."""

import http.client
from collections.abc import Iterator
from importlib.metadata import version

from pydantic import ValidationError

from contracts.client import LibraryClient
from contracts.metrics import WorkerFigures
from contracts.problems import ProblemError
from contracts.values import Empty
from worker.entrypoints.doctor.finding import Finding, fault, ok, warning
from worker.settings import Settings

_WITHIN = 3.0
_OK = 200


async def worker(client: LibraryClient) -> Finding:
    """Whether a worker answers, and what it says of itself."""
    try:
        found = await client.status(Empty(), timeout=_WITHIN)
    except ProblemError as problem:
        return fault("worker", problem.detail, "Start library worker, or look into its log.")
    parts = {name: part.status for name, part in found if name != "worker"}
    unwell = [f"{name} {status}" for name, status in parts.items() if status != "up"]
    if unwell:
        return warning("worker", f"answers, and says: {', '.join(unwell)}", "See library status.")
    return ok("worker", "answers, and reaches everything it needs")


def releases(told: list[bytes]) -> Iterator[Finding]:
    """Whether all workers that told their figures are of this release."""
    others: set[str] = set()
    for each in told:
        try:
            others.add(WorkerFigures.model_validate_json(each).version)
        except ValidationError:
            others.add("unknown")
    if others - {version("library-worker")}:
        says = f"workers of {', '.join(sorted(others))}; this is {version('library-worker')}"
        yield warning("releases", says, "Finish the upgrade, or use the command of the same release.")


def gateway(settings: Settings) -> Finding:
    """Whether the gateway answers at the address that the settings name."""
    host = "127.0.0.1" if settings.http_host in ("0.0.0.0", "::") else settings.http_host  # noqa: S104
    where = f"{host}:{settings.http_port}"
    connection = http.client.HTTPConnection(host, settings.http_port, timeout=_WITHIN)
    try:
        connection.request("GET", "/health/ready")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return warning("gateway", f"nobody answers at {where}", "Start library gateway, if HTTP is wanted.")
    finally:
        connection.close()
    if status != _OK:
        return warning("gateway", f"{where} answers {status}", "See library status.")
    return ok("gateway", f"answers at {where}")
