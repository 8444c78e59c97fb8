"""Pages: by cursor without a gap or a double while more is written, by number, by filter, by size."""

import asyncio
import base64
import json
from uuid import UUID, uuid4

import pytest

from contracts import subjects
from contracts.limits import MAX_DOCUMENT_BYTES, MAX_PAGE_BYTES
from tests.inbox import Inbox, fields, problem_of
from tests.refusals import refusal

LISTS = (
    subjects.DEPLOY_LIST,
    subjects.ENTITY_LIST,
    subjects.ENTITY_DEPLOYMENTS,
    subjects.DEPLOY_HISTORY,
)


def encoded(position: str) -> str:
    return base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


WRONG_CURSORS = {
    "no base64": "!!!",
    "not ASCII": "ä",
    "no UTF-8 behind it": base64.urlsafe_b64encode(b"\xff\xfe\xfd").decode(),
    "a word": encoded("behind the last one"),
    "a time alone": encoded("2026-01-01T00:00:00.000000Z"),
    "an id alone": encoded(str(UUID(int=0))),
    "no time": encoded(f"yesterday {UUID(int=0)}"),
    "no id": encoded("2026-01-01T00:00:00.000000Z 5"),
    "SQL": encoded(f"2026-01-01'; DROP TABLE events; -- {UUID(int=0)}"),
    "a NUL": encoded("\0"),
}


def ids(listed, of="deployment"):
    return [each[f"{of}_id"] for each in listed[f"{of}s"]]


async def pages(caller, subject, asked, between=None):
    """The items of all pages, one list a page."""
    found, cursor = [], None
    while True:
        page = await caller.ask(subject, **asked, **({"cursor": cursor} if cursor else {}))
        (items,) = (page[name] for name in ("deployments", "entities", "events") if name in page)
        found.append(items)
        cursor = page["next_cursor"]
        if cursor is None:
            return found
        if between:
            await between()


@pytest.fixture(scope="module")
def many(system):
    """An entity's name, kept for the tests of this module that share its deployments."""
    return f"many-{uuid4()}"


@pytest.fixture
async def deployed(caller, many):
    """An entity with 250 deployments of its own, newest first."""
    found = await caller.ask(subjects.ENTITY_LIST, name=many)
    entity = found["entities"][0] if found["entities"] else await caller.create(name=many)
    have = (await caller.ask(subjects.ENTITY_DEPLOYMENTS, entity_id=entity["entity_id"]))["total"]
    places = ("staging", "testing")
    await asyncio.gather(*(caller.deploy(entity, places[number % 5 == 0]) for number in range(250 - have)))
    asked = {"entity_id": entity["entity_id"], "page_size": 100}
    listed = await pages(caller, subjects.ENTITY_DEPLOYMENTS, asked)
    return entity, [each for page in listed for each in page]


async def test_pages_by_cursor_have_no_gap_and_no_double_while_new_ones_arrive(caller):
    entity = await caller.create()
    existing = await asyncio.gather(*(caller.deploy(entity) for _ in range(250)))
    existing.sort(key=lambda each: (each["deployed_at"], each["deployment_id"]), reverse=True)
    arrived = []

    async def one_more():
        arrived.append(await caller.deploy(entity))

    asked = {"entity_id": entity["entity_id"], "page_size": 20}
    found = await pages(caller, subjects.ENTITY_DEPLOYMENTS, asked, between=one_more)

    assert [len(page) for page in found] == [20] * 12 + [10]
    assert [each["deployment_id"] for page in found for each in page] == [
        each["deployment_id"] for each in existing
    ]
    assert len(arrived) == 12


async def test_pages_by_cursor_hold_their_place_among_equal_times(system, caller):
    entity = await caller.create()
    await asyncio.gather(*(caller.deploy(entity) for _ in range(30)))
    system.sql(
        "UPDATE deployments SET deployed_at = date_trunc('second', deployed_at) WHERE entity_id = %s",
        (entity["entity_id"],),
    )

    asked = {"entity_id": entity["entity_id"], "page_size": 7}
    found = await pages(caller, subjects.ENTITY_DEPLOYMENTS, asked)

    positions = [(each["deployed_at"], each["deployment_id"]) for page in found for each in page]
    assert len(positions) == 30
    assert positions == sorted(set(positions), reverse=True)


async def test_pages_by_number_are_the_same_as_by_cursor(caller, deployed):
    entity, everything = deployed
    whole = [each["deployment_id"] for each in everything]
    assert len(whole) == 250

    for page, size, shown in ((1, 100, 100), (3, 100, 50), (13, 20, 10), (4, 100, 0), (2**31 - 1, 100, 0)):
        listed = await caller.ask(
            subjects.ENTITY_DEPLOYMENTS, entity_id=entity["entity_id"], page=page, page_size=size
        )
        assert ids(listed) == whole[(page - 1) * size :][:size]
        assert len(listed["deployments"]) == shown
        assert (listed["total"], listed["page"], listed["page_size"]) == (250, page, size)
        assert listed["total_exact"] is True
        assert (listed["next_cursor"] is not None) == (page * size < 250)


async def test_a_cursor_goes_on_behind_a_page_by_number(caller, deployed):
    entity, everything = deployed
    first = await caller.ask(subjects.ENTITY_DEPLOYMENTS, entity_id=entity["entity_id"], page=2, page_size=30)

    following = await caller.ask(
        subjects.ENTITY_DEPLOYMENTS,
        entity_id=entity["entity_id"],
        page=9,
        page_size=5,
        cursor=first["next_cursor"],
    )

    assert ids(following) == [each["deployment_id"] for each in everything[60:65]]


async def test_a_page_has_twenty_unless_it_is_told(caller, deployed):
    entity, everything = deployed

    listed = await caller.ask(subjects.ENTITY_DEPLOYMENTS, entity_id=entity["entity_id"])

    assert ids(listed) == [each["deployment_id"] for each in everything[:20]]
    assert (listed["page"], listed["page_size"]) == (1, 20)


@pytest.mark.parametrize("subject", [subjects.DEPLOY_LIST, subjects.ENTITY_DEPLOYMENTS])
@pytest.mark.parametrize(
    "conditions",
    [
        {"environment": "staging"},
        {"environment": "production"},
        {"status": "inactive"},
        {"status": "active"},
        {"status": "active", "environment": "testing"},
    ],
    ids=str,
)
async def test_filters_narrow_a_list_and_its_total(caller, deployed, subject, conditions):
    entity, everything = deployed
    fitting = [
        each["deployment_id"]
        for each in everything
        if all(each[name] == value for name, value in conditions.items())
    ]

    asked = {"entity_id": entity["entity_id"], **conditions}
    found = await pages(caller, subject, {**asked, "page_size": 100})
    listed = await caller.ask(subject, **asked)

    assert [each["deployment_id"] for page in found for each in page] == fitting
    assert listed["total"] == len(fitting)


async def test_the_list_of_all_deployments_is_newest_first(caller, deployed):
    newest = await caller.deploy(await caller.create())

    listed = await caller.ask(subjects.DEPLOY_LIST, page_size=100)

    assert ids(listed)[0] == newest["deployment_id"]
    times = [each["deployed_at"] for each in listed["deployments"]]
    assert times == sorted(times, reverse=True)
    assert listed["total"] >= 251


async def test_entities_are_listed_by_what_is_asked_newest_first(caller):
    kind = f"k{uuid4().hex[:20]}"
    made = [await caller.create(type=kind, status=status) for status in ["registered", "draft"] * 4]
    await caller.deploy(made[0], "production")
    await caller.deploy(made[2], "staging")
    gone = made.pop(3)
    await caller.ask(subjects.ENTITY_DELETE, entity_id=gone["entity_id"], deleted_by="tests")
    made.reverse()
    whole = [each["entity_id"] for each in made]

    async def asked(**conditions):
        found = await pages(caller, subjects.ENTITY_LIST, {"type": kind, "page_size": 3, **conditions})
        total = (await caller.ask(subjects.ENTITY_LIST, type=kind, **conditions))["total"]
        listed = [each["entity_id"] for page in found for each in page]
        assert total == len(listed)
        return listed

    assert await asked() == whole
    assert await asked(status="draft") == [each["entity_id"] for each in made if each["status"] == "draft"]
    assert await asked(status="deployed") == [made[-3]["entity_id"], made[-1]["entity_id"]]
    assert await asked(environment="production") == [made[-1]["entity_id"]]
    assert await asked(name=made[2]["name"]) == [made[2]["entity_id"]]
    assert await asked(entity_id=made[2]["entity_id"]) == [made[2]["entity_id"]]
    assert await asked(name=gone["name"]) == []


@pytest.mark.parametrize("cursor", WRONG_CURSORS.values(), ids=WRONG_CURSORS)
@pytest.mark.parametrize("subject", LISTS)
async def test_a_cursor_that_no_page_gave_is_a_fault(caller, connection, subject, cursor):
    entity = await caller.create()
    asked = {}
    if subject == subjects.ENTITY_DEPLOYMENTS:
        asked["entity_id"] = entity["entity_id"]
    elif subject == subjects.DEPLOY_HISTORY:
        asked["deployment_id"] = (await caller.deploy(entity))["deployment_id"]

    async with Inbox(connection) as inbox:
        body = json.dumps({**asked, "cursor": cursor}).encode()
        problem = problem_of(await inbox.only_reply(subject, body))

    assert fields(problem) == {"cursor"}


async def test_a_history_is_paged_oldest_first(caller):
    entity = await caller.create()
    first, second = [await caller.deploy(entity) for _ in range(2)]
    for _ in range(4):
        await caller.rollback(second, target_deployment_id=first["deployment_id"])
        await caller.rollback(first, target_deployment_id=second["deployment_id"])
    asked = {"deployment_id": first["deployment_id"]}

    whole = await caller.ask(subjects.DEPLOY_HISTORY, **asked)
    found = await pages(caller, subjects.DEPLOY_HISTORY, {**asked, "page_size": 3})

    assert [len(page) for page in found] == [3, 3, 3, 1]
    assert [event for page in found for event in page] == whole["events"]
    sequences = [int(event["sequence"]) for event in whole["events"]]
    assert sequences == sorted(set(sequences))
    assert (whole["total"], whole["next_cursor"]) == (10, None)


async def test_a_page_that_grows_too_large_ends_early_and_goes_on(caller, connection):
    largest = {"a": "x" * (MAX_DOCUMENT_BYTES - 8)}
    entity = await caller.create(config=largest, parameters=largest)
    made = [await caller.deploy(entity) for _ in range(10)]
    for _ in range(5):
        await caller.rollback(made[9], target_deployment_id=made[0]["deployment_id"])
        await caller.rollback(made[0], target_deployment_id=made[9]["deployment_id"])
    asked = {
        subjects.ENTITY_DEPLOYMENTS: {"entity_id": entity["entity_id"]},
        subjects.DEPLOY_LIST: {"entity_id": entity["entity_id"]},
        subjects.DEPLOY_HISTORY: {"deployment_id": made[0]["deployment_id"]},
    }
    for subject, conditions in asked.items():
        found = await pages(caller, subject, {**conditions, "page_size": 100})
        assert len(found[0]) == 7
        body = json.dumps({**conditions, "page_size": 100}).encode()
        reply = await connection.request(subject, body, timeout=10)
        assert MAX_PAGE_BYTES - 3 * MAX_DOCUMENT_BYTES < len(reply.data) <= MAX_PAGE_BYTES
        if subject == subjects.DEPLOY_HISTORY:
            sequences = [int(event["sequence"]) for page in found for event in page]
            assert len(sequences) == 12
            assert sequences == sorted(set(sequences))
        else:
            listed = [each["deployment_id"] for page in found for each in page]
            assert listed == [each["deployment_id"] for each in reversed(made)]


async def test_a_list_of_nothing_is_empty(caller):
    entity = await caller.create()

    listed = await caller.ask(subjects.ENTITY_DEPLOYMENTS, entity_id=entity["entity_id"])

    assert listed == {
        "deployments": [],
        "total": 0,
        "total_exact": True,
        "page": 1,
        "page_size": 20,
        "next_cursor": None,
    }
    absent = await caller.ask(subjects.DEPLOY_LIST, entity_id=str(uuid4()))
    assert absent["deployments"] == []
    problem = await refusal(caller.ask(subjects.DEPLOY_HISTORY, deployment_id=str(uuid4())))
    assert problem["code"] == "deployment_not_found"
