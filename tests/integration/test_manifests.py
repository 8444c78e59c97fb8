"""``library apply``, ``diff`` and ``export`` against the running product."""

import json
import os
import subprocess
import sys
from uuid import uuid4

import pytest

from contracts import subjects


@pytest.fixture
def library(system):
    """Runs a command; gives its exit status, output and errors."""

    def run(*arguments, given=None):
        done = subprocess.run(
            [sys.executable, "-m", "worker", *arguments],
            env=system.environment,
            input=given,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def manifest(tmp_path):
    """A file with two entities, one depending on the other, and three deployments."""
    mark = uuid4().hex[:8]
    path = tmp_path / "shop.yaml"
    path.write_text(f"""
entities:
  - {{name: shop-{mark}, type: strategy, version: "1.0.0", config: {{a: 1, b: 1.0, c: [x, null]}},
     dependencies: [{{name: base-{mark}}}]}}
  - {{name: base-{mark}, type: model, version: "2.0.0", parameters: {{n: 12345678901234567890}}}}
deployments:
  - {{entity: shop-{mark}, environment: staging}}
  - {{entity: base-{mark}, environment: staging}}
  - {{entity: base-{mark}, environment: production, config: {{only: here}}}}
""")
    return path, mark


def test_it_is_all_done_though_nobody_reads_on(system, library, manifest):
    path, _ = manifest
    reading, writing = os.pipe()
    os.close(reading)
    apply = [sys.executable, "-m", "worker", "apply", "-f", str(path)]

    done = subprocess.run(apply, env=system.environment, stdout=writing, timeout=30, check=False)

    os.close(writing)
    assert done.returncode == 0
    assert library("diff", "-f", str(path))[0] == 0


def test_applied_twice_it_changes_nothing(library, manifest):
    path, _ = manifest

    status, out, err = library("apply", "-f", str(path), "--json")
    assert status == 0, err
    assert (json.loads(out)["changed"], json.loads(out)["unchanged"]) == (5, 0)
    assert library("diff", "-f", str(path))[0] == 0

    status, out, _ = library("apply", "-f", str(path), "--json")
    again = json.loads(out)
    assert (status, again["changed"], again["unchanged"], again["actions"]) == (0, 0, 5, [])


async def test_a_change_is_shown_and_then_made_alone(library, manifest, caller):
    path, mark = manifest
    assert library("apply", "-f", str(path))[0] == 0
    path.write_text(path.read_text().replace("1.0.0", "1.1.0"))

    status, out, _ = library("diff", "-f", str(path))
    assert status == 1
    assert 'version: "1.0.0" -> "1.1.0"' in out
    assert library("apply", "-f", str(path), "--dry-run")[0] == 0
    entity = (await caller.ask(subjects.ENTITY_LIST, name=f"shop-{mark}"))["entities"][0]
    assert entity["version"] == "1.0.0"

    _, out, err = library("apply", "-f", str(path))
    assert out.splitlines()[0] == f"~ update shop-{mark}"
    assert f"> deploy shop-{mark} in staging" in out
    assert "1 updated, 1 deployed, 3 unchanged" in err
    found = await caller.ask(
        subjects.DEPLOY_LIST, entity_id=entity["entity_id"], environment="staging", status="active"
    )
    assert [each["version"] for each in found["deployments"]] == ["1.1.0"]


def test_faults_are_told_before_anything_is_written(library, manifest):
    path, mark = manifest
    path.write_text(path.read_text() + "  - {entity: nobody, environment: staging}\n")

    status, out, err = library("apply", "-f", str(path))

    assert (status, out) == (1, "")
    assert f"{path}:10: entity: there is no entity nobody" in err
    path.write_text(f"deployments: [{{entity: shop-{mark}, environment: staging}}]")
    assert f"there is no entity shop-{mark}" in library("apply", "-f", str(path))[2]


async def test_prune_retires_what_is_named_no_more(library, manifest, caller):
    path, mark = manifest
    assert library("apply", "-f", str(path))[0] == 0
    path.write_text(path.read_text().replace(f"  - {{entity: shop-{mark}, environment: staging}}\n", ""))
    assert library("diff", "-f", str(path))[0] == 0

    status, out, _ = library("apply", "-f", str(path), "--prune", "--json")

    assert (status, [each["action"] for each in json.loads(out)["actions"]]) == (0, ["retire"])
    entity = (await caller.ask(subjects.ENTITY_LIST, name=f"shop-{mark}"))["entities"][0]
    found = await caller.ask(subjects.DEPLOY_LIST, entity_id=entity["entity_id"], status="active")
    assert found["deployments"] == []


async def test_what_is_exported_and_applied_changes_nothing(library, own_system):
    import nats

    from tests.conftest import Caller

    own_system.start()
    client = await nats.connect(own_system.nats_url)
    caller = Caller(client)
    odd = {
        "text": "no",
        "number": "007",
        "date": "2026-01-31",
        "ü\u2028": "\U0001f600 'a' \"b\"\n",
        "f": 1e-7,
    }
    old = await caller.create(name="yes", config=odd, tags=["1", "~"], description="a: b # c")
    await caller.deploy(old, "production")
    await caller.ask(subjects.ENTITY_UPDATE, entity_id=old["entity_id"], version="2.0.0", config={"new": 1})
    await caller.deploy(old, "staging", config_override={"deep": {"er": [1, 2.5, None, True]}})
    bare = await caller.create(name="bare", config={}, parameters={})
    await caller.deploy(bare, "production")
    await caller.ask(
        subjects.ENTITY_UPDATE, entity_id=bare["entity_id"], config={"new": 1}, parameters={"n": 1}
    )
    await caller.deploy(bare, "staging")
    await caller.ask(subjects.ENTITY_UPDATE, entity_id=bare["entity_id"], version="3.0.0")
    await caller.create(name="123", dependencies=[{"name": "yes", "version": ">=1"}])
    await client.close()
    at = ["--nats-url", own_system.nats_url]

    for form in ([], ["--json"]):
        status, exported, _ = library("export", *form, *at)
        assert status == 0
        status, out, err = library("apply", "-f", "-", "--json", *at, given=exported)
        assert (status, json.loads(out or "{}").get("changed")) == (0, 0), err


def test_the_schema_is_served_and_takes_what_apply_takes(system):
    import jsonschema
    import yaml

    status, body = system.get("/schemas/manifest.json")
    assert status == 200
    schema = json.loads(body)
    jsonschema.Draft202012Validator.check_schema(schema)
    good = (
        "{entities: [{name: a, type: model, version: '1'}], deployments: [{entity: a, environment: staging}]}"
    )
    jsonschema.validate(yaml.safe_load(good), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"entitys": []}, schema)


def test_a_file_that_is_not_there_is_a_usage_error(library):
    assert library("apply", "-f", "nowhere.yaml")[0] == 2
    assert library("apply")[0] == 2
