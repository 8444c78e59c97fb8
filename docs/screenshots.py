"""Takes the pictures of docs/images in Debian's chromium, of a product that it starts and stops.

``python docs/screenshots.py``, from the repository's root.
"""

import asyncio
from pathlib import Path

import nats
from playwright.async_api import Browser, Page, async_playwright

from contracts import subjects
from tests.conftest import Caller
from tests.system import System

_IMAGES = Path(__file__).parent / "images"
_CHROMIUM = "/usr/bin/chromium"
_WIDE = {"width": 1280, "height": 800}
_NARROW = {"width": 390, "height": 844}
_NAMES = (
    "arbitrage-fx",
    "market-maker-eu",
    "mean-reversion",
    "momentum-us-large-cap",
    "pairs-energy",
    "volatility-surface",
)


async def _fill(caller: Caller) -> tuple[str, str]:
    """Deploy this and that; the paths of what was rolled back, and of the form that rolls back."""
    await caller.ask(
        subjects.ENVIRONMENT_SET, environment="production", activation="confirmed", confirm_timeout_s=600
    )
    rolled_back = active = ""
    for number, name in enumerate(_NAMES):
        kind = "strategy" if number % 2 else "model"
        entity = await caller.create(name=name, version=f"1.{number}.0", type=kind, parameters={"window": 10})
        await caller.deploy(entity, "development", reason="nightly build")
        if number % 3 != 1:
            await caller.deploy(entity, "staging")
        if number % 2 == 0:
            await _into_production(caller, entity, confirmed=number > 0)
        if number == len(_NAMES) // 2:
            changed = {"parameters_override": {"window": 20}, "override_strategy": "merge"}
            second = await caller.deploy(entity, "staging", reason="wider window", **changed)
            await caller.rollback(second, reason="it lost money in the first hour")
            rolled_back = f"/deployments/{second['deployment_id']}"
            third = await caller.deploy(entity, "staging", **changed)
            active = f"/deployments/{third['deployment_id']}/rollback"
    return rolled_back, active


async def _into_production(caller: Caller, entity: dict[str, object], *, confirmed: bool) -> None:
    waiting = await caller.deploy(entity, "production")
    if confirmed:
        await caller.ask(
            subjects.DEPLOY_CONFIRM,
            deployment_id=waiting["deployment_id"],
            agent="runner-1",
            outcome="active",
        )


async def _take(browser: Browser, base: str, rolled_back: str, active: str) -> None:
    for theme in ("light", "dark"):
        for name, path in (("matrix", "/"), ("list", "/deployments"), ("deployment", rolled_back)):
            for width, size in (("", _WIDE), ("-narrow", _NARROW)):
                page = await browser.new_page(viewport=size, color_scheme=theme)
                await page.goto(base + path)
                await page.get_by_text("live", exact=True).wait_for()
                await page.screenshot(path=_IMAGES / f"{name}{width}-{theme}.png")
                await page.close()
        page = await browser.new_page(viewport=_WIDE, color_scheme=theme)
        await _plan(page, base + active)
        await page.screenshot(path=_IMAGES / f"plan-{theme}.png")
        await page.close()


async def _plan(page: Page, url: str) -> None:
    await page.goto(url)
    await page.get_by_label("Your name").fill("ada")
    await page.get_by_label("Reason").fill("it loses money")
    await page.get_by_role("button", name="Show the plan").click()
    await page.locator(".changes").wait_for()


async def _main(system: System) -> None:
    connection = await nats.connect(system.nats_url)
    rolled_back, active = await _fill(Caller(connection))
    _IMAGES.mkdir(exist_ok=True)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
        await _take(browser, system.http_url, rolled_back, active)
        await browser.close()
    await connection.close()


if __name__ == "__main__":
    product = System()
    try:
        product.start()
        asyncio.run(_main(product))
    finally:
        product.stop()
