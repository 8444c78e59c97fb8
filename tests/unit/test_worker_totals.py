"""What all workers have counted, however they come and go."""

from contracts.metrics import COMMANDS, SECONDS, Counts, QueueFigures, RequestFigures, WorkerFigures
from worker.domain.figures import Histogram, Outcomes
from worker.entrypoints.gateway.worker_totals import WorkerTotals, nothing

DEPLOY = "library.deploy.request"


def told(worker, *, requests=0, uptime=1.0, subject=DEPLOY):
    seconds = Counts(counts=[requests, *[0] * len(SECONDS)], total=requests / 1000)
    counts = nothing().model_copy(
        update={
            "requests": {subject: RequestFigures(outcomes={"ok": requests}, seconds=seconds)},
            "deployments": {"completed": {"staging": requests}},
            "published": 2 * requests,
        }
    )
    queues = {"writes": QueueFigures(depth=0, limit=10)}
    return WorkerFigures(
        worker=worker, version="1", uptime_seconds=uptime, leads=False, queues=queues, counts=counts
    )


def ok(total, subject=DEPLOY):
    return total.requests[subject].outcomes["ok"]


def test_workers_are_added_up():
    total = WorkerTotals().take([told("a", requests=3), told("b", requests=4)])

    assert ok(total) == 7
    assert total.requests[DEPLOY].seconds.counts[0] == 7
    assert total.requests[DEPLOY].seconds.total == 0.007
    assert total.deployments == {"completed": {"staging": 7}}
    assert total.published == 14


def test_a_worker_that_tells_again_is_counted_once():
    totals = WorkerTotals()
    totals.take([told("a", requests=3)])

    assert ok(totals.take([told("a", requests=5)])) == 5


def test_a_worker_that_is_gone_stays_counted():
    totals = WorkerTotals()
    totals.take([told("a", requests=3), told("b", requests=4)])

    assert ok(totals.take([told("b", requests=6)])) == 9


def test_a_worker_that_ran_long_before_this_gateway_counts_from_where_it_was_met():
    totals = WorkerTotals()

    assert ok(totals.take([told("a", requests=1000, uptime=86400.0)])) == 0
    assert ok(totals.take([told("a", requests=1004, uptime=86415.0)])) == 4


def test_no_total_ever_falls_however_many_workers_come_and_go():
    totals = WorkerTotals()
    for number in range(1000):
        total = totals.take([told(f"worker-{number}", requests=1)])
        assert ok(total) == number + 1


def test_different_subjects_stay_apart():
    total = WorkerTotals().take([told("a", requests=1), told("b", requests=2, subject="library.deploy.get")])

    assert (ok(total), ok(total, "library.deploy.get")) == (1, 2)


def test_a_histogram_counts_a_value_at_the_first_bound_that_holds_it():
    histogram = Histogram(COMMANDS)
    for value in (1, 2, 3, 512, 513):
        histogram.observe(value)
    histogram.observe_many(64, 3)

    assert histogram.counts == [1, 1, 1, 0, 0, 0, 3, 0, 0, 1, 1]
    assert histogram.total == 1 + 2 + 3 + 512 + 513 + 3 * 64


def test_outcomes_tell_the_refused_from_the_rest():
    outcomes = Outcomes(SECONDS)
    for code in (None, "busy", None, "busy", "quarantined"):
        outcomes.count(0.25, code)

    assert outcomes.by_code == {"ok": 2, "busy": 2, "quarantined": 1}
    assert (outcomes.requests, outcomes.errors, outcomes.last_error) == (5, 3, "quarantined")
    assert outcomes.durations.total == 1.25
