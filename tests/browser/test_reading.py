"""Reading while a reply grows."""

from playwright.async_api import Browser, expect

from tests.browser.page import Chat, by_hand, chatting
from tests.support import FakeOpenAI, Server

LINE = "A line of text that is long enough to be worth reading, and then a bit longer.\n\n"
# What each frame shows: this looks at it after its layout, and after the page has followed that.
SAMPLE = """() => {
  window.samples = [];
  const look = () => samples.push([log.scrollHeight - log.clientHeight - log.scrollTop, log.scrollTop]);
  new ResizeObserver(look).observe(document.getElementById('turns'));
}"""


async def test_23_the_end_is_followed_in_every_frame(browser: Browser, server: Server, openai: FakeOpenAI) -> None:
    by_hand(openai)
    async with chatting(browser, server.url) as chat:
        await chat.send("Write a lot")
        call = await openai.next_call()
        await chat.page.evaluate(SAMPLE)
        for _ in range(40):
            await call.text(LINE)
        await call.text("The end")
        await expect(chat.last_reply).to_contain_text("The end")
        await call.finish()
        await expect(chat.turn("done")).to_have_count(1)
        samples = await chat.page.evaluate("samples")
    assert max(top for _, top in samples) > 500, "nothing scrolled"
    assert max(gap for gap, _ in samples) <= 1


async def test_24_and_25_a_reader_who_moves_up_a_little_is_let_go_and_nothing_moves(
    browser: Browser, server: Server, openai: FakeOpenAI
) -> None:
    openai.says(LINE * 30)
    async with chatting(browser, server.url) as chat:
        await chat.ask("Write a lot")
        by_hand(openai)
        await chat.send("Write more")
        call = await openai.next_call()
        await call.text("More: ")
        await expect(chat.last_reply).to_have_text("More:")
        await chat.page.locator("#log").hover()
        await chat.page.mouse.wheel(0, -8)
        down = chat.page.get_by_role("button", name="Jump to latest")
        await expect(down).to_be_visible()
        top = await chat.page.evaluate("document.getElementById('log').scrollTop")
        await chat.page.evaluate(SAMPLE)
        for _ in range(20):
            await call.text(LINE)
        await call.text("The end")
        await expect(chat.last_reply).to_contain_text("The end")
        assert {position for _, position in await chat.page.evaluate("samples")} == {top}
        await expect(down).to_contain_class("fresh")
        await down.click()
        await expect(down).to_be_hidden()
        await chat.sees("log.scrollHeight - log.clientHeight - log.scrollTop <= 1")
        await call.finish()
        await expect(chat.turn("done")).to_have_count(2)


async def test_sending_a_message_goes_to_the_end(browser: Browser, server: Server, openai: FakeOpenAI) -> None:
    openai.says(LINE * 30)
    async with chatting(browser, server.url) as chat:
        await chat.ask("Write a lot")
        await chat.page.locator("#log").hover()
        await chat.page.mouse.wheel(0, -400)
        await expect(chat.page.get_by_role("button", name="Jump to latest")).to_be_visible()
        await chat.ask("More")
        await chat.sees("log.scrollHeight - log.clientHeight - log.scrollTop <= 1")


async def test_27_copied_code_is_exactly_the_code(browser: Browser, server: Server, openai: FakeOpenAI) -> None:
    code = "if a < b && c:\n\treturn '<&amp;>'  \n\n\n# 🎉\n" + "".join(f"line {n}\n" for n in range(120))
    openai.says("Look:\n\n```python\n", code, "```\n")
    async with chatting(browser, server.url) as chat:
        await chat.ask("Code, please")
        await chat.last_reply.get_by_role("button", name="Copy").click()
        assert await chat.copied() == code


async def test_28_a_selection_survives_what_is_written_after_it(
    browser: Browser, server: Server, openai: FakeOpenAI
) -> None:
    by_hand(openai)
    async with chatting(browser, server.url) as chat:
        await chat.send("Write")
        call = await openai.next_call()
        await call.text("Some words to be selected. ")
        await expect(chat.last_reply).to_contain_text("selected")
        await select(chat, "words to be")
        for _ in range(10):
            await call.text("More and more. ")
        await call.text("\n\nThe *end* of it")
        await expect(chat.last_reply).to_contain_text("The end")
        assert await chat.page.evaluate("getSelection().toString()") == "words to be"
        await call.finish()
        await expect(chat.turn("done")).to_have_count(1)
        assert await chat.page.evaluate("getSelection().toString()") == "words to be"


async def test_long_conversations_lay_out_only_what_is_near(
    browser: Browser, server: Server, openai: FakeOpenAI
) -> None:
    openai.says(LINE * 3)
    async with chatting(browser, server.url) as chat:
        for n in range(4):
            await chat.ask(f"Question {n}")
        skipped = "[...document.querySelectorAll('.turn')].map((turn) => getComputedStyle(turn).contentVisibility)"
        assert await chat.page.evaluate(skipped) == ["auto", "auto", "visible", "visible"]
        height = await chat.page.evaluate("log.scrollHeight")
        await chat.page.reload()
        await expect(chat.turn("done")).to_have_count(4)
        await chat.sees("Math.abs(log.scrollHeight - argument) <= 1", height)


async def select(chat: Chat, words: str) -> None:
    await chat.last_reply.evaluate(
        """(reply, words) => {
          const text = document.createTreeWalker(reply, NodeFilter.SHOW_TEXT).nextNode();
          const start = text.data.indexOf(words);
          getSelection().setBaseAndExtent(text, start, text, start + words.length);
        }""",
        words,
    )
