"""Whether the settings say what was meant."""

from collections.abc import Iterator

from worker.entrypoints.doctor.finding import Finding, ok, warning
from worker.entrypoints.gateway.hosts import is_loopback
from worker.settings import Settings
from worker.settings_files import misspelt


def look(settings: Settings) -> Iterator[Finding]:
    """Findings about the settings of this process; faulty ones do not come so far."""
    wrong = misspelt(Settings.model_fields)
    for each in wrong:
        yield warning("settings", each, "Correct the name or remove it; library config lists the settings.")
    if not wrong:
        yield ok("settings", "every LIBRARY_ variable is a setting")
    if not is_loopback(settings.http_host):
        yield warning(
            "exposure",
            f"the gateway listens on {settings.http_host}, without authentication",
            "Put a proxy with authentication before it, and let it listen on 127.0.0.1.",
        )
