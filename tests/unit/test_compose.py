"""The ways to run the product elsewhere: compose.yaml, the Dockerfile and the Procfile."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema
from jsonschema.validators import validator_for
from typer.main import get_command

from worker.entrypoints.cli import app
from worker.settings import Settings

ROOT = Path(__file__).parents[2]
OURS = ("migrate", "worker", "gateway")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "compose.yaml").read_text())


def test_it_follows_the_compose_specification(compose):
    schema = get_builtin_schema("vendor.compose-spec")
    faults = [error.message for error in validator_for(schema)(schema).iter_errors(compose)]
    assert faults == []


def test_the_schema_sees_a_wrong_condition(compose):
    schema = get_builtin_schema("vendor.compose-spec")
    broken = compose | {"services": {"a": {"image": "a:1", "depends_on": {"b": {"condition": "perhaps"}}}}}
    assert not validator_for(schema)(schema).is_valid(broken)


def test_nothing_of_ours_starts_before_the_migration_is_done(compose):
    services = compose["services"]
    for name in ("worker", "gateway"):
        assert services[name]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    assert services["migrate"]["depends_on"] == {
        "nats": {"condition": "service_healthy"},
        "postgres-library": {"condition": "service_healthy"},
    }
    assert services["migrate"]["restart"] == "no"


@pytest.mark.parametrize("name", ["nats", "postgres-library", "worker", "gateway"])
def test_what_stays_up_says_how_it_is(compose, name):
    assert compose["services"][name]["healthcheck"]["test"][0] == "CMD"


def test_every_image_is_pinned_by_a_tag(compose):
    images = [service["image"] for service in compose["services"].values()]
    images += re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert len(images) == 7
    for image in images:
        assert re.fullmatch(r"[a-z-]+:\d+\.\d+[a-z0-9.-]*", image), image


def test_the_library_has_a_database_and_volumes_of_its_own(compose):
    database = compose["services"]["postgres-library"]
    assert database["environment"]["POSTGRES_DB"] == "library"
    assert "ports" not in database
    address = compose["services"]["worker"]["environment"]["LIBRARY_DATABASE_URL"]
    assert address.endswith("@postgres-library:5432/library")
    used = {
        volume.partition(":")[0]
        for name in ("nats", "postgres-library")
        for volume in _volumes(compose, name)
    }
    assert used == set(compose["volumes"])


def test_nothing_is_published_beyond_this_machine(compose):
    published = [port for service in compose["services"].values() for port in service.get("ports", ())]
    assert sorted(published) == ["127.0.0.1:4222:4222", "127.0.0.1:8350:8350"]


def test_every_variable_is_a_setting(compose):
    known = {f"LIBRARY_{name.upper()}" for name in Settings.model_fields}
    for name in OURS:
        assert set(compose["services"][name]["environment"]) <= known


def test_every_command_is_one_of_the_command_line(compose):
    commands = set(get_command(app).commands)
    assert {tuple(compose["services"][name]["command"]) for name in OURS} == {(name,) for name in OURS}
    processes = yaml.safe_load((ROOT / "Procfile").read_text())
    assert processes == {
        "release": "library migrate",
        "worker": "library worker",
        "gateway": "library gateway",
    }
    assert set(OURS) | {"status"} <= commands


def test_the_image_runs_as_nobody_in_particular():
    user = re.findall(r"^USER (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert user == ["10001"]


def _volumes(compose: dict[str, Any], service: str) -> list[str]:
    return compose["services"][service]["volumes"]


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "compose.cluster.yaml").read_text())


def test_the_cluster_follows_the_compose_specification(cluster):
    schema = get_builtin_schema("vendor.compose-spec")
    assert [error.message for error in validator_for(schema)(schema).iter_errors(cluster)] == []


def test_the_cluster_has_three_nats_servers_that_know_each_other_and_streams_of_three_replicas(cluster):
    services = cluster["services"]
    servers = [services[f"nats-{number}"] for number in (1, 2, 3)]
    assert len({server["environment"]["NATS_NAME"] for server in servers}) == 3
    assert len({_volumes(cluster, f"nats-{number}")[0] for number in (1, 2, 3)}) == 3
    asked = set(re.findall(r"[$](NATS_[A-Z]+)", (ROOT / cluster["configs"]["nats"]["file"]).read_text()))
    assert all(set(server["environment"]) == asked for server in servers)
    for name in ("migrate", "worker"):
        assert services[name]["environment"]["LIBRARY_REPLICAS"] == "3"
    assert services["worker"]["deploy"]["replicas"] == 2


def test_the_cluster_publishes_the_gateway_on_this_machine_alone_and_has_no_password_of_its_own(cluster):
    published = [port for service in cluster["services"].values() for port in service.get("ports", ())]
    assert published == ["127.0.0.1:8350:8350"]
    assert "PASSWORD:-" not in (ROOT / "compose.cluster.yaml").read_text()


def test_every_variable_of_the_cluster_is_a_setting(cluster):
    known = {f"LIBRARY_{name.upper()}" for name in Settings.model_fields}
    for name in OURS:
        assert set(cluster["services"][name]["environment"]) <= known
