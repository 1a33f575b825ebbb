"""Writing a message: on the empty page, again, not after all, and from a file."""

from pathlib import Path

import pytest
from playwright.async_api import Browser, Locator, expect

from tests.browser.page import PHONE, Chat, chatting, open_tab, person, storage, with_sockets
from tests.support import FakeOpenAI, Server

WATCH = """() => {
window.shifted = [];
window.moves = [];
new PerformanceObserver((list) => {
  for (const { sources } of list.getEntries()) {
    for (const { node } of sources) if (node?.parentElement?.closest('.you')) shifted.push(node.nodeName);
  }
}).observe({ type: 'layout-shift' });
const { animate } = Element.prototype;
Element.prototype.animate = function (frames, timing) {
  moves.push(frames[0].translate);
  return animate.call(this, frames, timing);
};
}"""
# Whether the browser would have opened what was dropped.
OPENED = "window.opened = []; addEventListener('drop', (event) => void opened.push(!event.defaultPrevented))"
LINES = "\n".join(f"Line {n}" for n in range(1, 41))


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
async def test_e02_the_box_moves_down_with_the_first_message_and_no_text_jumps(
    browser: Browser, server: Server, openai: FakeOpenAI, motion: str
) -> None:
    openai.says("Hello.")
    async with chatting(browser, server.url, reduced_motion=motion) as chat:
        await expect(chat.page.get_by_role("heading", name="What are you working on?")).to_be_visible()
        assert 0.4 < await height_of(chat.page.locator(".box")) < 0.6
        await chat.page.evaluate(WATCH)
        await chat.ask("Good morning")
        await chat.sees("document.querySelector('.box').getBoundingClientRect().bottom > innerHeight * 0.9")
        await expect(chat.page.locator("#empty, .tries")).to_have_count(2)
        await expect(chat.button("Draft an email")).to_be_hidden()
        moves = await chat.page.evaluate("moves")
        assert len(moves) == (motion == "no-preference"), moves
        assert await chat.page.evaluate("shifted") == []
        # A conversation that is opened has its box at the end at once.
        await chat.page.reload()
        await expect(chat.questions).to_have_text(["Good morning"])
        assert await height_of(chat.page.locator(".box")) > 0.85


async def test_e02_the_empty_page_fits_every_screen_and_above_a_keyboard(browser: Browser, server: Server) -> None:
    async with chatting(browser, server.url, **PHONE) as chat:
        for width, height in [(360, 740), (390, 844), (390, 380), (844, 390), (820, 1180), (2560, 1440)]:
            await chat.page.set_viewport_size({"width": width, "height": height})
            for part in (chat.page.get_by_role("heading", level=2), chat.page.locator(".box"), chat.hint):
                await expect(part).to_be_in_viewport(ratio=1)
            await expect(chat.button("Compare ideas")).to_be_in_viewport(ratio=1)


async def test_e05_an_edit_is_stored_like_a_draft(chat: Chat, openai: FakeOpenAI) -> None:
    openai.says("Answer")
    editing = chat.page.locator("#editing")
    await chat.ask("one")
    await chat.ask("two")
    await chat.prompt.press("ArrowUp")
    await chat.prompt.fill("two, changed")
    await chat.page.reload()
    await expect(chat.prompt).to_have_value("two, changed")
    await expect(editing).to_be_visible()

    await chat.page.keyboard.press("Control+Shift+O")
    await expect(chat.prompt).to_have_value("")
    await expect(editing).to_be_hidden()
    await chat.past.click()
    await expect(chat.prompt).to_have_value("two, changed")
    await expect(editing).to_be_visible()

    await chat.prompt.press("Escape")
    await expect(chat.prompt).to_have_value("")
    await chat.page.reload()
    await expect(chat.questions).to_have_text(["one", "two"])
    await expect(chat.prompt).to_have_value("")
    await chat.prompt.press("ArrowUp")
    await expect(chat.prompt).to_have_value("two, changed")
    await chat.prompt.press("Enter")
    await expect(chat.questions).to_have_text(["one", "two, changed"])
    await expect(chat.turn("done")).to_have_count(2)

    # What was not changed is not stored.
    await chat.prompt.press("ArrowUp")
    await chat.prompt.press("Escape")
    assert not [name for name in await storage(chat) if name.startswith("edit")]


async def test_e13_a_queued_message_says_so_and_is_taken_back_alone(
    browser: Browser, server: Server, openai: FakeOpenAI
) -> None:
    async with person(browser) as context:
        chat = await open_tab(context, server.url)
        call = await chat.start(openai, "one", "First")
        for question in ("two", "three", "four"):
            await chat.send(question)
        await expect(chat.turn("queued").locator(".note strong")).to_have_text(["Waiting for the reply above"] * 3)
        await take_back(chat, "two")
        await expect(chat.questions).to_have_text(["one", "three", "four"])
        await expect(chat.prompt).to_have_value("two")
        await expect(chat.prompt).to_be_focused()
        assert "Message taken back" in await chat.announced()

        # The server has forgotten it too; and this page learns from the server what waits.
        await chat.page.reload()
        await expect(chat.questions).to_have_text(["one", "three", "four"])
        other = await open_tab(context, server.url)
        await expect(other.turn("queued")).to_have_count(2)
        await take_back(chat, "three")
        for page in (chat, other):
            await expect(page.questions).to_have_text(["one", "four"])
        await expect(chat.prompt).to_have_value("three\n\ntwo")
        calls = len(openai.calls)
        await call.finish()
        last = await openai.next_call()
        assert last.question == "four"
        await last.text("Fourth")
        await chat.finish(last, 2)
        assert len(openai.calls) == calls + 1


async def test_e13_a_message_taken_back_before_it_was_sent_is_not_answered(
    browser: Browser, server: Server, openai: FakeOpenAI
) -> None:
    openai.says("Answer")
    calls = len(openai.calls)
    async with with_sockets(browser, close_code=1013) as (context, sockets):
        chat = await open_tab(context, server.url)
        await chat.send("one")
        await chat.send("two")
        await expect(chat.page.get_by_text("Not sent yet.")).to_have_count(2)
        await expect(chat.page.locator(".wait").filter(visible=True)).to_have_count(0)
        await chat.page.set_viewport_size({"width": 320, "height": 600})
        sentence, button = [
            await part.last.evaluate("node => [node.getBoundingClientRect().left, node.getBoundingClientRect().bottom]")
            for part in (chat.page.locator(".note p"), chat.button("Take this message back"))
        ]
        assert sentence[0] >= 0, "out of sight"
        assert abs(button[1] - sentence[1]) < 24, "the button is not beside the sentence"
        await take_back(chat, "one")
        await expect(chat.questions).to_have_text(["two"])
        sockets.close_code = None
        await expect(chat.turn("done").locator(".body")).to_have_text(["two"])
        await expect(chat.prompt).to_have_value("one")
        assert len(openai.calls) == calls + 1


async def test_e15_a_dropped_text_file_becomes_a_fenced_block(chat: Chat, tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_bytes("Ünder\r\n```\ncode\n```".encode())
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    (tmp_path / "big.log").write_text("x" * 16_001)
    url = chat.page.url
    await chat.page.evaluate(OPENED)
    await chat.prompt.fill("Look:")
    await drop(chat, "#prompt", tmp_path / "notes.md", tmp_path / "a.py")
    text = "Look:\n````notes.md\nÜnder\n```\ncode\n```\n````\n```a.py\nx = 1\n```\n"
    await expect(chat.prompt).to_have_value(text)
    await expect(chat.prompt).to_be_focused()

    await drop(chat, "#log", tmp_path / "photo.png")
    toast = chat.page.locator("#toast")
    await expect(toast).to_have_text("“photo.png” is not a text file. Only text can be added.")
    await drop(chat, "#title", tmp_path / "big.log")
    await expect(toast).to_have_text("“big.log” is too long. A message can have 16,000 characters.")
    await expect(chat.page.locator("#alarm")).to_contain_text("“big.log” is too long.")
    await expect(chat.prompt).to_have_value(text)
    assert await chat.page.evaluate("opened") == [False] * 3
    await chat.prompt.press("End")
    await chat.prompt.type("!")
    await chat.page.reload()
    await expect(chat.prompt).to_have_value(f"{text}!")
    assert chat.page.url == url


async def test_e14_a_long_question_is_folded(chat: Chat, openai: FakeOpenAI) -> None:
    openai.says("A line.")
    await chat.ask("Short")
    await expect(chat.button("Show more")).to_have_count(0)
    await chat.ask(LINES)
    body = chat.questions.last
    folded = await body.evaluate("node => node.clientHeight / parseFloat(getComputedStyle(node).lineHeight)")
    assert 11 < folded < 14
    more = chat.button("Show more")
    await expect(more).to_have_attribute("aria-expanded", "false")
    await more.focus()
    top = await body.evaluate("node => node.getBoundingClientRect().top")
    await chat.page.keyboard.press("Enter")
    less = chat.button("Show less")
    await expect(less).to_be_focused()
    await expect(less).to_have_attribute("aria-expanded", "true")
    assert await body.evaluate("node => node.scrollHeight === node.clientHeight")
    assert abs(await body.evaluate("node => node.getBoundingClientRect().top") - top) < 1
    await chat.page.keyboard.press("Enter")
    await expect(more).to_be_in_viewport()
    await chat.prompt.press("ArrowUp")
    await expect(chat.prompt).to_have_value(LINES)


async def height_of(node: Locator) -> float:
    """Where its middle is: 0 is the top of the window, 1 is its end."""
    height: float = await node.evaluate("""(node) => {
      const { top, bottom } = node.getBoundingClientRect();
      return (top + bottom) / 2 / innerHeight;
    }""")
    return height


async def take_back(chat: Chat, question: str) -> None:
    turn = chat.turns.filter(has=chat.page.locator(".body", has_text=question))
    await turn.get_by_role("button", name="Take this message back").click()


async def drop(chat: Chat, target: str, *files: Path) -> None:
    """As the system does it: the browser itself would open what the page does not take."""
    box = await chat.page.locator(target).bounding_box()
    assert box
    mouse = await chat.page.context.new_cdp_session(chat.page)
    data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
    for step in ("dragEnter", "dragOver", "drop"):
        place = {"x": box["x"] + 20, "y": box["y"] + box["height"] / 2}
        await mouse.send("Input.dispatchDragEvent", {"type": step, "data": data, **place})
    await mouse.detach()
