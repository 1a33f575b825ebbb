"""Reading while a reply grows."""

from playwright.async_api import expect

from tests.browser.page import Chat, by_hand
from tests.support import FakeOpenAI

LINE = "A line of text that is long enough to be worth reading, and then a bit longer.\n\n"
AT_THE_END = "log.scrollHeight - log.clientHeight - log.scrollTop <= 1"
# What each frame shows: this looks at it after its layout, and after the page has followed that.
SAMPLE = """() => {
  window.samples = [];
  const look = () => samples.push([log.scrollHeight - log.clientHeight - log.scrollTop, log.scrollTop]);
  new ResizeObserver(look).observe(document.getElementById('turns'));
}"""

SELECT = """(reply, words) => {
  const text = document.createTreeWalker(reply, NodeFilter.SHOW_TEXT).nextNode();
  const start = text.data.indexOf(words);
  getSelection().setBaseAndExtent(text, start, text, start + words.length);
}"""


async def test_23_the_end_is_followed_in_every_frame(chat: Chat, openai: FakeOpenAI) -> None:
    by_hand(openai)
    await chat.send("Write a lot")
    call = await openai.next_call()
    await chat.page.evaluate(SAMPLE)
    for _ in range(40):
        await call.text(LINE)
    await call.text("The end")
    await expect(chat.last_reply).to_contain_text("The end")
    await chat.finish(call)
    samples = await chat.page.evaluate("samples")
    assert max(top for _, top in samples) > 500, "nothing scrolled"
    assert max(gap for gap, _ in samples) <= 1


async def test_24_and_25_a_small_move_up_ends_following_and_nothing_moves(chat: Chat, openai: FakeOpenAI) -> None:
    openai.says(LINE * 30)
    await chat.ask("Write a lot")
    call = await chat.start(openai, "Write more", "More:")
    await chat.page.locator("#log").hover()
    await chat.page.mouse.wheel(0, -8)
    await expect(chat.down_button).to_be_visible()
    top = await chat.page.evaluate("document.getElementById('log').scrollTop")
    await chat.page.evaluate(SAMPLE)
    for _ in range(20):
        await call.text(LINE)
    await call.text("The end")
    await expect(chat.last_reply).to_contain_text("The end")
    assert {position for _, position in await chat.page.evaluate("samples")} == {top}
    await expect(chat.down_button).to_contain_class("fresh")
    await chat.down_button.click()
    await expect(chat.down_button).to_be_hidden()
    await chat.sees(AT_THE_END)
    await chat.finish(call, 2)


async def test_sending_a_message_goes_to_the_end(chat: Chat, openai: FakeOpenAI) -> None:
    openai.says(LINE * 30)
    await chat.ask("Write a lot")
    await chat.page.locator("#log").hover()
    await chat.page.mouse.wheel(0, -400)
    await expect(chat.down_button).to_be_visible()
    await chat.ask("More")
    await chat.sees(AT_THE_END)


async def test_27_copied_code_is_exactly_the_code(chat: Chat, openai: FakeOpenAI) -> None:
    code = "if a < b && c:\n\treturn '<&amp;>'  \n\n\n# 🎉\n" + "".join(f"line {n}\n" for n in range(120))
    openai.says("Look:\n\n```python\n", code, "```\n")
    await chat.ask("Code, please")
    button = chat.last_reply.get_by_role("button")
    await button.click()
    assert await chat.copied() == code
    await expect(button).to_have_text("Copied")
    await expect(button).to_have_text("Copy")


async def test_e14_the_copy_button_of_long_code_stays_in_sight(chat: Chat, openai: FakeOpenAI) -> None:
    openai.says("```\n" + "line\n" * 200 + "```\n" + LINE * 30)
    await chat.ask("Code, please")
    button = chat.last_reply.get_by_role("button", name="Copy")
    for line in (20, 150):
        await chat.page.evaluate("line => { log.scrollTop = line * 20; }", line)
        await expect(button).to_be_in_viewport(ratio=1)
    await chat.page.evaluate("log.scrollTop = log.scrollHeight")
    await expect(button).not_to_be_in_viewport()


async def test_e08_tables_tasks_and_headings_look_like_what_they_are(chat: Chat, openai: FakeOpenAI) -> None:
    headings = "\n\n".join(f"{'#' * level} Level {level}" for level in range(1, 7))
    openai.says(f"{headings}\n\n- [ ] outer\n  - [x] inner\n\n|{' wide cell |' * 20}\n|{'---|' * 20}\n")
    await chat.ask("Show all")
    looks = """nodes => nodes.map((node) => {
      const { fontSize, fontWeight, color } = getComputedStyle(node);
      return `${fontSize} ${fontWeight} ${color}`;
    })"""
    assert len(set(await chat.last_reply.locator("h1, h2, h3, h4, h5, h6").evaluate_all(looks))) == 6
    outer, inner = await chat.last_reply.locator("input").evaluate_all(
        "nodes => nodes.map((node) => node.getBoundingClientRect().left)"
    )
    assert inner - outer > 16
    shadows = await chat.last_reply.locator(".tbl").evaluate("node => getComputedStyle(node).backgroundAttachment")
    assert shadows == "local, local, scroll, scroll"


async def test_28_a_selection_survives_what_is_written_after_it(chat: Chat, openai: FakeOpenAI) -> None:
    call = await chat.start(openai, "Write", "Some words to be selected. ")
    await chat.last_reply.evaluate(SELECT, "words to be")
    for _ in range(10):
        await call.text("More and more. ")
    await call.text("\n\nThe *end* of it")
    await expect(chat.last_reply).to_contain_text("The end")
    assert await chat.page.evaluate("getSelection().toString()") == "words to be"
    await chat.finish(call)
    assert await chat.page.evaluate("getSelection().toString()") == "words to be"


async def test_long_conversations_lay_out_only_what_is_near(chat: Chat, openai: FakeOpenAI) -> None:
    openai.says(LINE * 3)
    for n in range(4):
        await chat.ask(f"Question {n}")
    skipped = "[...document.querySelectorAll('.turn')].map((turn) => getComputedStyle(turn).contentVisibility)"
    assert await chat.page.evaluate(skipped) == ["auto", "auto", "visible", "visible"]
    height = await chat.page.evaluate("log.scrollHeight")
    await chat.page.reload()
    await expect(chat.turn("done")).to_have_count(4)
    await chat.sees("Math.abs(log.scrollHeight - argument) <= 1", height)
