"""A browser for all tests of a run, and a page that notes whatever breaks its content policy."""

import os
import shutil
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, async_playwright

from tests.browser.site import ROOT, Site, serve

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    executable = chromium()
    libraries = (ROOT / "node_modules").exists()
    if executable is None or not libraries:
        missing = "the page's libraries are" if executable else "Chromium is"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{missing} not installed")
        pytest.skip(f"{missing} not installed")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture(scope="session")
async def site() -> AsyncIterator[Site]:
    async with serve() as site:
        yield site


@pytest.fixture
async def harness(browser: Browser, site: Site) -> AsyncIterator[Page]:
    """The modules of the page, alone, under its content policy."""
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(site.url + "/harness.html")
    await page.wait_for_function("() => window.ready")
    yield page
    await context.close()
