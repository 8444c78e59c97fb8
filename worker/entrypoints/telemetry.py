"""Whether this process sends traces: OpenTelemetry's own environment variables say so."""

import os
import re
from collections.abc import Mapping

import structlog

from worker import tracing
from worker.entrypoints.unfailing import Unfailing

log = structlog.get_logger()
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_HEADERS = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
_PAIR = re.compile(r"\s*[\w!#$%&'*+.^`|~-]+\s*=\s*[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*\s*")
_PROTOCOL = "http/protobuf"
_UNUSABLE = "a variable of OpenTelemetry (OTEL_…) has a value that it cannot use"
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
    try:
        tracer = OpenTelemetry(service)
    except Exception as error:  # noqa: BLE001 - its settings are read here, each in its own way
        log.warning("traces_off", because=f"{_UNUSABLE} ({type(error).__name__})")
        return
    tracing.install(Unfailing(tracer))
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
    for name in _HEADERS:  # the SDK would log them, with the secrets in them
        if not all(_PAIR.fullmatch(pair) for pair in environment.get(name, "").split(",") if pair.strip()):
            return f"{name} is not NAME=VALUE, several by comma, with values URL-encoded"
    for name in _PROTOCOLS:
        if (protocol := environment.get(name)) is not None:
            return "" if protocol == _PROTOCOL else f"{name} is {protocol!r}; there is {_PROTOCOL}"
    return ""
