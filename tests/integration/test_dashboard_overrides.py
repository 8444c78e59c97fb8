"""The form that deploys where agents confirm: waiting for them, and what stands in a deployment's way."""

import asyncio
import re

import pytest
from playwright.async_api import async_playwright, expect

from contracts import subjects
from tests.browser import Browser
from tests.integration.test_dashboard_live import CHROMIUM, in_a_browser
from tests.parity.transports import OverNats

PLACE = "testing"


@pytest.fixture(autouse=True)
def confirmed(system):
    """The environment is one where agents confirm; it is put back."""
    over_nats = OverNats(system)
    listed = over_nats.ask(subjects.ENVIRONMENT_LIST)["environments"]
    before = next(each for each in listed if each["environment"] == PLACE)
    over_nats.ask(subjects.ENVIRONMENT_SET, environment=PLACE, activation="confirmed", auto_rollback=True)
    yield
    over_nats.ask(subjects.ENVIRONMENT_SET, **before)


@pytest.fixture
def browser(system):
    return Browser(system.http_url)


def checkboxes(text):
    return re.findall(r'<input type="checkbox" name="([^"]+)"', text)


def path_of(entity):
    return f"/entities/{entity['entity_id']}/deploy"


def planned(browser, entity, **fields):
    """Status and page of a plan."""
    path = path_of(entity)
    wanted = {"environment": PLACE, "deployed_by": "ada", "step": "plan", **fields}
    status, _, text = browser.send(path, browser.open(path)[2], **wanted)
    return status, text


async def confirm(caller, deployment):
    await caller.ask(
        subjects.DEPLOY_CONFIRM, deployment_id=deployment["deployment_id"], agent="one", outcome="active"
    )


async def there(caller, entity, status):
    found = await caller.ask(
        subjects.DEPLOY_LIST, entity_id=entity["entity_id"], environment=PLACE, status=status
    )
    return found["deployments"]


async def in_quarantine(caller):
    """An entity whose present version was taken back for its health."""
    entity = await caller.create()
    await confirm(caller, await caller.deploy(entity, PLACE))
    entity = await caller.ask(subjects.ENTITY_UPDATE, entity_id=entity["entity_id"], version="2.0.0")
    worse = await caller.deploy(entity, PLACE)
    await confirm(caller, worse)
    for _ in range(3):
        await caller.ask(
            subjects.DEPLOY_HEALTH, deployment_id=worse["deployment_id"], reported_by="x", status="unhealthy"
        )
    return entity


async def test_waiting_is_offered_where_agents_confirm_and_only_there(browser, caller):
    entity = await caller.create()

    assert checkboxes(planned(browser, entity)[1]) == ["wait"]
    assert checkboxes(planned(browser, entity, environment="staging")[1]) == []
    assert checkboxes(browser.open(path_of(entity))[2]) == []


async def test_a_form_that_waits_shows_what_was_decided(browser, caller):
    entity = await caller.create()
    _, plan = planned(browser, entity)
    doing = asyncio.create_task(
        asyncio.to_thread(browser.send, path_of(entity), plan, step="do", wait="true")
    )
    while not (waiting := await there(caller, entity, "deploying")):
        await asyncio.sleep(0.05)
    assert not doing.done()

    await confirm(caller, waiting[0])
    status, where, text = await doing

    assert (status, where) == (200, f"/deployments/{waiting[0]['deployment_id']}")
    assert 'class="state active"' in text


async def test_without_waiting_it_is_shown_while_it_is_deploying(browser, caller):
    entity = await caller.create()

    _, _, text = browser.send(path_of(entity), planned(browser, entity)[1], step="do")

    assert 'class="state deploying"' in text


async def test_what_waits_is_failed_only_if_that_is_ticked_and_its_plan_was_shown(browser, caller):
    entity = await caller.create()
    first = await caller.deploy(entity, PLACE)

    _, plan = planned(browser, entity)
    assert "It would be refused" in plan
    assert first["deployment_id"] in plan
    assert checkboxes(plan) == ["supersede_pending"]
    assert 'value="do"' not in plan

    _, _, same = browser.send(path_of(entity), plan, step="plan")
    assert checkboxes(same) == ["supersede_pending"]

    _, _, other = browser.send(path_of(entity), plan, step="plan", supersede_pending="true")
    assert "What waits there to be confirmed fails" in other
    assert "It would be refused" not in other
    assert (await caller.get(first))["status"] == "deploying"

    browser.send(path_of(entity), other, step="do")
    assert (await caller.get(first))["status"] == "failed"
    assert len(await there(caller, entity, "deploying")) == 1


async def test_what_comes_in_between_is_told_with_the_way_around_it(browser, caller):
    entity = await caller.create()
    _, plan = planned(browser, entity)
    await caller.deploy(entity, PLACE)

    status, _, anew = browser.send(path_of(entity), plan, step="do")
    assert status == 409
    assert checkboxes(anew) == ["supersede_pending"]

    _, _, other = browser.send(path_of(entity), anew, step="plan", supersede_pending="true")
    status, where, _ = browser.send(path_of(entity), other, step="do")
    assert (status, where.startswith("/deployments/")) == (200, True)
    (deployment,) = await there(caller, entity, "deploying")
    assert deployment["deployed_by"] == "ada"


async def test_what_is_in_quarantine_is_deployed_only_if_that_is_ticked_with_a_reason(browser, caller):
    entity = await in_quarantine(caller)

    _, plan = planned(browser, entity)
    assert checkboxes(plan) == ["override_quarantine"]
    assert 'name="reason"' in plan

    status, _, refused = browser.send(path_of(entity), plan, step="plan", override_quarantine="true")
    assert (status, "takes a reason" in refused) == (422, True)

    _, _, other = browser.send(
        path_of(entity), plan, step="plan", override_quarantine="true", reason="The feed is mended"
    )
    assert "Overridden:" in other
    browser.send(path_of(entity), other, step="do")
    (deployment,) = await there(caller, entity, "deploying")
    assert deployment["reason"] == "The feed is mended"


async def test_a_reason_that_was_given_before_is_not_asked_for_again(browser, caller):
    entity = await in_quarantine(caller)

    _, plan = planned(browser, entity, reason="The feed is mended")

    assert checkboxes(plan) == ["override_quarantine"]
    assert plan.count('name="reason"') == plan.count('type="hidden" name="reason"') == 1


@in_a_browser
async def test_a_keyboard_is_enough_and_each_box_has_its_name(system, caller):
    entity = await caller.create()
    first = await caller.deploy(entity, PLACE)
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await (await chromium.new_context(java_script_enabled=False)).new_page()
        await page.goto(f"{system.http_url}{path_of(entity)}?environment={PLACE}")
        await page.get_by_label("Your name").fill("ada")
        await page.get_by_label("Your name").press("Enter")
        group = page.get_by_role("group", name="Do it all the same?")
        box = group.get_by_role("checkbox", name="fail what waits there, and take its place")
        await box.focus()
        await page.keyboard.press("Space")
        await expect(box).to_be_checked()
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await page.get_by_role("button", name=f"Deploy it to {PLACE}").press("Enter")
        await expect(page.locator(".head .state")).to_have_text("deploying")
        await chromium.close()

    assert (await caller.get(first))["status"] == "failed"
