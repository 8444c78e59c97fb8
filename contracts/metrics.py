"""Metrics: what each worker tells of itself when it is asked, and the table of what ``GET /metrics`` shows.

Names and units follow Prometheus' conventions: seconds, totals, ratios from 0 to 1. Labels have few values:
subjects of this contract, codes of its problems, its environments. None holds an id.
"""

from dataclasses import dataclass
from typing import Literal

from pydantic import NonNegativeInt

from contracts.values import Reply

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds of the histograms of times."""

COMMANDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
"""Upper bounds of the histogram of batches."""


class Counts(Reply):
    """A histogram: how many values lie in each range between two bounds, not added up, and their sum."""

    counts: list[NonNegativeInt]
    total: float


class RequestFigures(Reply):
    """A subject's requests: how many ended how (``ok``, or a problem's code), and the seconds they took."""

    outcomes: dict[str, NonNegativeInt]
    seconds: Counts


class WorkerCounts(Reply):
    """What a worker has counted since its start; ``deployments`` by event and environment."""

    requests: dict[str, RequestFigures]
    batches: Counts
    deployments: dict[str, dict[str, NonNegativeInt]]
    published: NonNegativeInt
    relay_lag: Counts


class QueueFigures(Reply):
    """A queue of a worker: how much waits in it, and how much may."""

    depth: NonNegativeInt
    limit: NonNegativeInt


class WorkerFigures(Reply):
    """A worker's answer on ``library.internal.figures``, which each of them gives."""

    worker: str
    version: str
    uptime_seconds: float
    leads: bool
    queues: dict[str, QueueFigures]
    counts: WorkerCounts


Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of ``GET /metrics``; a counter's name ends in ``_total`` where it is shown."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


_BY_ENVIRONMENT = ("environment",)

REQUESTS = Metric(
    "library_requests_total",
    "counter",
    "Requests answered, by subject and outcome: ok, or the problem's code.",
    ("subject", "outcome"),
)
REQUEST_SECONDS = Metric(
    "library_request_duration_seconds",
    "histogram",
    "From a request's arrival at a worker to its answer.",
    ("subject",),
)
BATCHES = Metric("library_batch_commands", "histogram", "Commands that a transaction took.")
QUEUE_DEPTH = Metric("library_queue_depth", "gauge", "Requests that wait in the workers.", ("queue",))
QUEUE_LIMIT = Metric(
    "library_queue_limit",
    "gauge",
    "Requests that may wait in the workers; beyond, they are busy.",
    ("queue",),
)
OUTBOX = Metric("library_outbox_events", "gauge", "Transactions that wait to be announced, at most 10,000.")
OUTBOX_AGE = Metric("library_outbox_oldest_seconds", "gauge", "How long the oldest of them has waited.")
PUBLISHED = Metric("library_relay_published_total", "counter", "Events that the relay put into the stream.")
RELAY_LAG = Metric(
    "library_relay_lag_seconds", "histogram", "From an event's transaction to its place in the stream."
)
LEADERS = Metric("library_relay_leaders", "gauge", "Workers whose relay leads: one, or none for a moment.")
WORKERS = Metric("library_workers", "gauge", "Workers that answer.")
UP = Metric("library_component_up", "gauge", "1 if the part answers, else 0.", ("component",))
ACTIVE = Metric("library_deployments_active", "gauge", "Deployments that are active.", _BY_ENVIRONMENT)
WAITING = Metric(
    "library_deployments_waiting", "gauge", "Deployments that are deploying or pending.", _BY_ENVIRONMENT
)
DEPLOYS = Metric("library_deploys_total", "counter", "Deployments that became active.", _BY_ENVIRONMENT)
ROLLBACKS = Metric(
    "library_rollbacks_total", "counter", "Deployments that were rolled back.", _BY_ENVIRONMENT
)
FAILURES = Metric("library_failures_total", "counter", "Deployments that failed.", _BY_ENVIRONMENT)
FREQUENCY = Metric(
    "library_dora_deployments_per_day",
    "gauge",
    "Deployment frequency: what became active, a day, over the last 28 days.",
    _BY_ENVIRONMENT,
)
LEAD_TIME = Metric(
    "library_dora_lead_time_seconds",
    "gauge",
    "Lead time, median of 28 days: from an entity's change to its first deployment being active.",
    _BY_ENVIRONMENT,
)
FAILURE_RATIO = Metric(
    "library_dora_change_failure_ratio",
    "gauge",
    "Change failure rate of 28 days: what failed or was rolled back, of all that was decided.",
    _BY_ENVIRONMENT,
)
RESTORE_TIME = Metric(
    "library_dora_time_to_restore_seconds",
    "gauge",
    "Time to restore, median of 28 days: from a deployment being active to its rollback.",
    _BY_ENVIRONMENT,
)
BUILD = Metric("library_build_info", "gauge", "1, labelled by the workers' release.", ("version",))

METRICS = (
    REQUESTS,
    REQUEST_SECONDS,
    BATCHES,
    QUEUE_DEPTH,
    QUEUE_LIMIT,
    OUTBOX,
    OUTBOX_AGE,
    PUBLISHED,
    RELAY_LAG,
    LEADERS,
    WORKERS,
    UP,
    ACTIVE,
    WAITING,
    DEPLOYS,
    ROLLBACKS,
    FAILURES,
    FREQUENCY,
    LEAD_TIME,
    FAILURE_RATIO,
    RESTORE_TIME,
    BUILD,
)
"""All that ``GET /metrics`` shows."""
