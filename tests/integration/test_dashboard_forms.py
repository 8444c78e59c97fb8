"""The dashboard's forms, sent as a browser without script sends them."""

import re
from uuid import uuid4

import pytest

from contracts import subjects
from tests.browser import Browser


@pytest.fixture
def browser(system):
    return Browser(system.http_url)


def deploy_form(entity):
    return f"/entities/{entity['entity_id']}/deploy"


async def active(caller, entity, environment):
    found = await caller.ask(
        subjects.DEPLOY_LIST, entity_id=entity["entity_id"], environment=environment, status="active"
    )
    return found["deployments"]


async def test_a_deploy_shows_its_plan_first_and_does_it_when_that_is_sent_back(browser, caller):
    entity = await caller.create(version="2.0.0", parameters={"window": 10})
    path = deploy_form(entity)
    _, _, form = browser.open(path)
    status, _, plan = browser.send(
        path,
        form,
        environment="staging",
        deployed_by="ada",
        step="plan",
        parameters_override='{"window": 20}',
        override_strategy="merge",
    )

    assert status == 200
    assert "Nothing is active there now" in plan
    assert "&#34;window&#34;: 20" in plan
    assert await active(caller, entity, "staging") == []

    status, where, text = browser.send(path, plan, step="do")

    (deployment,) = await active(caller, entity, "staging")
    assert (status, where) == (200, f"/deployments/{deployment['deployment_id']}")
    assert entity["name"] in text
    assert deployment["deployed_by"] == "ada"
    assert deployment["deployment_method"] == "dashboard"
    assert deployment["parameters_snapshot"] == {"window": 20}


async def test_a_plan_that_is_sent_twice_is_done_once(browser, caller):
    entity = await caller.create()
    path = deploy_form(entity)
    _, _, plan = browser.send(
        path, browser.open(path)[2], environment="testing", deployed_by="ada", step="plan"
    )

    places = [browser.send(path, plan, step="do")[1] for _ in range(2)]

    found = await caller.ask(subjects.ENTITY_DEPLOYMENTS, entity_id=entity["entity_id"])
    assert places[0] == places[1]
    assert found["total"] == 1


async def test_in_production_the_name_is_asked_for_and_without_it_nothing_is_done(browser, caller):
    entity = await caller.create()
    path = deploy_form(entity)
    _, _, plan = browser.send(
        path, browser.open(path)[2], environment="production", deployed_by="ada", step="plan"
    )
    assert 'name="really"' in plan

    for wrong in ({}, {"really": "something else"}):
        _, _, plan = browser.send(path, plan, step="do", **wrong)
        assert "nothing was done" in plan
    assert await active(caller, entity, "production") == []

    browser.send(path, plan, step="do", really=entity["name"])
    assert len(await active(caller, entity, "production")) == 1


async def test_a_deploy_of_another_version_than_was_planned_is_refused(browser, caller):
    entity = await caller.create(version="1.0.0")
    path = deploy_form(entity)
    _, _, plan = browser.send(
        path, browser.open(path)[2], environment="testing", deployed_by="ada", step="plan"
    )
    await caller.ask(
        subjects.ENTITY_UPDATE,
        entity_id=entity["entity_id"],
        version="1.1.0",
        expected_revision=entity["revision"],
    )

    status, _, text = browser.send(path, plan, step="do")

    assert status == 409
    assert 'role="alert"' in text
    assert await active(caller, entity, "testing") == []


async def test_a_rollback_shows_what_it_goes_back_to_and_goes_back(browser, caller):
    entity = await caller.create(parameters={"window": 10})
    first = await caller.deploy(entity, "staging")
    second = await caller.deploy(
        entity, "staging", parameters_override={"window": 20}, override_strategy="merge"
    )
    path = f"/deployments/{second['deployment_id']}/rollback"
    _, _, form = browser.open(path)
    assert f'value="{first["deployment_id"]}" selected' in form
    assert f'href="{path}"' in browser.open(f"/deployments/{second['deployment_id']}")[2]

    _, _, plan = browser.send(
        path,
        form,
        target_deployment_id=first["deployment_id"],
        rolled_back_by="ada",
        reason="it loses",
        step="plan",
    )
    assert "/parameters/window" in plan
    status, _, _ = browser.send(path, plan, step="do")

    assert status == 200
    (now,) = await active(caller, entity, "staging")
    assert now["deployment_id"] == first["deployment_id"]


async def test_what_was_rolled_back_is_offered_behind_what_is_sound_and_marked(browser, caller):
    entity = await caller.create()
    first = await caller.deploy(entity, "staging")
    second = await caller.deploy(entity, "staging")
    await caller.rollback(second, reason="it loses")
    third = await caller.deploy(entity, "staging")
    path = f"/deployments/{third['deployment_id']}/rollback"

    _, _, form = browser.open(path)

    options = re.findall(r'<option value="([^"]+)"( selected)?>([^<]*)<', form)
    assert [(which, bool(selected)) for which, selected, _ in options] == [
        (first["deployment_id"], True),
        (second["deployment_id"], False),
    ]
    assert "(rolled back)" in options[1][2]
    assert "(rolled back)" not in options[0][2]
    assert re.findall(r'<optgroup label="([^"]+)"', form) == ["Ran before", "Were rolled back themselves"]

    wanted = {"target_deployment_id": second["deployment_id"], "rolled_back_by": "ada", "reason": "better"}
    _, _, plan = browser.send(path, form, step="plan", **wanted)
    assert "That one was rolled back itself" in plan
    assert "it loses" in plan
    browser.send(path, plan, step="do")
    (now,) = await active(caller, entity, "staging")
    assert now["deployment_id"] == second["deployment_id"]


async def test_where_only_what_was_rolled_back_is_left_none_is_chosen_beforehand(browser, caller):
    entity = await caller.create()
    first = await caller.deploy(entity, "staging")
    await caller.rollback(await caller.deploy(entity, "staging"))

    path = f"/deployments/{first['deployment_id']}/rollback"
    _, _, form = browser.open(path)

    assert re.search(r'<option value="" selected>', form)
    status, _, text = browser.send(path, form, rolled_back_by="ada", reason="x", step="plan")
    assert (status, "target_deployment_id" in text) == (422, True)


async def test_where_nothing_ran_before_the_form_says_so(browser, caller):
    deployment = await caller.deploy(await caller.create(), "staging")

    status, _, form = browser.open(f"/deployments/{deployment['deployment_id']}/rollback")

    assert status == 200
    assert "Nothing ran there before it" in form
    assert "<select" not in form


async def test_a_retirement_is_asked_for_twice_and_leaves_nothing(browser, caller):
    entity = await caller.create()
    deployment = await caller.deploy(entity, "testing")
    path = f"/deployments/{deployment['deployment_id']}/retire"
    _, _, plan = browser.send(path, browser.open(path)[2], retired_by="ada", reason="over", step="plan")
    assert "nothing takes its place" in plan
    assert len(await active(caller, entity, "testing")) == 1

    assert browser.send(path, plan, step="do")[0] == 200
    assert await active(caller, entity, "testing") == []


async def test_what_is_wrong_in_a_form_is_said_with_the_form(browser, caller):
    entity = await caller.create()
    path = deploy_form(entity)
    _, _, form = browser.open(path)

    status, _, text = browser.send(
        path,
        form,
        environment="testing",
        deployed_by="<ada>",
        config_override="[1",
        parameters_override="[]",
        step="plan",
    )

    assert status == 422
    assert "<code>config_override</code> is no JSON" in text
    assert "<code>parameters_override</code> must be a JSON object" in text
    assert 'value="&lt;ada&gt;"' in text


@pytest.mark.parametrize(
    "wrong",
    [
        {"token": "x"},
        {"token": ""},
        {"headers": {"Origin": "https://elsewhere.example"}},
        {"headers": {"Sec-Fetch-Site": "cross-site"}},
    ],
    ids=["another-token", "no-token", "another-site", "said-by-the-browser"],
)
async def test_a_form_that_is_not_from_here_changes_nothing(browser, caller, wrong):
    entity = await caller.create()
    path = deploy_form(entity)
    _, _, form = browser.open(path)

    status, _, _ = browser.send(
        path, form, **{"environment": "testing", "deployed_by": "eve", "step": "do", **wrong}
    )

    assert status == 403
    assert await active(caller, entity, "testing") == []


async def test_the_cookie_of_forms_is_kept_from_scripts_and_other_sites(browser, caller):
    browser.open(deploy_form(await caller.create()))

    (cookie,) = browser.cookies
    assert cookie.has_nonstandard_attr("HttpOnly")
    assert cookie.get_nonstandard_attr("SameSite") == "strict"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8350", "localhost.evil.example", "a@127.0.0.1"]
)
def test_a_name_that_somebody_pointed_here_is_refused(browser, host):
    for path in ("/", "/api/v1/deployments", f"/deployments/{uuid4()}/retire"):
        assert browser.open(path, Host=host)[0] == 403


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:8350", "192.0.2.7:80"])
def test_addresses_and_localhost_are_known(browser, host):
    assert browser.open("/health/ready", Host=host)[0] == 200
