"""Whatever bytes arrive on whatever subject: one well-formed reply, and never an internal error."""

import json
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts import headers, subjects
from contracts.endpoints import ENDPOINTS
from contracts.environments import ENVIRONMENTS
from contracts.examples import VALUES, example
from tests.inbox import Inbox, check

HARMLESS = settings(
    max_examples=70,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
TEXTS = st.one_of(
    st.text(max_size=30),
    st.sampled_from(["", "\0", "%", "'", "\\", "a" * 256, "staging", "active", "merge", ">=1", "2026-01-01"]),
    st.builds(lambda: str(uuid4())),
)
NUMBERS = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([0, -1, 2**31, 2**63, 2**64, 10**400, 1e308, 5e-324, -0.0]),
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=10,
)
ANY_ENDPOINT = st.sampled_from(ENDPOINTS)
ANY_HEADERS = st.none() | st.dictionaries(
    st.sampled_from([headers.IDEMPOTENCY_KEY, headers.MESSAGE_ID, headers.DEADLINE, headers.TRACEPARENT]),
    st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=40),
    max_size=3,
)


@st.composite
def almost_requests(draw):
    """An endpoint and a body of its own fields, some of them with values that do not belong there."""
    endpoint = draw(ANY_ENDPOINT)
    names = [*endpoint.request.model_fields, "surplus"]
    body = dict(example(endpoint.request))
    for name in draw(st.lists(st.sampled_from(names), max_size=4, unique=True)):
        body[name] = draw(st.one_of(JSON, st.just(VALUES.get(name)), TEXTS, st.lists(TEXTS, max_size=2)))
    for name in draw(st.lists(st.sampled_from(names), max_size=1)):
        body.pop(name, None)
    return endpoint, body


@pytest.fixture
async def inbox(connection, caller):
    """An inbox; environments that a body happened to change are put back."""
    before = await caller.ask(subjects.ENVIRONMENT_LIST)
    async with Inbox(connection) as opened:
        yield opened
    for environment in before["environments"]:
        await caller.ask(subjects.ENVIRONMENT_SET, **environment)
    assert await caller.ask(subjects.ENVIRONMENT_LIST) == before
    assert len(before["environments"]) == len(ENVIRONMENTS)


@HARMLESS
@given(endpoint=ANY_ENDPOINT, body=st.binary(max_size=300), carried=ANY_HEADERS)
async def test_arbitrary_bytes_get_one_well_formed_reply(inbox, endpoint, body, carried):
    code = check(await inbox.only_reply(endpoint.subject, body, carried), endpoint)

    assert code != "internal_error"


@HARMLESS
@given(endpoint=ANY_ENDPOINT, body=JSON)
async def test_arbitrary_json_gets_one_well_formed_reply(inbox, endpoint, body):
    code = check(await inbox.only_reply(endpoint.subject, json.dumps(body).encode()), endpoint)

    assert code != "internal_error"


@HARMLESS
@given(asked=almost_requests(), carried=ANY_HEADERS)
async def test_bodies_that_are_almost_right_get_one_well_formed_reply(inbox, asked, carried):
    endpoint, body = asked

    code = check(await inbox.only_reply(endpoint.subject, json.dumps(body).encode(), carried), endpoint)

    assert code != "internal_error"
