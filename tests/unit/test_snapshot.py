import json
from copy import deepcopy
from fractions import Fraction

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.builders import document
from worker.domain.facts import EMPTY
from worker.domain.snapshot import difference, equal, merge_patch, overridden

# Names that need escaping in a JSON Pointer, and look like array indexes, among others.
NAMES = st.sampled_from(["a", "b", "~", "/", "~1", "~0", "a/b", "m~n", "", "-", "0", "é", " "]) | st.text()
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, 1, 2, 2**70])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(NAMES, JSON, max_size=4)

# RFC 7396, Appendix A: original, patch, result.
RFC_7396 = [
    ('{"a":"b"}', '{"a":"c"}', '{"a":"c"}'),
    ('{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'),
    ('{"a":"b"}', '{"a":null}', "{}"),
    ('{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'),
    ('{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'),
    ('{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'),
    ('{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'),
    ('{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'),
    ('["a","b"]', '["c","d"]', '["c","d"]'),
    ('{"a":"b"}', '["c"]', '["c"]'),
    ('{"a":"foo"}', "null", "null"),
    ('{"a":"foo"}', '"bar"', '"bar"'),
    ('{"e":null}', '{"a":1}', '{"e":null,"a":1}'),
    ("[1,2]", '{"a":"b","c":null}', '{"a":"b"}'),
    ("{}", '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'),
]


def canonical(value):
    """A value that equals another's exactly when both are the same in JSON: 1 is 1.0, and not true."""
    if isinstance(value, dict):
        return {name: canonical(item) for name, item in value.items()}
    if isinstance(value, list):
        return [canonical(item) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "number", Fraction(value)
    return type(value).__name__, value


def same(one, other):
    return canonical(one) == canonical(other)


@pytest.mark.parametrize(("original", "patch", "result"), RFC_7396)
def test_the_cases_of_rfc_7396(original, patch, result):
    assert same(merge_patch(json.loads(original), json.loads(patch)), json.loads(result))


@given(JSON, JSON)
def test_a_merge_leaves_what_it_is_given_as_it_was(target, patch):
    before = deepcopy((target, patch))
    merge_patch(target, patch)
    assert same([target, patch], [*before])


@given(JSON, JSON)
def test_merging_the_same_patch_again_changes_nothing(target, patch):
    once = merge_patch(target, patch)
    assert same(merge_patch(once, patch), once)


@given(OBJECTS)
def test_an_empty_patch_changes_nothing(target):
    assert same(merge_patch(target, {}), target)


@pytest.mark.parametrize("strategy", ["replace", "merge"])
@pytest.mark.parametrize("override", [None, {}])
def test_an_empty_override_or_none_leaves_the_entitys_document(strategy, override):
    own = document(replicas=1)
    assert overridden(own, override, strategy) == own


def test_replace_puts_the_override_in_the_documents_place():
    own = document(replicas=1, region="eu")
    assert overridden(own, {"replicas": 2, "note": None}, "replace").value == {"replicas": 2, "note": None}


def test_merge_changes_what_the_override_names_and_removes_what_it_names_null():
    own = document(replicas=1, region="eu", limits={"cpu": 1, "memory": 2})
    merged = overridden(own, {"replicas": 2, "region": None, "limits": {"cpu": None}}, "merge")
    assert merged.value == {"replicas": 2, "limits": {"memory": 2}}


def test_a_merge_that_removes_everything_leaves_an_empty_document():
    assert overridden(document(a=1), {"a": None}, "merge") == EMPTY
    assert overridden(document(a=1), {"a": None}, "merge").is_empty


@given(OBJECTS, OBJECTS)
def test_the_difference_of_two_documents_leads_from_one_to_the_other(before, after):
    patched = jsonpatch.apply_patch(deepcopy(before), difference(before, after))
    assert same(patched, after)


@given(JSON, JSON)
def test_the_difference_of_any_two_values_leads_from_one_to_the_other(before, after):
    patched = jsonpatch.apply_patch(
        {"value": deepcopy(before)}, difference({"value": before}, {"value": after})
    )
    assert same(patched, {"value": after})


@given(OBJECTS, st.data())
def test_the_difference_to_a_neighbour_leads_there_too(before, data):
    after = merge_patch(before, data.draw(OBJECTS))
    assert same(jsonpatch.apply_patch(deepcopy(before), difference(before, after)), after)


@given(OBJECTS)
def test_there_is_no_difference_between_a_document_and_itself(value):
    assert difference(value, deepcopy(value)) == []


@given(JSON, JSON)
def test_there_is_a_difference_exactly_where_two_values_are_not_the_same(one, other):
    assert equal(one, other) == same(one, other)
    assert bool(difference(one, other)) != same(one, other)


@pytest.mark.parametrize(
    ("before", "after"), [(True, 1), (False, 0), ([True], [1]), ({"b": [False]}, {"b": [0]}), (1.0, True)]
)
def test_truth_is_no_number(before, after):
    operations = difference({"a": before}, {"a": after})
    assert operations
    assert same(jsonpatch.apply_patch({"a": before}, operations), {"a": after})
    assert difference({"a": after}, {"a": before})


@pytest.mark.parametrize(
    ("name", "pointer"), [("a/b", "/a~1b"), ("m~n", "/m~0n"), ("~1", "/~01"), ("", "/"), ("é", "/é")]
)
def test_a_members_name_is_escaped_as_rfc_6901_says(name, pointer):
    assert difference({}, {name: 1}) == [{"op": "add", "path": pointer, "value": 1}]
    assert difference({name: 1}, {name: 2}) == [{"op": "replace", "path": pointer, "value": 2}]
    assert difference({name: 1}, {}) == [{"op": "remove", "path": pointer}]


def test_only_what_differs_is_named_and_arrays_are_replaced_whole():
    before = {"keep": {"a": 1}, "deep": {"a": {"b": 1, "c": 2}}, "list": [1, 2, 3]}
    after = {"keep": {"a": 1}, "deep": {"a": {"b": 1, "c": 3}}, "list": [1, 2]}
    assert difference(before, after) == [
        {"op": "replace", "path": "/deep/a/c", "value": 3},
        {"op": "replace", "path": "/list", "value": [1, 2]},
    ]


def test_null_is_a_value_and_not_the_absence_of_one():
    assert difference({"a": None}, {}) == [{"op": "remove", "path": "/a"}]
    assert difference({}, {"a": None}) == [{"op": "add", "path": "/a", "value": None}]


def test_of_a_long_name_above_many_changes_there_is_one_path():
    name = "n" * 60_000
    before, after = ({name: {str(each): sign * each for each in range(9000)}, "same": 1} for sign in (1, -1))
    (operation,) = difference(before, after)
    assert (operation["op"], operation["path"]) == ("replace", f"/{name}")
    assert jsonpatch.apply_patch(before, [operation]) == after


def test_what_has_changed_at_a_thousand_places_is_told_place_by_place():
    before, after = ({"config": {str(each): sign * each for each in range(1, 1001)}} for sign in (1, -1))
    assert len(difference(before, after)) == 1000
