"""``GET /metrics`` of the running product, read as Prometheus reads it."""

import re
import shutil
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

from contracts import subjects
from contracts.environments import ENVIRONMENTS
from contracts.metrics import METRICS
from contracts.problems import Code
from tests.conftest import Refused
from tests.system import eventually

UUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE)


def page_of(system):
    status, body = system.get("/metrics")
    assert status == 200
    return body.decode()


def samples_of(system):
    """Values by name and labels."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page_of(system))
        for sample in family.samples
    }


def requests(samples, subject, outcome="ok"):
    return samples.get(("library_requests_total", ("outcome", outcome), ("subject", subject)), 0)


def by_environment(samples, name, environment):
    return samples.get((name, ("environment", environment)))


async def test_every_metric_of_the_contract_is_there_with_its_type_labels_and_help(system, caller):
    entity = await caller.create()
    for environment in ENVIRONMENTS:
        await caller.deploy(entity, environment)
        await caller.rollback(await caller.deploy(entity, environment))

    families = {each.name: each for each in text_string_to_metric_families(page_of(system))}

    assert families.keys() == {metric.name.removesuffix("_total") for metric in METRICS}
    for metric in METRICS:
        family = families[metric.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (metric.kind, metric.help)
        assert family.samples, metric.name
        for sample in family.samples:
            assert tuple(label for label in sample.labels if label != "le") == tuple(sorted(metric.labels))


async def test_a_deploy_and_a_rollback_are_counted_where_they_happened(system, caller):
    before = samples_of(system)
    entity = await caller.create()
    await caller.deploy(entity, "testing")
    await caller.rollback(await caller.deploy(entity, "testing"))
    after = samples_of(system)

    assert requests(after, subjects.DEPLOY_REQUEST) >= requests(before, subjects.DEPLOY_REQUEST) + 2
    assert requests(after, subjects.DEPLOY_ROLLBACK) >= requests(before, subjects.DEPLOY_ROLLBACK) + 1
    for name, more in (("library_deploys_total", 2), ("library_rollbacks_total", 1)):
        assert by_environment(after, name, "testing") >= by_environment(before, name, "testing") + more


async def test_a_refusal_is_counted_under_its_code(system, caller):
    before = samples_of(system)
    with pytest.raises(Refused):
        await caller.ask(subjects.DEPLOY_GET, deployment_id="00000000-0000-7000-8000-000000000000")
    after = samples_of(system)

    was, now = (requests(each, subjects.DEPLOY_GET, "deployment_not_found") for each in (before, after))
    assert now >= was + 1


async def test_what_is_published_and_how_late_it_was_is_counted(system, caller):
    before = samples_of(system)
    await caller.deploy(await caller.create())

    def counted():
        after = samples_of(system)
        lags = ("library_relay_lag_seconds_count",)
        published = ("library_relay_published_total",)
        return after[published] >= before[published] + 2 and after[lags] >= before[lags] + 2

    eventually(counted)


async def test_labels_hold_no_ids_and_no_names_and_have_few_values(system, caller):
    entity = await caller.create(name="metrics-know-no-names")
    deployment = await caller.deploy(entity, "production")

    page = page_of(system)
    assert not UUID.search(page)
    assert entity["name"] not in page
    assert deployment["deployment_id"] not in page
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            outcome = sample.labels.get("outcome", "ok")
            assert outcome == "ok" or outcome in Code.__args__
            assert sample.labels.get("environment", "staging") in ENVIRONMENTS
            assert sample.labels.get("subject", "library.").startswith("library.")


async def test_what_a_caller_sends_adds_no_series(system, connection):
    page_of(system)
    before = {name for name in samples_of(system) if "library_requests_total" in name}
    for number in range(20):
        subject = f"library.deploy.get.{number}"
        await connection.publish(subject, b"{}", reply=connection.new_inbox())
    await connection.flush()
    after = {name for name in samples_of(system) if "library_requests_total" in name}

    assert not {each for each in after - before if ".get." in str(each)}


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool (Debian's prometheus) is not installed"
)
def test_promtool_finds_nothing_to_mend(system):
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=page_of(system), capture_output=True, text=True, check=False
    )

    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_without_a_worker_the_page_says_so(own_system):
    own_system.start_servers()
    own_system.start_gateway().wait_for_line("nats_connected")

    samples = samples_of(own_system)

    assert samples[("library_workers",)] == 0
    assert samples[("library_component_up", ("component", "worker"))] == 0
    assert samples[("library_component_up", ("component", "nats"))] == 1
    assert ("library_outbox_oldest_seconds",) not in samples


def test_two_workers_are_added_up_and_one_that_ends_stays_counted(own_system):
    own_system.start()
    own_system.start_worker().wait_for_line("worker_ready")
    counted = ("library_requests_total", ("outcome", "ok"), ("subject", subjects.ENVIRONMENT_LIST))
    for _ in range(20):
        assert own_system.get("/api/v1/environments")[0] == 200
    both = samples_of(own_system)
    assert both[("library_workers",)] == 2
    assert both[("library_relay_leaders",)] == 1
    assert both[counted] == 20

    own_system.workers[0].stop()

    one = samples_of(own_system)
    assert one[("library_workers",)] == 1
    assert one[counted] == 20
