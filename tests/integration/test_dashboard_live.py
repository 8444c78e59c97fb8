"""Live pages: the stream that tells them, and the dashboard in a real browser."""

import asyncio
import http.client
import os
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.async_api import async_playwright, expect

from tests.system import READY_SECONDS

CHROMIUM = Path("/usr/bin/chromium")
in_a_browser = pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium")


def stream(system):
    connection = http.client.HTTPConnection("127.0.0.1", system.http_port, timeout=10)
    connection.request("GET", "/live")
    return connection, connection.getresponse()


def next_change(response):
    while True:
        line = response.readline()
        assert line, "the stream ended"
        if line.startswith(b"event: changed"):
            return


async def test_a_change_is_told_to_every_open_page(system, caller):
    entity = await caller.create()
    streams = [stream(system) for _ in range(3)]
    try:
        for _, response in streams:
            assert response.headers["Content-Type"].startswith("text/event-stream")
            await asyncio.to_thread(next_change, response)  # once at the beginning
        await caller.deploy(entity)
        for _, response in streams:
            await asyncio.to_thread(next_change, response)
    finally:
        for connection, _ in streams:
            connection.close()


def test_open_pages_do_not_keep_the_gateway_from_stopping(own_system):
    own_system.start_servers()
    gateway = own_system.start_gateway()
    gateway.wait_for_line("nats_connected")
    connection, response = stream(own_system)
    next_change(response)

    assert gateway.stop(timeout=4) == 0
    assert response.read() is not None
    connection.close()


def test_the_gateway_listens_elsewhere_only_if_that_is_meant_and_says_what_it_means():
    environment = {**os.environ, "LIBRARY_HTTP_HOST": "0.0.0.0"}
    refused = subprocess.run(
        [sys.executable, "-m", "worker", "gateway"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=READY_SECONDS,
        check=False,
    )
    assert refused.returncode == 2
    assert "LIBRARY_HTTP_EXPOSE" in refused.stderr


@pytest.fixture
async def page():
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        opened = await (await chromium.new_context()).new_page()
        opened.wrong = []
        opened.on("console", lambda said: opened.wrong.append(said.text) if said.type == "error" else None)
        opened.on("pageerror", lambda error: opened.wrong.append(str(error)))
        yield opened
        await chromium.close()
        assert opened.wrong == []


@in_a_browser
async def test_a_deploy_appears_on_an_open_page_and_the_focus_stays(page, system, caller):
    entity = await caller.create(version="7.7.7")
    await page.goto(f"{system.http_url}/?from_name={entity['name']}")
    await expect(page.locator("#connection")).to_have_text("live")
    link = page.get_by_role("link", name=entity["name"], exact=True)
    await link.focus()

    deployment = await caller.deploy(entity, "production")

    shown = page.locator(f'a[href="/deployments/{deployment["deployment_id"]}"]')
    await expect(shown).to_have_text("7.7.7", timeout=10_000)
    await expect(link).to_be_focused()


@in_a_browser
async def test_a_rollback_through_the_forms_is_seen_live_on_another_page(page, system, caller):
    entity = await caller.create(parameters={"window": 1})
    first = await caller.deploy(entity, "production")
    second = await caller.deploy(entity, "production", parameters_override={"window": 2})
    other = await page.context.new_page()
    await other.goto(f"{system.http_url}/deployments/{first['deployment_id']}")
    await expect(other.locator("#connection")).to_have_text("live")

    await page.goto(f"{system.http_url}/deployments/{second['deployment_id']}")
    await page.get_by_role("link", name="Roll back").click()
    await page.get_by_label("Your name").fill("ada")
    await page.get_by_label("Reason").fill("it loses money")
    await page.get_by_role("button", name="Show the plan").click()
    await expect(page.locator(".changes")).to_contain_text("/parameters/window")
    await page.get_by_label("type the entity").fill(entity["name"])
    await page.get_by_role("button", name="Roll back to").click()

    await expect(page.locator(".head .state")).to_have_text("rolled_back")
    await expect(other.locator(".head .state")).to_have_text("active", timeout=10_000)


@in_a_browser
async def test_the_theme_is_switched_and_kept(page, system):
    await page.goto(system.http_url)
    ground = "getComputedStyle(document.body).backgroundColor"
    before = await page.evaluate(ground)
    await page.get_by_role("button", name="Light or dark").click()
    after = await page.evaluate(ground)
    assert after != before

    await page.goto(f"{system.http_url}/deployments")
    assert await page.evaluate(ground) == after


@in_a_browser
async def test_on_a_narrow_screen_nothing_is_wider_than_the_screen(page, system, caller):
    entity = await caller.create(name="a-name-that-is-rather-long-and-does-not-end-" + "x" * 80)
    deployment = await caller.deploy(entity, "production")
    await page.set_viewport_size({"width": 360, "height": 740})
    of_it = f"/deployments/{deployment['deployment_id']}"
    form = f"/entities/{entity['entity_id']}/deploy"
    for path in ("/", "/deployments", of_it, f"{of_it}/retire", f"{of_it}/rollback", form):
        await page.goto(system.http_url + path)
        wide = await page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 360, path
