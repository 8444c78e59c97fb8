"""Manifests as files: what is read, and how faults are named."""

import json

import pytest

from contracts.problems import ProblemError
from worker.entrypoints.manifests import files
from worker.entrypoints.manifests.plan import same

GOOD = """
entities:
  - {name: base, type: model, version: "1"}
  - name: shop
    type: strategy
    version: "2.0"
    config: {country: no, since: 2026-01-31, limit: 1.5, on: true}
    dependencies: [{name: base}]
deployments:
  - {entity: shop, environment: staging}
"""


def faults_of(tmp_path, text, name="shop.yaml"):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ProblemError) as refused:
        files.read([path])
    found = refused.value.extensions["errors"]
    return [f"{each['field']}: {each['message']}".replace(f"{tmp_path}/", "") for each in found]


def test_words_and_dates_are_text_and_only_true_is_true(tmp_path):
    (tmp_path / "shop.yaml").write_text(GOOD)

    wanted = files.read([tmp_path])

    assert wanted.entities["shop"].config == {
        "country": "no",
        "since": "2026-01-31",
        "limit": 1.5,
        "on": True,
    }
    assert files.order(wanted) == ["base", "shop"]
    assert ("shop", "staging") in wanted.deployments


def test_json_reads_as_yaml_does(tmp_path):
    (tmp_path / "one.json").write_text(
        json.dumps({"entities": [{"name": "\U0001f600", "type": "model", "version": "1"}]})
    )

    assert list(files.read([tmp_path / "one.json"]).entities) == ["\U0001f600"]


def test_a_key_twice_in_json_is_refused(tmp_path):
    assert "a second time" in faults_of(tmp_path, '{"entities": [],\n"entities": []}', "shop.json")[0]


def test_every_fault_is_named_with_its_file_line_and_field(tmp_path):
    found = faults_of(
        tmp_path,
        """entities:
  - name: shop
    status: nothing
    version: 3
    confg: {}
deployments:
  - entity: shop
    environment: moon
typo: 1
""",
    )

    assert any(each.startswith("shop.yaml:3: status: ") for each in found)
    assert any(each.startswith("shop.yaml:4: version: ") for each in found)
    assert "shop.yaml:5: confg: is no field here; is it config?" in found
    assert any(each.startswith("shop.yaml:8: environment: ") for each in found)
    assert "shop.yaml:9: typo: is no field here" in found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("entities: [", "shop.yaml:1"),
        ("entities: []\nentities: []\n", "shop.yaml:2: 'entities' stands here a second time"),
        ("- 1\n", "shop.yaml:1: is a mapping with entities and deployments"),
        ("entities: !!python/object/apply:os.system [id]\n", "shop.yaml:1: the tag"),
        ("entities: 5\n", "shop.yaml:1: entities: is a list"),
        ("a: &a [*a]\n", "shop.yaml:1"),
        ("\x00", "shop.yaml:1: is no YAML"),
    ],
)
def test_what_is_no_manifest_is_told_with_its_line(tmp_path, text, said):
    assert any(each.startswith(said) for each in faults_of(tmp_path, text))


def test_aliases_that_unfold_without_end_are_refused(tmp_path):
    levels = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9))

    assert "holds more than" in faults_of(tmp_path, f"a0: &a0 [x]\n{levels}\n")[0]


def test_the_same_entity_twice_and_circles_are_refused(tmp_path):
    one = "{name: a, type: model, version: '1', dependencies: [{name: b}]}"
    other = "{name: b, type: model, version: '1', dependencies: [{name: a}]}"

    assert "depend on each other" in faults_of(tmp_path, f"entities: [{one}, {other}]")[0]
    assert "too" in faults_of(tmp_path, f"entities: [{one}, {one}]")[0]


def test_a_folder_without_manifests_is_told(tmp_path):
    with pytest.raises(ProblemError) as refused:
        files.read([tmp_path])

    assert "holds no" in refused.value.extensions["errors"][0]["message"]


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (1, 1.0, True),
        (1, True, False),
        ({"a": [0]}, {"a": [False]}, False),
        ([1], [1, 2], False),
        ("1", 1, False),
    ],
)
def test_json_values_are_the_same_by_value(one, other, equal):
    assert same(one, other) is equal
