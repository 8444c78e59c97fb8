import hashlib
import json
import re
import time
from decimal import Decimal
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.builders import (
    document,
)
from tests.unit.test_snapshot import OBJECTS
from worker.domain.facts import EMPTY, Document
from worker.domain.snapshot import digest, equal

SAME = [
    ('{"a":1,"b":2}', '{"b":2,"a":1}'),
    ('{"a":1}', '{ "a" : 1 }'),
    ('{"a":{"x":[1,2],"y":null}}', '{"a": {"y": null, "x": [1, 2]}}'),
    ('{"a":1.0}', '{"a":1}'),
    ('{"a":1e2}', '{"a":100}'),
    ('{"a":1.50}', '{"a":1.5}'),
    ('{"a":0.05}', '{"a":5e-2}'),
    ('{"a":-0.0}', '{"a":0}'),
    ('{"a":-0}', '{"a":0.000}'),
    ('{"a":1E+2}', '{"a":100.00}'),
    ('{"a":1e23}', '{"a":100000000000000000000000}'),
    ('{"a":1e-7}', '{"a":0.0000001}'),
    ('{"a":"é"}', '{"a":"\\u00e9"}'),
    ('{"a":"/"}', '{"a":"\\/"}'),
]
DIFFERENT = [
    *("{}", '{"a":null}', '{"a":1}', '{"a":"1"}', '{"a":true}', '{"a":false}', '{"a":0}', '{"a":-1}'),
    *('{"a":10}', '{"a":0.1}', '{"a":0.01}', '{"a":1.01}', '{"a":101}', '{"a":[1]}', '{"a":[]}', '{"a":{}}'),
    *('{"b":1}', '{"a":{"a":1}}', '{"a":[1,2]}', '{"a":[2,1]}', '{"a":""}', '{"a":" "}', '{"a":["","1",0]}'),
    *('{"a":"é"}', '{"a":"e\\u0301"}', '{"A":1}'),
    *(f'{{"a":{10**30 + 1}}}', f'{{"a":{10**30}}}', f'{{"a":{2**53}}}', f'{{"a":{2**53 + 1}}}'),
    *(f'{{"a":{10**4200}}}', f'{{"a":{10**4200 + 1}}}'),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_digest_of_equal_json_is_the_same_however_it_is_written(one, other):
    assert digest(Document(one), EMPTY) == digest(Document(other), EMPTY)
    assert digest(EMPTY, Document(one)) == digest(EMPTY, Document(other))


def test_the_digests_of_different_documents_differ():
    found = {text: digest(Document(text), EMPTY) for text in DIFFERENT}
    assert len(set(found.values())) == len(DIFFERENT)


def test_a_digest_is_a_sha_256_in_hex():
    assert re.fullmatch(r"[0-9a-f]{64}", digest(document(a=1), EMPTY))


def test_configuration_and_parameters_are_not_exchangeable():
    assert digest(document(a=1), EMPTY) != digest(EMPTY, document(a=1))


@given(OBJECTS, OBJECTS)
def test_digests_are_equal_where_the_documents_are_equal_json_and_nowhere_else(one, other):
    for left, right in combinations((one, other, json.loads(json.dumps(one, indent=2))), 2):
        same = digest(Document.of(left), EMPTY) == digest(Document.of(right), EMPTY)
        assert same is equal(left, right)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_the_same_with_its_exponent_and_as_postgresql_writes_it_in_full(number):
    in_full = format(Decimal(repr(number)), "f")
    assert digest(document(a=number), EMPTY) == digest(Document(f'{{"a":{in_full}}}'), EMPTY)


def as_stored(*documents):
    """The digest as it has been computed since the first quarantine was stored."""

    def number(text):
        sign, digits, exponent = Decimal(text).as_tuple()
        shown = "".join(map(str, digits)).lstrip("0")
        kept = shown.rstrip("0")
        return ["-" if sign and kept else "", kept, exponent + len(shown) - len(kept) if kept else 0]

    values = (json.loads(each.text, parse_float=number, parse_int=number) for each in documents)
    texts = (json.dumps(value, sort_keys=True, separators=(",", ":")) for value in values)
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


@given(OBJECTS, OBJECTS)
def test_digests_that_are_stored_stay_comparable(one, other):
    snapshot = Document.of(one), Document.of(other)
    assert digest(*snapshot) == as_stored(*snapshot)


@given(st.from_regex(r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,9})?", fullmatch=True))
def test_however_a_number_is_spelled_its_stored_digest_stays_comparable(text):
    snapshot = Document(f'{{"a":[{text}]}}'), EMPTY
    assert digest(*snapshot) == as_stored(*snapshot)


@pytest.mark.parametrize("text", [text for pair in SAME for text in pair] + DIFFERENT)
def test_the_digest_of_an_example_is_the_stored_one(text):
    assert digest(Document(text), EMPTY) == as_stored(Document(text), EMPTY)


def test_a_digest_of_very_many_numbers_takes_a_fraction_of_the_time_that_decimals_took():
    snapshot = document(a=[0] * 60_000), document(a=[1.5] * 30_000)

    def seconds(of):
        start = time.process_time()
        of(*snapshot)
        return time.process_time() - start

    assert seconds(digest) < min(seconds(as_stored) for _ in range(3)) / 2
