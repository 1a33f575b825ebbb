"""Conversations: edited, tried again, found again, renamed and deleted."""

from playwright.async_api import Browser, expect

from tests.browser.page import PHONE, Chat, by_hand, chatting, open_tab, person, storage
from tests.support import FakeOpenAI, Server


async def test_a_message_is_edited_and_the_conversation_goes_on_from_there(
    browser: Browser, server: Server, openai: FakeOpenAI
) -> None:
    openai.says("Answer")
    async with chatting(browser, server.url) as chat:
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
        assert [message["content"] for message in openai.calls[-1].request.body["messages"]][-3:] == [
            "one",
            "Answer",
            "zwei",
        ]
        await chat.page.reload()
        await expect(chat.questions).to_have_text(["one", "zwei"])


async def test_29_up_edits_the_last_message_and_escape_cancels(
    browser: Browser, server: Server, openai: FakeOpenAI
) -> None:
    openai.says("Answer")
    async with chatting(browser, server.url) as chat:
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


async def test_an_edit_stops_the_reply_that_is_being_written(
    browser: Browser, server: Server, openai: FakeOpenAI
) -> None:
    by_hand(openai)
    async with chatting(browser, server.url) as chat:
        await chat.send("one")
        call = await openai.next_call()
        await call.text("Wrong")
        await expect(chat.last_reply).to_have_text("Wrong")
        openai.says("Right")
        await chat.prompt.press("ArrowUp")
        await chat.send("two")
        await expect(chat.turn("done").locator(".md")).to_have_text("Right")
        await expect(chat.questions).to_have_text(["two"])
        await call.closed()


async def test_a_reply_is_written_again_and_only_the_last_one_offers_it(
    browser: Browser, server: Server, openai: FakeOpenAI
) -> None:
    openai.says("First")
    async with chatting(browser, server.url) as chat:
        await chat.ask("one")
        await chat.ask("two")
        again = chat.page.get_by_role("button", name="Try again")
        await expect(again).to_have_count(1)
        openai.says("Second")
        await again.click()
        await expect(chat.replies).to_have_text(["First", "Second"])
        await expect(chat.questions).to_have_text(["one", "two"])


async def test_past_conversations_are_listed_opened_renamed_and_deleted(
    browser: Browser, server: Server, openai: FakeOpenAI
) -> None:
    openai.says("Answer")
    async with chatting(browser, server.url) as chat:
        await chat.ask("What is the longest title that a conversation could have, when its question is that long?")
        await expect(chat.title).to_have_text("What is the longest title that a conversation could have,…")
        await chat.prompt.fill("First draft")
        await chat.page.get_by_role("button", name="New chat").click()
        await expect(chat.title).to_have_text("New chat")
        await expect(chat.prompt).to_have_value("")
        await expect(chat.page.get_by_role("heading", name="What are you working on?")).to_be_visible()
        await chat.ask("Second question")
        await expect(chat.page.locator("#past h2")).to_have_text(["Today"])
        await expect(chat.past).to_have_text(
            ["Second question", "What is the longest title that a conversation could have,…"]
        )

        await chat.past.nth(1).click()
        await expect(chat.questions).to_contain_text(["What is the longest title"])
        await expect(chat.prompt).to_have_value("First draft")

        await rename(chat, 1, "Titles")
        await expect(chat.page.get_by_role("button", name="Rename “Titles”")).to_be_focused()
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


async def test_a_deleted_conversation_is_forgotten_by_the_server(
    browser: Browser, server: Server, openai: FakeOpenAI
) -> None:
    openai.says("Answer")
    async with person(browser) as context:
        one = await open_tab(context, server.url)
        await one.ask("Forget me")
        two = await open_tab(context, server.url)
        await expect(two.questions).to_have_text(["Forget me"])
        await delete(one, 0)
        await expect(two.turns).to_have_count(0)
        await expect(two.past).to_have_count(0)


async def test_a_removal_that_the_server_did_not_hear_is_said_again(browser: Browser, openai: FakeOpenAI) -> None:
    openai.says("Answer")
    async with Server(openai.url) as server, person(browser) as context:
        one = await open_tab(context, server.url)
        await one.ask("Forget me")
        id = (await storage(one))["open"]
        await one.page.route_web_socket("**/ws", lambda socket: None)
        await one.page.reload()
        await delete(one, 0)
        await one.sees("localStorage['pocket-chat:removed']")
        assert (await storage(one))["removed"] == [id]
        two = await open_tab(context, server.url)
        await two.sees("!localStorage['pocket-chat:removed']")
        await two.page.evaluate("id => { sessionStorage['pocket-chat:open:tab'] = JSON.stringify(id) }", id)
        await two.page.reload()
        await expect(two.page.locator("#empty")).to_be_visible()


async def test_the_draft_of_a_new_chat_is_still_there_after_looking_elsewhere(
    browser: Browser, server: Server, openai: FakeOpenAI
) -> None:
    openai.says("Answer")
    async with chatting(browser, server.url) as chat:
        await chat.ask("Hello")
        await chat.page.keyboard.press("Control+Shift+O")
        await chat.prompt.fill("Not yet sent")
        await chat.past.click()
        await expect(chat.prompt).to_have_value("")
        await chat.page.keyboard.press("Control+Shift+O")
        await expect(chat.prompt).to_have_value("Not yet sent")
        await chat.page.reload()
        await expect(chat.prompt).to_have_value("Not yet sent")


async def test_a_suggestion_goes_into_the_box(browser: Browser, server: Server) -> None:
    async with chatting(browser, server.url) as chat:
        await chat.page.get_by_role("button", name="Draft a short email").click()
        await expect(chat.prompt).to_have_value("Write a short email that kindly declines a meeting.")
        await expect(chat.prompt).to_be_focused()
        await expect(chat.turns).to_have_count(0)


async def test_the_sidebar_closes_and_stays_closed(browser: Browser, server: Server) -> None:
    async with chatting(browser, server.url) as chat:
        await chat.page.get_by_role("button", name="Close sidebar").click()
        await expect(chat.page.locator("#side")).to_be_hidden()
        await chat.page.reload()
        await expect(chat.page.locator("#side")).to_be_hidden()
        await chat.page.get_by_role("button", name="Open conversations").click()
        await expect(chat.page.locator("#side")).to_be_visible()


async def test_the_drawer_opens_a_conversation_and_closes(browser: Browser, server: Server, openai: FakeOpenAI) -> None:
    openai.says("Answer")
    async with chatting(browser, server.url, **PHONE) as chat:
        await chat.prompt.fill("Hello")
        await chat.send_button.tap()
        await expect(chat.turn("done")).to_have_count(1)
        await chat.page.get_by_role("button", name="New chat").tap()
        await expect(chat.turns).to_have_count(0)
        await chat.page.get_by_role("button", name="Open conversations").tap()
        await chat.past.tap()
        await expect(chat.page.locator("#drawer")).to_be_hidden()
        await expect(chat.questions).to_have_text(["Hello"])


async def rename(chat: Chat, index: int, name: str) -> None:
    await chat.past.nth(index).hover()
    await chat.page.get_by_role("button", name="Rename").nth(index).click()
    await chat.page.get_by_label("New name").fill(name)
    await chat.page.get_by_label("New name").press("Enter")


async def delete(chat: Chat, index: int) -> None:
    await chat.past.nth(index).hover()
    await chat.page.get_by_role("button", name="Delete “").nth(index).click()
    await chat.page.get_by_role("button", name="Delete", exact=True).click()
