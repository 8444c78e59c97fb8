"""The processes of the Procfile. Each gives its exit status; what keeps it from starting is one line."""

import asyncio
import gc
import os
import sys
import time
from typing import NoReturn

from worker import logs, tracing
from worker.entrypoints import telemetry
from worker.settings import Settings, read_settings
from worker.settings_files import MisconfiguredError

_FAILED = 1
_PAUSE_SECONDS = 1.0
_MISCONFIGURED = 2


def _settings() -> Settings | None:
    try:
        settings = read_settings()
    except MisconfiguredError as error:
        for fault in error.faults:
            print(f"library: {fault}", file=sys.stderr)
        return None
    logs.configure(settings.log_level)
    return settings


def _start_over() -> NoReturn:
    """Begin again in this very process: what was half started is gone, and no supervisor is needed."""
    time.sleep(_PAUSE_SECONDS)
    os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - what was started, as it was started


def worker() -> int:
    """``library worker``: take requests until SIGTERM."""
    import uvloop
    from nats.errors import TimeoutError as NoReplyError
    from nats.js.errors import ServiceUnavailableError

    from contracts.connection import NoAnswerError
    from worker.bootstrap import UnsuitableServer
    from worker.entrypoints.nats.worker import Worker
    from worker.store.schema import SchemaOutdated
    from worker.store.unit_of_work import DatabaseUnavailable

    settings = _settings()
    if settings is None:
        return _MISCONFIGURED
    telemetry.start("library-worker")
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    try:
        try:
            uvloop.run(Worker(settings).run())
        except* (
            NoReplyError,
            ServiceUnavailableError,
        ):  # a cluster that has just formed, or lost a leader, answers a little later
            print("library worker: NATS: JetStream does not answer yet; starting over", file=sys.stderr)
            _start_over()
    except NoAnswerError as problem:
        print(f"library worker: NATS: {problem.detail}", file=sys.stderr)
        return _FAILED
    except (UnsuitableServer, SchemaOutdated, DatabaseUnavailable, ValueError) as error:
        print(f"library worker: {error}", file=sys.stderr)
        return _FAILED
    finally:
        tracing.tracer().close()
    return 0


def migrate() -> int:
    """``library migrate``: bring database, streams and buckets up to date."""
    from nats.errors import Error as NatsError
    from sqlalchemy.exc import DBAPIError

    from contracts.connection import NoAnswerError
    from worker import bootstrap
    from worker.store.schema import SchemaUnknown

    settings = _settings()
    if settings is None:
        return _MISCONFIGURED
    try:
        for line in asyncio.run(bootstrap.migrate(settings)):
            print(f"library migrate: {line}", file=sys.stderr)
    except SchemaUnknown as error:
        print(f"library migrate: {error}", file=sys.stderr)
        return _FAILED
    except DBAPIError as error:
        reason = str(error.orig).strip().splitlines()[0] if error.orig else type(error).__name__
        print(f"library migrate: PostgreSQL: {reason}", file=sys.stderr)
        return _FAILED
    except NoAnswerError as problem:
        print(f"library migrate: NATS: {problem.detail}", file=sys.stderr)
        return _FAILED
    except (NatsError, ValueError) as error:
        print(f"library migrate: NATS: {error or type(error).__name__}", file=sys.stderr)
        return _FAILED
    return 0


def gateway() -> int:
    """``library gateway``: serve HTTP until SIGTERM."""
    from worker.entrypoints.gateway.hosts import is_loopback
    from worker.entrypoints.gateway.server import serve

    settings = _settings()
    if settings is None:
        return _MISCONFIGURED
    if not (settings.http_expose or is_loopback(settings.http_host)):
        print(
            f"library: LIBRARY_HTTP_HOST: {settings.http_host} is reached by others, and there is no"
            " authentication: they could deploy. Listen on 127.0.0.1, or set LIBRARY_HTTP_EXPOSE=true",
            file=sys.stderr,
        )
        return _MISCONFIGURED
    telemetry.start("library-gateway")
    try:
        return serve(
            nats_url=settings.nats_url,
            host=settings.http_host,
            port=settings.http_port,
            request_timeout=settings.http_timeout,
            names=settings.http_names,
            exposed=not is_loopback(settings.http_host),
        )
    finally:
        tracing.tracer().close()
