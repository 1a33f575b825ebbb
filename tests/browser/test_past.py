"""Past conversations: found, travelled through, taken to another browser or out of it."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, WebSocketRoute, expect

from tests.browser.page import PHONE, Chat, chatting, open_tab, person, storage
from tests.browser.test_access import finds_nothing
from tests.browser.test_opening import settled
from tests.support import FakeOpenAI, Server, write_conversation

ANSWER = "An answer that is long enough to be worth reading. " * 20
FOCUSED = "document.activeElement.ariaLabel ?? document.activeElement.textContent"
REMARKS = """() => {
  const node = document.querySelector('#no-match');
  window.remarks = [];
  new MutationObserver(() => remarks.push(node.textContent)).observe(node, { childList: true });
}"""
WARNING = "Anyone with this link can read and continue this conversation."


@asynccontextmanager
async def with_past(
    browser: Browser, name: str, count: int, *, opens: str = "", **options: Any
) -> AsyncIterator[BrowserContext]:
    """A person who has had conversations name0, name1, ..., the newest first."""
    now = time.time() * 1000
    titles = [f"Conversation {n}{' on Crème brûlée' if n % 10 == 7 else ''}" for n in range(count)]
    past = [{"id": f"{name}{n}", "title": title, "at": now - n * 3_600_000} for n, title in enumerate(titles)]
    async with person(browser, **options) as context:
        for stored, value in {"conversations": past, "open": opens}.items():
            key, text = json.dumps(f"pocket-chat:{stored}"), json.dumps(json.dumps(value))
            await context.add_init_script(f"localStorage[{key}] ??= {text}")
        yield context


async def test_e10_a_conversation_is_saved_and_copied_as_markdown(
    browser: Browser, server: Server, tmp_path: Path
) -> None:
    turns = [(f"Question {n}", f"Answer {n}. {ANSWER}") for n in range(600)]
    await write_conversation(server, "saved0", *turns)
    async with with_past(browser, "saved", 2, opens="saved0") as context:
        chat = await open_tab(context, server.url)
        await expect(chat.questions.last).to_have_text("Question 599")
        assert await chat.turns.count() < 600
        async with chat.page.expect_download() as download:
            await choose(chat, "Save as Markdown")
        saved = await download.value
        assert saved.suggested_filename == "Conversation 0.md"
        await saved.save_as(tmp_path / "saved.md")
        text = (tmp_path / "saved.md").read_text()
        assert text.startswith(
            f"# Conversation 0\n\n## You\n\nQuestion 0\n\n## Assistant\n\nAnswer 0. {ANSWER.strip()}\n"
        )
        assert text.count("\n## You\n") == text.count("\n## Assistant\n") == 600
        await choose(chat, "Copy as Markdown")
        assert await chat.copied() == text
        await expect(chat.page.locator("#toast")).to_have_text("Copied")
        assert chat.faults == []


async def test_e10_fetching_earlier_messages_shows_its_progress_and_can_be_cancelled(
    browser: Browser, server: Server
) -> None:
    await write_conversation(server, "fetched0", *[("Question", ANSWER * 5)] * 100)
    async with with_past(browser, "fetched", 1, opens="fetched0") as context:

        def route(socket: WebSocketRoute) -> None:
            upstream = socket.connect_to_server()
            socket.on_message(lambda frame: None if '"earlier"' in str(frame) else upstream.send(frame))

        await context.route_web_socket("**/ws", route)
        chat = await open_tab(context, server.url)
        await expect(chat.turns).not_to_have_count(0)
        await choose(chat, "Copy as Markdown")
        dialog = chat.page.get_by_role("dialog", name="Fetching earlier messages…")
        await expect(dialog).to_contain_text(f"{await chat.turns.count()} so far")
        await is_accessible(chat, "fetching")
        await dialog.get_by_role("button", name="Cancel").click()
        await expect(dialog).to_be_hidden()
        assert await chat.announced() == []


async def test_e10_a_link_opens_the_conversation_in_another_browser(
    browser: Browser, server: Server, openai: FakeOpenAI
) -> None:
    openai.says("Answer")
    async with chatting(browser, server.url) as chat:
        await expect(chat.button("Conversation menu")).to_be_hidden()
        await chat.ask("Where do we go from here?")
        await rename_title(chat, "My name for it")
        await chat.button("Conversation menu").click()
        await is_accessible(chat, "menu")
        await chat.button("Open on another device…").click()
        await expect(chat.page.get_by_role("dialog")).to_contain_text(WARNING)
        await is_accessible(chat, "link")
        link = await chat.page.get_by_label("Link", exact=True).input_value()
        await chat.button("Copy link").click()
        assert await chat.copied() == link
        id = (await storage(chat))["open"]
    assert link == f"{server.url}/#conversation={id}"

    async with person(browser) as context:
        await context.add_init_script("""window.addresses = [];
          window.WebSocket = class extends WebSocket {
            constructor(url) { super(url); addresses.push(location.href); }
          };""")
        requests: list[str] = []
        context.on("request", lambda request: requests.append(request.url + json.dumps(request.headers)))
        other = await open_tab(context, link)
        await expect(other.questions).to_have_text(["Where do we go from here?"])
        await expect(other.past).to_have_text(["Where do we go from here?"])
        assert await other.page.evaluate("[location.href, ...addresses]") == [f"{server.url}/"] * 2
        assert not [request for request in requests if id in request.partition("#")[0]]
        await other.ask("On")
        await other.page.reload()
        await expect(other.questions).to_have_text(["Where do we go from here?", "On"])
        assert other.faults == []


async def test_e10_a_link_opens_in_an_open_page_and_a_broken_one_is_ignored(browser: Browser, server: Server) -> None:
    await write_conversation(server, "linked", *[(f"Question {n}", ANSWER) for n in range(600)])
    async with chatting(browser, server.url) as chat:
        await chat.page.evaluate("location.hash = '#conversation=linked'")
        await expect(chat.questions.last).to_have_text("Question 599")
        await expect(chat.past).to_have_text(["Question 0"])
        await expect(chat.page).to_have_url(f"{server.url}/")
        await chat.page.go_back()
        await expect(chat.title).to_have_text("New chat")
        for fragment, sentence in {
            "conversation=unknown": "There is no conversation behind this link. It may have been deleted.",
            "conversation=not/an/id": "This link to a conversation is broken.",
        }.items():
            await chat.page.goto(f"{server.url}/#{fragment}")
            await expect(chat.page.locator("#toast")).to_have_text(sentence)
            await expect(chat.page.locator("#empty")).to_be_visible()
            await expect(chat.page).to_have_url(f"{server.url}/")
        await chat.page.goto(f"{server.url}/#conversation=")
        await expect(chat.page.locator("#empty")).to_be_visible()
        await expect(chat.past).to_have_text(["Question 0"])


async def test_e11_many_conversations_are_filtered(browser: Browser, server: Server) -> None:
    async with with_past(browser, "many", 300, **PHONE) as context:
        chat = await open_tab(context, server.url)
        await chat.menu_button.tap()
        await expect(chat.past).to_have_count(300)
        await expect(chat.page.get_by_text("Only this browser has this list.")).to_be_visible()
        await is_accessible(chat, "many")
        filter = chat.page.get_by_label("Filter conversations")
        await filter.fill("BRULEE 21")
        await expect(chat.past.filter(visible=True)).to_have_text(["Conversation 217 on Crème brûlée"])
        await chat.page.evaluate(REMARKS)
        await filter.press_sequentially(" tart")
        await expect(chat.page.get_by_role("status").get_by_text("No conversation matches.")).to_be_visible()
        await expect(chat.page.locator("#past h2").filter(visible=True)).to_have_count(0)
        assert await chat.page.evaluate("remarks") == ["No conversation matches."]
        await is_accessible(chat, "no match")
        await filter.press("Escape")
        await expect(filter).to_have_value("")
        await expect(chat.past.filter(visible=True)).to_have_count(300)
        await filter.press("Escape")
        await expect(chat.page.locator("#drawer")).to_be_hidden()
    async with with_past(browser, "many", 9) as context:
        few = await open_tab(context, server.url)
        await expect(few.past).to_have_count(9)
        await expect(few.page.get_by_label("Filter conversations")).to_be_hidden()


async def test_e11_the_list_is_one_tab_stop_in_which_the_arrow_keys_move(browser: Browser, server: Server) -> None:
    async with with_past(browser, "many", 300) as context:
        chat = await open_tab(context, server.url)
        await expect(chat.past).to_have_count(300)
        keys = chat.page.keyboard

        async def reached_by(*names: str) -> str:
            for name in names:
                await keys.press(name)
            focused: str = await chat.page.evaluate(FOCUSED)
            return focused

        await chat.page.get_by_label("Filter conversations").focus()
        assert await reached_by("Tab") == "Conversation 0"
        assert await reached_by("Tab") == "Light"
        assert await reached_by("Shift+Tab", "ArrowDown", "ArrowDown") == "Conversation 2"
        assert await reached_by("ArrowRight") == "Rename “Conversation 2”"
        assert await reached_by("ArrowRight", "ArrowRight") == "Delete “Conversation 2”"
        assert await reached_by("ArrowDown") == "Delete “Conversation 3”"
        assert await reached_by("Home") == "Conversation 0"
        assert await reached_by("End") == "Conversation 299"
        assert await reached_by("Tab", "Shift+Tab") == "Conversation 299"
        assert await reached_by("Home", "ArrowUp") == "Filter conversations"
        assert await reached_by("ArrowDown", "ArrowRight", "ArrowRight", "Enter") == "Cancel"
        await chat.button("Delete", exact=True).click()
        await expect(chat.past).to_have_count(299)
        await expect(chat.past.first).to_be_focused()


async def test_e19_back_and_forward_go_between_conversations(browser: Browser, server: Server) -> None:
    for n in range(4):
        await write_conversation(server, f"back{n}", (f"Question {n}", "Answer"))
    async with with_past(browser, "back", 4) as context:
        chat = await open_tab(context, server.url)
        for n in range(4):
            await chat.past.nth(n).click()
            await expect(chat.questions).to_have_text([f"Question {n}"])
        await chat.page.go_back()
        await expect(chat.questions).to_have_text(["Question 2"])
        await expect(chat.page.locator("#past [aria-current]")).to_have_text("Conversation 2 ")
        # What was deleted is skipped.
        await chat.past.nth(1).hover()
        await chat.button("Delete “Conversation 1”").click()
        await chat.button("Delete", exact=True).click()
        await expect(chat.past).to_have_count(3)
        await chat.page.go_back()
        await expect(chat.questions).to_have_text(["Question 0"])
        await chat.page.go_forward()
        await expect(chat.questions).to_have_text(["Question 2"])
        await chat.page.reload()
        await expect(chat.questions).to_have_text(["Question 2"])
        await chat.page.go_forward()
        await expect(chat.questions).to_have_text(["Question 3"])
        await chat.page.evaluate("history.go(-2)")
        await expect(chat.questions).to_have_text(["Question 0"])
        await chat.page.go_back()
        await expect(chat.title).to_have_text("New chat")
        await expect(chat.page).to_have_url(f"{server.url}/")


async def test_e19_alt_and_the_arrows_go_from_question_to_question(browser: Browser, server: Server) -> None:
    await write_conversation(server, "alt0", *[(f"Question {n}", ANSWER * 2) for n in range(200)])
    async with with_past(browser, "alt", 1, opens="alt0") as context:
        chat = await open_tab(context, server.url)
        await expect(chat.questions.last).to_have_text("Question 199")
        await settled(chat)
        # The text of what is far out of sight counts as hidden.
        first = int((await chat.questions.first.text_content() or "").removeprefix("Question "))
        assert first > 0
        keys = chat.page.keyboard
        await chat.prompt.fill("A draft")
        for n in (199, 198, 197):
            await keys.press("Alt+ArrowUp")
            await expect(chat.page.locator(".you:focus")).to_have_text(f"Question {n}")
            assert (
                abs(await chat.page.evaluate("document.activeElement.getBoundingClientRect().top - log.offsetTop")) < 40
            )
        await keys.press("Alt+ArrowDown")
        await expect(chat.page.locator(".you:focus")).to_have_text("Question 198")
        await keys.press("Alt+ArrowDown")
        await keys.press("Alt+ArrowDown")
        await expect(chat.prompt).to_be_focused()
        await expect(chat.down_button).to_be_hidden()
        for n in range(199, first - 2, -1):
            await keys.press("Alt+ArrowUp")
            await expect(chat.page.locator(".you:focus")).to_have_text(f"Question {n}")


async def choose(chat: Chat, name: str) -> None:
    await chat.button("Conversation menu").click()
    await chat.button(name, exact=True).click()


async def rename_title(chat: Chat, name: str) -> None:
    await chat.past.first.focus()
    await chat.page.keyboard.press("ArrowRight")
    await chat.page.keyboard.press("Enter")
    await chat.page.get_by_label("New name").fill(name)
    await chat.page.get_by_label("New name").press("Enter")
    await expect(chat.title).to_have_text(name)


async def is_accessible(chat: Chat, state: str) -> None:
    for colours in ("dark", "light"):
        await chat.page.emulate_media(color_scheme=colours)
        await finds_nothing(chat, f"{state} {colours}")
