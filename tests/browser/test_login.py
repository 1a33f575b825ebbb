"""The login page, and the way back to it."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, ViewportSize, expect

from tests.browser.page import Chat, open_tab, person, restarted
from tests.browser.test_access import finds_nothing, fits, is_dark, small_targets
from tests.support import FakeOpenAI, Server, write_conversation

PASSWORD = "correct horse"
LARGE: ViewportSize = {"width": 1280, "height": 860}
SMALL: ViewportSize = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
async def locked(openai: FakeOpenAI) -> AsyncIterator[Server]:
    async with Server(openai.url, CHAT_PASSWORD=PASSWORD) as server:
        yield server


async def log_in(chat: Chat, password: str) -> None:
    await chat.page.get_by_label("Password").fill(password)
    async with chat.page.expect_navigation():
        await chat.page.keyboard.press("Enter")


async def test_the_login_page_is_for_everybody_light_and_dark_small_and_large(browser: Browser, locked: Server) -> None:
    async with person(browser) as context:
        chat = await open_tab(context, locked.url)
        await finds_nothing(chat, "login")
        await log_in(chat, "battery")
        await expect(chat.page.get_by_role("alert")).to_have_text("Wrong password.")
        for size in (LARGE, SMALL):
            await chat.page.set_viewport_size(size)
            await fits(chat.page)
            assert await small_targets(chat.page) == []
            for colours in ("light", "dark"):
                await chat.page.emulate_media(color_scheme=colours)
                assert await is_dark(chat) == (colours == "dark")
                await finds_nothing(chat, f"{colours}, {size}")


@pytest.mark.parametrize("script", [True, False], ids=["with scripts", "without scripts"])
async def test_a_password_opens_the_chat(browser: Browser, locked: Server, script: bool) -> None:
    async with person(browser, java_script_enabled=script) as context:
        chat = await open_tab(context, locked.url)
        password = chat.page.get_by_label("Password")
        await expect(password).to_be_focused()
        await expect(password).to_have_attribute("autocomplete", "current-password")
        await log_in(chat, "battery")
        await expect(chat.page.get_by_role("alert")).to_have_text("Wrong password.")
        await log_in(chat, PASSWORD)
        await expect(chat.page).to_have_url(f"{locked.url}/")
        await expect(chat.page.locator("main")).to_be_visible()
        assert all("401" in fault for fault in chat.faults), chat.faults


@pytest.mark.parametrize("wrong_first", [False, True], ids=["at once", "after a wrong password"])
async def test_a_link_from_another_device_survives_the_login(
    browser: Browser, locked: Server, wrong_first: bool
) -> None:
    await write_conversation(locked, "linked", ("Where do we go from here?", "On."))
    async with person(browser) as context:
        chat = await open_tab(context, f"{locked.url}/#conversation=linked")
        await expect(chat.page.get_by_label("Password")).to_be_focused()
        await expect(chat.page).to_have_url(f"{locked.url}/")
        if wrong_first:
            await log_in(chat, "battery")
        await log_in(chat, PASSWORD)
        await expect(chat.questions).to_have_text(["Where do we go from here?"])
        await expect(chat.past).to_have_text(["Where do we go from here?"])
        assert "linked" not in chat.page.url
        # It was opened once: it does not come back over what is opened later.
        await chat.page.keyboard.press("Control+Shift+O")
        await chat.page.reload()
        await expect(chat.page.locator("#empty h2")).to_be_visible()
        assert await chat.page.evaluate("sessionStorage.getItem('pocket-chat:linked')") is None


async def test_a_changed_password_leads_back_to_the_login_and_costs_no_draft(
    browser: Browser, openai: FakeOpenAI
) -> None:
    openai.says("Welcome.")
    async with Server(openai.url, CHAT_PASSWORD=PASSWORD) as server, person(browser) as context:
        chat = await open_tab(context, server.url)
        await log_in(chat, PASSWORD)
        await chat.ask("Hello")
        await chat.prompt.fill("And then")
        server.kill()
        server.environment["CHAT_PASSWORD"] = "battery staple"
        await restarted(server)
        await expect(chat.page.get_by_label("Password")).to_be_visible()
        await log_in(chat, PASSWORD)
        await expect(chat.page.get_by_role("alert")).to_have_text("Wrong password.")
        await log_in(chat, "battery staple")
        await expect(chat.questions).to_have_text(["Hello"])
        await expect(chat.prompt).to_have_value("And then")
