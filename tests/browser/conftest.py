"""A browser for all tests of a run, the page as a person opens it, and the page's modules alone."""

import os
import shutil
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, async_playwright

from tests.browser.page import Chat, chatting
from tests.browser.site import ROOT, Site, opened, serve
from tests.support import Server

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


def needed(browser: str, executable: str | None) -> str:
    """The browser's path. Without it, or the page's libraries, tests are skipped, but fail in CI."""
    libraries = (ROOT / "node_modules").exists()
    if executable and libraries:
        return executable
    missing = "the page's libraries are" if executable else f"{browser} is"
    if os.environ.get("CI") == "true":
        pytest.fail(f"{missing} not installed")
    pytest.skip(f"{missing} not installed")


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    executable = needed("Chromium", chromium())
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture
async def chat(browser: Browser, server: Server) -> AsyncIterator[Chat]:
    async with chatting(browser, server.url) as chat:
        yield chat


@pytest.fixture(scope="session")
async def site() -> AsyncIterator[Site]:
    async with serve() as site:
        yield site


@pytest.fixture
async def harness(browser: Browser, site: Site) -> AsyncIterator[Page]:
    """The modules of the page, alone, under its content policy."""
    async with opened(browser, site.url + "/harness.html") as page:
        yield page
