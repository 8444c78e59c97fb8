"""What runs where, as a request."""

import pytest

from contracts import subjects
from tests.conftest import Refused


async def row_of(caller, entity):
    told = await caller.ask(subjects.DEPLOY_MATRIX, from_name=entity["name"], page_size=1)
    return told["rows"][0]


async def test_an_entity_is_shown_with_what_is_active_in_each_environment(caller):
    entity = await caller.create()
    staging = await caller.deploy(entity)
    production = await caller.deploy(entity, "production")

    row = await row_of(caller, entity)

    assert row["entity_id"] == entity["entity_id"]
    assert [place["environment"] for place in row["places"]] == ["staging", "production"]
    assert [place["deployment_id"] for place in row["places"]] == [
        staging["deployment_id"],
        production["deployment_id"],
    ]
    assert {place["version"] for place in row["places"]} == {"1.0.0"}
    assert all(place["active_since"].endswith("Z") for place in row["places"])
    assert all((place["deploying_id"], place["pending"]) == (None, 0) for place in row["places"])


async def test_what_is_retired_or_superseded_is_not_shown(caller):
    entity = await caller.create()
    await caller.deploy(entity)
    second = await caller.deploy(entity)
    assert (await row_of(caller, entity))["places"][0]["deployment_id"] == second["deployment_id"]

    await caller.retire(second)

    assert (await row_of(caller, entity))["places"] == []


async def test_pages_by_cursor_show_every_entity_once_in_one_order(caller):
    created = {(await caller.create())["entity_id"] for _ in range(5)}
    seen, cursor = [], None
    while True:
        page = await caller.ask(subjects.DEPLOY_MATRIX, page_size=7, **({"cursor": cursor} if cursor else {}))
        seen += [row["entity_id"] for row in page["rows"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert created <= set(seen)
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize("cursor", ["%", "AA==", "0197f3a2"])
async def test_what_is_no_cursor_is_refused(caller, cursor):
    with pytest.raises(Refused) as refused:
        await caller.ask(subjects.DEPLOY_MATRIX, cursor=cursor)

    assert refused.value.code == "invalid_request"
    assert refused.value.problem["errors"][0]["field"] == "cursor"
