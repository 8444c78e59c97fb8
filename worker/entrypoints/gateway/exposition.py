"""The metrics of the contract in Prometheus' text format."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from contracts import metrics
from contracts.delivery import Delivery
from contracts.environments import ENVIRONMENTS
from contracts.metrics import COMMANDS, SECONDS, Counts, Metric, WorkerCounts, WorkerFigures
from contracts.status import Status

_DIGITS = 6
"""Behind the point: microseconds are enough, and float noise looks like an id."""
_COMPONENTS = ("nats", "database", "worker")


def page(
    total: WorkerCounts, workers: Sequence[WorkerFigures], status: Status, delivery: Delivery | None
) -> bytes:
    """All metrics; those of ``delivery``, and of the outbox, are absent where nobody can tell them."""
    families = [
        *_counted(total),
        *_of_workers(workers),
        *_of_status(status),
        *(_of_delivery(delivery) if delivery else ()),
    ]
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(families))
    return generate_latest(registry)


class _Families(Collector):
    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Family]:
        return iter(self._families)


def _counted(total: WorkerCounts) -> Iterator[Family]:
    requests, seconds = _family(metrics.REQUESTS), _family(metrics.REQUEST_SECONDS)
    for subject, figures in total.requests.items():
        for outcome, count in figures.outcomes.items():
            _add(requests, metrics.REQUESTS, count, subject, outcome)
        _add_histogram(seconds, metrics.REQUEST_SECONDS, figures.seconds, SECONDS, subject)
    yield requests
    yield seconds
    batches, lag = _family(metrics.BATCHES), _family(metrics.RELAY_LAG)
    _add_histogram(batches, metrics.BATCHES, total.batches, COMMANDS)
    _add_histogram(lag, metrics.RELAY_LAG, total.relay_lag, SECONDS)
    yield batches
    yield lag
    yield _single(metrics.PUBLISHED, total.published)
    events = {"completed": metrics.DEPLOYS, "rolled_back": metrics.ROLLBACKS, "failed": metrics.FAILURES}
    for event, metric in events.items():
        counted = total.deployments.get(event, {})
        yield _by_environment(metric, {name: counted.get(name, 0) for name in ENVIRONMENTS})


def _of_workers(workers: Sequence[WorkerFigures]) -> Iterator[Family]:
    depth, limit = _family(metrics.QUEUE_DEPTH), _family(metrics.QUEUE_LIMIT)
    for name in sorted({name for worker in workers for name in worker.queues}):
        queues = [worker.queues[name] for worker in workers if name in worker.queues]
        _add(depth, metrics.QUEUE_DEPTH, sum(queue.depth for queue in queues), name)
        _add(limit, metrics.QUEUE_LIMIT, sum(queue.limit for queue in queues), name)
    yield depth
    yield limit
    yield _single(metrics.WORKERS, len(workers))
    yield _single(metrics.LEADERS, sum(worker.leads for worker in workers))
    build = _family(metrics.BUILD)
    for version in sorted({worker.version for worker in workers}):
        _add(build, metrics.BUILD, 1, version)
    yield build


def _of_status(status: Status) -> Iterator[Family]:
    up = _family(metrics.UP)
    for name in _COMPONENTS:
        _add(up, metrics.UP, getattr(status, name).status in ("up", "degraded"), name)
    yield up
    outbox = status.outbox.model_dump()
    for metric, member in ((metrics.OUTBOX, "waiting"), (metrics.OUTBOX_AGE, "oldest_seconds")):
        if member in outbox:
            yield _single(metric, outbox[member])


def _of_delivery(delivery: Delivery) -> Iterator[Family]:
    members = {
        metrics.ACTIVE: "active",
        metrics.WAITING: "waiting",
        metrics.FREQUENCY: "deployments_per_day",
        metrics.LEAD_TIME: "lead_time_seconds",
        metrics.FAILURE_RATIO: "change_failure_ratio",
        metrics.RESTORE_TIME: "time_to_restore_seconds",
    }
    for metric, member in members.items():
        told = {each.environment: getattr(each, member) for each in delivery.environments}
        yield _by_environment(metric, {name: value for name, value in told.items() if value is not None})


def _family(metric: Metric) -> Family:
    return Family(metric.name.removesuffix("_total"), metric.help, metric.kind)


def _single(metric: Metric, value: float) -> Family:
    family = _family(metric)
    _add(family, metric, value)
    return family


def _by_environment(metric: Metric, values: Mapping[str, float]) -> Family:
    family = _family(metric)
    for environment, value in values.items():
        _add(family, metric, value, environment)
    return family


def _add(family: Family, metric: Metric, value: float, *labels: str) -> None:
    family.add_sample(metric.name, dict(zip(metric.labels, labels, strict=True)), round(value, _DIGITS))


def _add_histogram(
    family: Family, metric: Metric, counts: Counts, bounds: Sequence[float], *labels: str
) -> None:
    named = dict(zip(metric.labels, labels, strict=True))
    reached = list(accumulate(counts.counts))
    for bound, count in zip([*map(floatToGoString, bounds), "+Inf"], reached, strict=True):
        family.add_sample(f"{metric.name}_bucket", {**named, "le": bound}, count)
    family.add_sample(f"{metric.name}_count", named, reached[-1])
    family.add_sample(f"{metric.name}_sum", named, round(counts.total, _DIGITS))
