"""For everybody: by keyboard, by ear, small, large, dark, still."""

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.page import PHONE, Chat, by_hand, chatting
from tests.support import FakeOpenAI, Server

AXE = (Path(__file__).parents[2] / "node_modules/axe-core/axe.min.js").read_text()
IS_TRAPPED = "drawer.contains(document.activeElement) || document.activeElement === document.body"
WIDE = "\n\n".join(["A very" + "_long_word" * 40, f"```\n{'x' * 300}\n```", f"|{' cell |' * 20}\n|{'---|' * 20}"])


async def test_30_the_drawer_traps_the_focus_and_returns_it(browser: Browser, server: Server) -> None:
    async with chatting(browser, server.url, **PHONE) as chat:
        await chat.menu_button.focus()
        await chat.page.keyboard.press("Enter")
        await expect(chat.page.get_by_role("dialog", name="Conversations")).to_be_visible()
        for _ in range(12):
            await chat.page.keyboard.press("Tab")
            assert await chat.page.evaluate(IS_TRAPPED)
        await chat.page.keyboard.press("Escape")
        await expect(chat.page.get_by_role("dialog")).to_be_hidden()
        await expect(chat.menu_button).to_be_focused()


@pytest.mark.parametrize("size", [{"viewport": {"width": 1280, "height": 860}}, PHONE], ids=["1280", "390"])
@pytest.mark.parametrize("colours", ["light", "dark"])
async def test_31_axe_finds_nothing(
    browser: Browser, server: Server, openai: FakeOpenAI, colours: str, size: dict[str, Any]
) -> None:
    async with chatting(browser, server.url, color_scheme=colours, **size) as chat:
        await expect(chat.page.locator("#empty")).to_be_visible()
        await finds_nothing(chat, "empty")

        openai.says(
            "# Title\n\nText, `code`, [link](https://example.com).\n\n",
            "```python\nx = 1\n```\n\n|a|b|\n|-|-|\n|1|2|\n",
        )
        await chat.send_with_button("Show everything\n" * 20)
        await expect(chat.turn("done")).to_have_count(1)
        await expect(chat.button("Show more")).to_be_visible()
        await finds_nothing(chat, "chat")

        openai.says("The sum is\n\n$$\n\\sum_{n=1}^{100} n = 5050\n$$\n\nand \\(x^2\\) is its square.")
        await chat.send_with_button("Show maths")
        await expect(chat.last_reply.locator("math")).to_have_count(2)
        await finds_nothing(chat, "maths")

        openai.answers(lambda call: call.refuse(500))
        await chat.send_with_button("Fail")
        await expect(chat.turn("error")).to_have_count(1)
        await finds_nothing(chat, "error")

        by_hand(openai)
        await chat.send_with_button("Go on")
        call = await openai.next_call()
        await call.delta({"reasoning_content": "Hm"})
        await call.text("As I was")
        await expect(chat.last_reply).to_have_text("As I was")
        await finds_nothing(chat, "streaming")
        await chat.send_with_button("And then")
        await expect(chat.turn("queued")).to_have_count(1)
        await chat.prompt.fill("A draft")
        await finds_nothing(chat, "queued")
        await call.finish("length")
        call = await openai.next_call()
        await call.text("Cut")
        await call.finish("length")
        await chat.button("Copy reply").last.click()
        await chat.button("Edit message").last.click()
        await finds_nothing(chat, "editing")

        await chat.button("Conversation menu").click()
        await finds_nothing(chat, "menu")
        await chat.button("Open on another device…").click()
        await expect(chat.page.get_by_role("dialog")).to_be_visible()
        await finds_nothing(chat, "link")
        await chat.page.keyboard.press("Escape")
        await expect(chat.button("Conversation menu")).to_be_focused()

        if "is_mobile" in size:
            await chat.menu_button.tap()
        else:
            await chat.past.hover()
            await chat.button("Delete “").click()
        await expect(chat.page.get_by_role("dialog")).to_be_visible()
        await finds_nothing(chat, "drawer or question")


async def test_32_all_of_it_works_by_keyboard_alone(chat: Chat, openai: FakeOpenAI) -> None:
    openai.says("Text\n\n```\ncode\n```\n")
    keys = chat.page.keyboard
    await keys.type("Hello")
    await keys.press("Enter")
    await expect(chat.turn("done")).to_have_count(1)
    await back_to(chat, "Copy")
    await keys.press("Enter")
    assert await chat.copied() == "code\n"
    await back_to(chat, "Edit message")
    await keys.press("Enter")
    await expect(chat.prompt).to_have_value("Hello")
    await expect(chat.prompt).to_be_focused()
    await keys.press("Escape")
    await keys.press("Control+Shift+O")
    await expect(chat.title).to_have_text("New chat")
    await expect(chat.prompt).to_be_focused()
    await back_to(chat, "Hello")
    await keys.press("ArrowRight")
    await keys.press("Enter")
    await keys.type("Renamed")
    await keys.press("Enter")
    await expect(chat.past).to_have_text(["Renamed"])
    await expect(chat.button("Rename “Renamed”")).to_be_focused()
    await keys.press("ArrowRight")
    await keys.press("Enter")
    await expect(chat.button("Cancel")).to_be_focused()
    await keys.press("Escape")
    await keys.press("Home")
    await keys.press("Enter")
    await expect(chat.questions).to_have_text(["Hello"])
    await back_to(chat, "Skip to message box", backwards=False)
    await keys.press("Enter")
    await expect(chat.prompt).to_be_focused()


async def test_the_focus_goes_to_the_box_when_its_button_goes(chat: Chat, openai: FakeOpenAI) -> None:
    call = await chat.start(openai, "Tell me everything", "As far as")
    await chat.stop_button.focus()
    await call.finish("length")
    await expect(chat.turn("length")).to_have_count(1)
    await expect(chat.prompt).to_be_focused()
    openai.answers(lambda call: call.refuse(503))
    for name in ("Continue", "Try again"):
        await chat.button(name, exact=True).first.focus()
        await chat.page.keyboard.press("Enter")
        await expect(chat.turn("error")).to_have_count(1)
        await expect(chat.prompt).to_be_focused()


async def test_33_a_screen_reader_announces_steps_and_not_letters(chat: Chat, openai: FakeOpenAI) -> None:
    await expect(chat.page.get_by_role("log")).to_have_attribute("aria-live", "off")
    by_hand(openai)
    await chat.send("Hello")
    call = await openai.next_call()
    for word in ("One", " two", " three"):
        await call.text(word)
    await chat.finish(call)
    call = await chat.start(openai, "Again", "One")
    await chat.stop_button.click()
    await expect(chat.turn("stopped")).to_have_count(1)
    openai.answers(lambda call: call.refuse(500))
    await chat.ask("Fail")
    await chat.button("Copy reply").first.click()
    await chat.copied()
    replies = ["Assistant is replying", "Reply complete", "Assistant is replying", "Stopped"]
    failure = ["Assistant is replying", "The model's service failed. Try again in a moment."]
    assert await chat.announced() == [*replies, *failure, "Copied"]


@pytest.mark.parametrize("width", [320, 640])
async def test_34_nothing_scrolls_sideways(browser: Browser, server: Server, openai: FakeOpenAI, width: int) -> None:
    openai.says(WIDE)
    # 640 wide with two device pixels each is what a window of 1280 is at 200 %.
    size = {"viewport": {"width": width, "height": 600}, "device_scale_factor": 2}
    async with chatting(browser, server.url, **size) as chat:
        await fits(chat.page)
        await chat.ask(WIDE)
        await fits(chat.page)
        for wide in (chat.last_reply.locator(".tbl"), chat.last_reply.locator("pre")):
            assert await wide.evaluate("node => (node.scrollLeft = 1000, node.scrollLeft)") > 0, "out of reach"
        await chat.menu_button.click()
        await fits(chat.page)


async def test_targets_are_large_enough_for_a_finger(browser: Browser, server: Server, openai: FakeOpenAI) -> None:
    openai.says("Text\n\n```\ncode\n```\n")
    async with chatting(browser, server.url, **PHONE) as chat:
        assert await small_targets(chat.page) == []
        await chat.send_with_button("Hello\n" * 20)
        await expect(chat.turn("done")).to_have_count(1)
        assert await small_targets(chat.page) == []
        await chat.menu_button.tap()
        assert await small_targets(chat.page) == []


async def test_35_motion_is_reduced_if_asked(browser: Browser, server: Server, openai: FakeOpenAI) -> None:
    by_hand(openai)
    async with chatting(browser, server.url, reduced_motion="reduce") as chat:
        await chat.send("Hello")
        call = await openai.next_call()
        await expect(chat.page.locator(".wait")).to_be_visible()
        await call.text("Text")
        await expect(chat.last_reply).to_have_text("Text")
        assert await chat.page.evaluate("document.getAnimations().length") == 0
        await chat.finish(call)


async def test_35_light_or_dark_is_as_chosen_or_matches_the_system(browser: Browser, server: Server) -> None:
    async with chatting(browser, server.url, color_scheme="dark") as chat:
        assert await is_dark(chat)
        await chat.button("Light").click()
        assert not await is_dark(chat)
        await expect(chat.button("Light")).to_have_attribute("aria-pressed", "true")
        await chat.page.reload()
        assert not await is_dark(chat)
        await chat.button("Match the system").click()
        assert await is_dark(chat)
        await chat.page.emulate_media(color_scheme="light")
        assert not await is_dark(chat)
        await chat.button("Dark").click()
        assert await is_dark(chat)


async def test_e04_forced_colours_have_borders_where_there_were_colours(
    browser: Browser, server: Server, openai: FakeOpenAI
) -> None:
    async with chatting(browser, server.url, forced_colors="active") as chat:
        openai.answers(lambda call: call.refuse(500))
        await chat.ask("Fail")
        call = await chat.start(openai, "Hello", "Fine")
        await call.finish("length")
        await expect(chat.turn("length")).to_have_count(1)
        note = ".turn[data-status=error] .note"
        borders = "nodes => nodes.map((node) => getComputedStyle(node).borderTopWidth)"
        bordered = chat.page.locator(f".you .body, .box, .toast, {note}")
        assert await bordered.evaluate_all(borders) == ["1px"] * 5
        # A remark has no ground of its own.
        assert await chat.turn("length").locator(".note").evaluate_all(borders) == ["0px"]


async def finds_nothing(chat: Chat, state: str) -> None:
    await chat.page.evaluate(AXE)
    # Those in a turn that is out of sight do not go on.
    await chat.page.evaluate("""() => Promise.all(document.getAnimations()
      .filter((it) => it instanceof CSSTransition)
      .filter((it) => it.effect.target.checkVisibility({ contentVisibilityAuto: true }))
      .map((it) => it.finished))""")
    found = await chat.page.evaluate("axe.run().then(({ violations }) => violations)")
    assert [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found] == [], state


async def back_to(chat: Chat, name: str, *, backwards: bool = True) -> None:
    """Go there by Tab alone."""
    focused = "(({ ariaLabel, textContent }) => ariaLabel ?? textContent.trim())(document.activeElement)"
    seen = []
    for _ in range(40):
        await chat.page.keyboard.press("Shift+Tab" if backwards else "Tab")
        seen.append(await chat.page.evaluate(focused))
        if seen[-1] == name:
            return
    raise AssertionError(f"{name} cannot be reached: {seen}")


async def fits(page: Page) -> None:
    wide = """[...document.querySelectorAll('body, .main, .log, .col, .turn, .box, .side')]
      .filter((node) => node.scrollWidth > node.clientWidth + 1).map((node) => node.className || node.nodeName)"""
    assert await page.evaluate(wide) == []


async def small_targets(page: Page) -> list[str]:
    small: list[str] = await page.evaluate("""[...document.querySelectorAll('button')].filter((node) => {
      const { width, height } = node.getBoundingClientRect();
      return node.checkVisibility({ opacityProperty: true }) && (width < 44 || height < 44);
    }).map((node) => node.outerHTML)""")
    return small


async def is_dark(chat: Chat) -> bool:
    dark: bool = await chat.page.evaluate(
        "parseFloat(getComputedStyle(document.body).backgroundColor.match(/[\\d.]+/)[0]) < 0.5"
    )
    return dark
