"""Conversations: edited, tried again, found again, renamed and deleted."""

from playwright.async_api import Browser, expect

from tests.browser.page import PHONE, Chat, chatting, open_tab, person, storage
from tests.support import FakeOpenAI, Server
from tests.support.valkey import Valkey


async def test_a_message_is_edited_and_the_conversation_goes_on_from_there(chat: Chat, openai: FakeOpenAI) -> None:
    openai.says("Answer")
    for question in ("one", "two", "three"):
        await chat.ask(question)
    await chat.prompt.fill("A draft")
    await chat.turns.nth(1).hover()
    await chat.turns.nth(1).get_by_role("button", name="Edit message").click()
    await expect(chat.prompt).to_have_value("two")
    await expect(chat.page.get_by_text("Editing your message.")).to_be_visible()
    await chat.send("zwei")
    await expect(chat.questions).to_have_text(["one", "zwei"])
    await expect(chat.turn("done")).to_have_count(2)
    await expect(chat.prompt).to_have_value("A draft")
    sent = [message["content"] for message in openai.calls[-1].request.body["messages"]]
    assert sent[-3:] == ["one", "Answer", "zwei"]
    await chat.page.reload()
    await expect(chat.questions).to_have_text(["one", "zwei"])


async def test_29_up_edits_the_last_message_and_escape_cancels(chat: Chat, openai: FakeOpenAI) -> None:
    openai.says("Answer")
    await chat.ask("one")
    await chat.ask("two")
    await chat.prompt.press("ArrowUp")
    await expect(chat.prompt).to_have_value("two")
    await expect(chat.page.locator("#editing")).to_be_visible()
    await chat.prompt.press("Escape")
    await expect(chat.prompt).to_have_value("")
    await expect(chat.page.locator("#editing")).to_be_hidden()
    await chat.prompt.fill("not empty")
    await chat.prompt.press("ArrowUp")
    await expect(chat.prompt).to_have_value("not empty")
    await expect(chat.questions).to_have_text(["one", "two"])


async def test_an_edit_stops_the_reply_that_is_being_written(chat: Chat, openai: FakeOpenAI) -> None:
    call = await chat.start(openai, "one", "Wrong")
    openai.says("Right")
    await chat.prompt.press("ArrowUp")
    await chat.send("two")
    await expect(chat.turn("done").locator(".md")).to_have_text("Right")
    await expect(chat.questions).to_have_text(["two"])
    await call.closed()


async def test_only_the_last_reply_can_be_tried_again(chat: Chat, openai: FakeOpenAI) -> None:
    openai.says("First")
    await chat.ask("one")
    await chat.ask("two")
    again = chat.button("Try again")
    await expect(again).to_have_count(1)
    openai.says("Second")
    await again.click()
    await expect(chat.replies).to_have_text(["First", "Second"])
    await expect(chat.questions).to_have_text(["one", "two"])


async def test_past_conversations_are_listed_opened_renamed_and_deleted(chat: Chat, openai: FakeOpenAI) -> None:
    openai.says("Answer")
    title = "What is the longest title that a conversation could have,…"
    await chat.ask("What is the longest title that a conversation could have, when its question is that long?")
    await expect(chat.title).to_have_text(title)
    await chat.prompt.fill("First draft")
    await chat.button("New chat").click()
    await expect(chat.title).to_have_text("New chat")
    await expect(chat.prompt).to_have_value("")
    await expect(chat.page.get_by_role("heading", name="What are you working on?")).to_be_visible()
    await chat.ask("Second question")
    await expect(chat.page.locator("#past h2")).to_have_text(["Today"])
    await expect(chat.past).to_have_text(["Second question", title])

    await chat.past.nth(1).click()
    await expect(chat.questions).to_contain_text(["What is the longest title"])
    await expect(chat.prompt).to_have_value("First draft")

    await rename(chat, 1, "Titles")
    await expect(chat.button("Rename “Titles”")).to_be_focused()
    await expect(chat.past).to_have_text(["Second question", "Titles"])
    await expect(chat.title).to_have_text("Titles")
    await chat.page.reload()
    await expect(chat.title).to_have_text("Titles")

    await delete(chat, 1)
    await expect(chat.past).to_have_text(["Second question"])
    await expect(chat.title).to_have_text("New chat")
    await expect(chat.turns).to_have_count(0)
    await delete(chat, 0)
    await expect(chat.past).to_have_count(0)
    await chat.sees("!localStorage['pocket-chat:removed']")
    assert not [name for name in await storage(chat) if name not in ("open", "theme")]


async def test_a_conversation_is_deleted_on_the_server(browser: Browser, server: Server, openai: FakeOpenAI) -> None:
    openai.says("Answer")
    async with person(browser) as context:
        one = await open_tab(context, server.url)
        await one.ask("Forget me")
        two = await open_tab(context, server.url)
        await expect(two.questions).to_have_text(["Forget me"])
        await delete(one, 0)
        await expect(two.turns).to_have_count(0)
        await expect(two.past).to_have_count(0)


async def test_a_deletion_that_did_not_reach_the_server_is_retried(browser: Browser, openai: FakeOpenAI) -> None:
    openai.says("Answer")
    async with Server(openai.url) as server, person(browser) as context:
        one = await open_tab(context, server.url)
        await one.ask("Forget me")
        conversation = (await storage(one))["open"]
        await one.page.route_web_socket("**/ws", lambda socket: None)
        await one.page.reload()
        await delete(one, 0)
        await one.sees("localStorage['pocket-chat:removed']")
        assert (await storage(one))["removed"] == [conversation]
        two = await open_tab(context, server.url)
        await two.sees("!localStorage['pocket-chat:removed']")
        await two.page.evaluate("id => { sessionStorage['pocket-chat:open:tab'] = JSON.stringify(id) }", conversation)
        await two.page.reload()
        await expect(two.page.locator("#empty")).to_be_visible()


async def test_a_new_chat_still_has_its_draft_after_a_visit_elsewhere(chat: Chat, openai: FakeOpenAI) -> None:
    openai.says("Answer")
    await chat.ask("Hello")
    await chat.page.keyboard.press("Control+Shift+O")
    await chat.prompt.fill("Not yet sent")
    await chat.past.click()
    await expect(chat.prompt).to_have_value("")
    await chat.page.keyboard.press("Control+Shift+O")
    await expect(chat.prompt).to_have_value("Not yet sent")
    await chat.page.reload()
    await expect(chat.prompt).to_have_value("Not yet sent")


async def test_a_suggestion_goes_into_the_box(chat: Chat) -> None:
    await chat.button("Draft an email").click()
    await expect(chat.prompt).to_have_value("Write a short email that politely declines a meeting.")
    await expect(chat.prompt).to_be_focused()
    await expect(chat.turns).to_have_count(0)


async def test_the_sidebar_closes_and_stays_closed(chat: Chat) -> None:
    await chat.button("Close sidebar").click()
    await expect(chat.page.locator("#side")).to_be_hidden()
    await chat.page.reload()
    await expect(chat.page.locator("#side")).to_be_hidden()
    await chat.menu_button.click()
    await expect(chat.page.locator("#side")).to_be_visible()


async def test_the_drawer_opens_a_conversation_and_closes(browser: Browser, server: Server, openai: FakeOpenAI) -> None:
    openai.says("Answer")
    async with chatting(browser, server.url, **PHONE) as chat:
        await chat.send_with_button("Hello")
        await expect(chat.turn("done")).to_have_count(1)
        await chat.button("New chat").tap()
        await expect(chat.turns).to_have_count(0)
        await chat.menu_button.tap()
        await chat.past.tap()
        await expect(chat.page.locator("#drawer")).to_be_hidden()
        await expect(chat.questions).to_have_text(["Hello"])


async def rename(chat: Chat, index: int, name: str) -> None:
    await chat.past.nth(index).hover()
    await chat.button("Rename").nth(index).click()
    await chat.page.get_by_label("New name").fill(name)
    await chat.page.get_by_label("New name").press("Enter")


async def delete(chat: Chat, index: int) -> None:
    await chat.past.nth(index).hover()
    await chat.button("Delete “").nth(index).click()
    await chat.button("Delete", exact=True).click()


async def test_M08_a_conversation_that_the_server_lost_is_not_an_empty_page(
    browser: Browser, openai: FakeOpenAI, valkey: Valkey
) -> None:
    openai.says("Answer")
    async with Server(openai.url, STORE_URL=valkey.url) as server, chatting(browser, server.url) as chat:
        gone = chat.page.get_by_text("This conversation is no longer stored.").first
        await chat.ask("one")
        await expect(gone).to_be_hidden()
        valkey.command("FLUSHDB")
        await chat.page.reload()
        await expect(gone).to_be_visible()
        await expect(chat.page.locator("#alarm")).to_have_text("This conversation is no longer stored.")
        await chat.prompt.press_sequentially("tw")
        await expect(gone).to_be_visible()
        await chat.ask("two")
        await expect(gone).to_be_hidden()
        await expect(chat.questions).to_have_text(["two"])
