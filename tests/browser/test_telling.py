"""What the page says about a reply: in the tab's title, on its buttons, and when it did not work."""

import re

import pytest
from playwright.async_api import expect

from chat.frames import ERRORS
from tests.browser.page import Chat, by_hand
from tests.support import Call, FakeOpenAI

LEAVES = """
window.away = false;
Object.defineProperty(document, 'hidden', { get: () => away });
window.leave = (away) => { window.away = away; document.dispatchEvent(new Event('visibilitychange')); };
"""
UNTITLED = """[document, document.querySelector('#turn').content]
  .flatMap((root) => [...root.querySelectorAll('.ib, .go')])
  .filter(({ title, ariaLabel }) => !title.startsWith(ariaLabel)).map((node) => node.outerHTML)"""


async def test_e09_the_title_tells_of_a_reply_that_nobody_watched(chat: Chat, openai: FakeOpenAI) -> None:
    await chat.page.evaluate(LEAVES)
    call = await chat.start(openai, "Tell me", "Once")
    await expect(chat.page).to_have_title("… Tell me · Pocket Chat")
    await chat.page.evaluate("leave(true)")
    await chat.finish(call)
    await expect(chat.page).to_have_title("● Tell me · Pocket Chat")
    await chat.page.evaluate("leave(false)")
    await expect(chat.page).to_have_title("Tell me · Pocket Chat")
    await chat.finish(await chat.start(openai, "Again", "Twice"), 2)
    await expect(chat.page).to_have_title("Tell me · Pocket Chat")


async def test_e12_icons_have_titles_and_copying_says_so(chat: Chat, openai: FakeOpenAI) -> None:
    openai.says("```\ncode\n```\n")
    await chat.page.clock.install()
    assert await chat.page.evaluate(UNTITLED) == []
    await expect(chat.send_button).to_have_attribute("title", "Send message (Enter)")
    await chat.ask("Show code")
    for button in (chat.page.locator("[data-do=copy-code]"), chat.page.locator("[data-do=copy]")):
        before = await button.inner_text()
        await button.click()
        await button.click()
        await expect(button).to_have_accessible_name("Copied")
        await expect(button).to_have_text("Copied")
        await expect(chat.page.locator("#say")).to_have_text("Copied")
        await chat.page.clock.run_for(1600)
        await expect(button).to_have_text(before)


async def test_a_short_remark_covers_no_button(chat: Chat, openai: FakeOpenAI) -> None:
    openai.says("A line.\n\n" * 60)
    await chat.ask("Write a lot")
    await chat.page.evaluate("log.scrollTop = 0")
    await expect(chat.down_button).to_be_visible()
    await chat.button("Conversation menu").click()
    await chat.button("Copy as Markdown").click()
    await expect(chat.page.locator("#toast")).to_be_visible()
    toast = await chat.page.locator("#toast").bounding_box()
    button = await chat.down_button.bounding_box()
    assert toast
    assert button
    assert toast["y"] + toast["height"] <= button["y"], (toast, button)


async def test_e12_the_main_answer_of_a_dialog_stands_out(chat: Chat, openai: FakeOpenAI) -> None:
    openai.says("Fine")
    await chat.ask("Hello")
    for question, answer in (("Rename", "Rename"), ("Delete “", "Delete")):
        await chat.past.hover()
        await chat.button(question).click()
        answers = (chat.button(answer, exact=True), chat.button("Cancel"))
        main, cancel = [await it.evaluate("node => getComputedStyle(node).backgroundColor") for it in answers]
        assert (main != cancel, cancel) == (True, "rgba(0, 0, 0, 0)")
        await chat.page.keyboard.press("Escape")


async def test_e12_how_long_the_model_thought_is_said_until_a_reload(chat: Chat, openai: FakeOpenAI) -> None:
    by_hand(openai)
    await chat.page.clock.install()
    await chat.send("Think")
    call = await openai.next_call()
    await call.delta({"reasoning_content": "Let me see"})
    await expect(chat.page.locator("summary")).to_have_text("Thinking")
    await chat.page.clock.run_for(12_000)
    await call.text("Done")
    await expect(chat.page.locator("summary")).to_have_text("Thought for 12 s")
    await chat.finish(call)
    await chat.page.reload()
    await expect(chat.page.locator("summary")).to_have_text("Thought")


@pytest.mark.parametrize("code", ERRORS)
def test_e16_each_error_says_what_a_person_can_do_next(code: str) -> None:
    sentences = re.findall(r"[A-Z“].+?[.](?= |$)", ERRORS[code][0])
    assert len(sentences) >= 2, sentences


async def test_e16_a_used_up_quota_does_not_comfort(chat: Chat, openai: FakeOpenAI) -> None:
    openai.answers(lambda call: call.refuse(429, "insufficient_quota"))
    await chat.ask("Hello")
    note = chat.turn("error").locator(".note p")
    await expect(note).to_contain_text("Ask whoever runs it to raise it.")
    await expect(note).to_contain_text("Your message is saved. Once this is fixed, edit it to send it again.")


async def test_e16_a_reply_at_its_limit_goes_on(chat: Chat, openai: FakeOpenAI) -> None:
    async def cut(call: Call) -> None:
        await call.text("As far as it went")
        await call.finish("length")

    openai.answers(cut)
    await chat.ask("Tell me everything")
    openai.says("and to its end")
    await chat.button("Continue", exact=True).click()
    await expect(chat.replies).to_have_text(["As far as it went", "and to its end"])
    await expect(chat.button("Continue", exact=True)).to_be_hidden()
    sent = [message["content"] for message in openai.calls[-1].messages]
    assert sent[-3:] == ["Tell me everything", "As far as it went", "Continue where you left off."]


async def test_e16_a_conversation_too_long_for_the_model_offers_a_new_chat(chat: Chat, openai: FakeOpenAI) -> None:
    openai.answers(lambda call: call.refuse(400, "context_length_exceeded"))
    await chat.ask("Summarise all of it")
    note = chat.turn("error").locator(".note")
    await expect(note).to_contain_text("This conversation is too long for the model. Continue in a new chat.")
    await note.get_by_role("button", name="Take it to a new chat").click()
    await expect(chat.title).to_have_text("New chat")
    await expect(chat.prompt).to_have_value("Summarise all of it")
