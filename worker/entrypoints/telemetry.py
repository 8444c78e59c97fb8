"""Whether this process sends traces: OpenTelemetry's own environment variables say so."""

import os
from collections.abc import Mapping

import structlog

from worker import tracing

log = structlog.get_logger()
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"
_INSTALL = "OpenTelemetry is not installed: pip install 'library-worker[telemetry]'"


def start(service: str) -> None:
    """Trace from now on, as ``service``, if somebody asks for it. What cannot be done is logged, no more."""
    if not _is_asked_for(os.environ):
        return
    if fault := _fault(os.environ):
        log.warning("traces_off", because=fault)
        return
    try:
        from worker.entrypoints.opentelemetry import OpenTelemetry  # noqa: PLC0415 - only who asks pays for it
    except ModuleNotFoundError:
        log.warning("traces_off", because=_INSTALL)
        return
    tracing.install(OpenTelemetry(service))
    log.info("traces_on", service=service)


def _is_asked_for(environment: Mapping[str, str]) -> bool:
    """An endpoint asks for it, and an exporter, save ``none``; the SDK's own switch overrules both."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip()
    return exporter != "none" and bool(exporter or any(environment.get(name) for name in _ENDPOINTS))


def _fault(environment: Mapping[str, str]) -> str:
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip() or "otlp"
    if exporter != "otlp":
        return f"OTEL_TRACES_EXPORTER is {exporter!r}; there is otlp, or none"
    for name in _PROTOCOLS:
        if (protocol := environment.get(name)) is not None:
            return "" if protocol == _PROTOCOL else f"{name} is {protocol!r}; there is {_PROTOCOL}"
    return ""
