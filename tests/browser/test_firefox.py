"""The page in a stock Firefox: what could differ from Chromium, in which the other tests run."""

import shutil
from collections.abc import AsyncIterator

import pytest

from tests.browser.conftest import needed
from tests.browser.firefox import (
    CONTROL,
    ENTER,
    ESCAPE,
    PROMPT,
    SHIFT,
    Tab,
    ask,
    chatting,
    finish,
    launched,
    start,
)
from tests.browser.page import by_hand, restarted
from tests.support import FakeOpenAI, Server
from tests.support.bidi import Firefox

LINE = "A line of text that is long enough to be worth reading, and then a bit longer.\n\n"
IMAGE = '<img src="https://example.com/x.png" onerror="alert(1)">'
CODE = 'def answer():\n    return "42"  # It is.\n'
MARKDOWN = f"""\
# A title

Some *text* and `code`. {IMAGE}

```python
{CODE}```

| a | b |
|---|--:|
| 1 | 2 |
"""
COMPOSING_ENTER = """new KeyboardEvent('keydown', {
  key: 'Enter', isComposing: true, bubbles: true, cancelable: true,
})"""
AT_THE_END = "log.scrollHeight - log.clientHeight - log.scrollTop <= 1"


@pytest.fixture(scope="module")
async def firefox() -> AsyncIterator[Firefox]:
    executable = shutil.which("firefox-esr") or shutil.which("firefox")
    async with launched(needed("Firefox", executable)) as firefox:
        yield firefox


@pytest.fixture
async def tab(firefox: Firefox, server: Server) -> AsyncIterator[Tab]:
    async with chatting(firefox, server.url) as tab:
        yield tab


async def test_firefox_draws_markdown_safely_under_the_policy(tab: Tab, openai: FakeOpenAI) -> None:
    openai.says(*MARKDOWN.splitlines(keepends=True))
    await ask(tab, "<b>Show it</b>")
    await tab.shows(".you .body", "<b>Show it</b>")
    await tab.shows(".md h1", "A title")
    await tab.shows(".md td", "1", "2")
    await tab.shows(".md p > code", "code")
    assert IMAGE in await tab.evaluate("document.querySelector('.md').textContent")
    assert await tab.evaluate("document.querySelectorAll('.md :is(img, script)').length") == 0


async def test_firefox_colours_code_and_copies_it(tab: Tab, openai: FakeOpenAI) -> None:
    openai.says(MARKDOWN)
    await ask(tab, "Show code")
    await tab.sees("CSS.highlights.has('keyword') && CSS.highlights.has('comment')")
    style = "getComputedStyle(document.querySelector('.md pre code')"
    colour = await tab.evaluate(f"{style}, '::highlight(keyword)').color")
    assert colour != await tab.evaluate(f"{style}).color")
    await tab.click("[data-do=copy-code]")
    await tab.shows("#say", "Copied")
    await tab.click("#prompt")
    await tab.press(CONTROL, "v")
    await tab.becomes(PROMPT, CODE)


async def test_e03_firefox_reads_each_block_in_its_own_direction(tab: Tab, openai: FakeOpenAI) -> None:
    openai.says(
        "Latin\n\nعربي `x()`\n\n- عربي\n\n> عربي\n\n```python\n# عربي\nx[0] = (1)\n```\n\n| عربي |\n|---|\n| عربي |"
    )
    await ask(tab, "Show it")
    parts = "[...document.querySelectorAll('.md :is(p, ul, figure, code, td)')]"
    directions = await tab.evaluate(
        f"{parts}.map((node) => `${{node.localName}} ${{getComputedStyle(node).direction}}`)"
    )
    assert directions == [
        *["p ltr", "p rtl", "code ltr", "ul rtl", "p rtl", "figure ltr", "code ltr", "td rtl"],
    ]
    # Where the text is, not only what the style says.
    sides = await tab.evaluate("""[...document.querySelectorAll('.md > p, .md pre code')].map((node) => {
      const range = document.createRange();
      range.selectNodeContents(document.createTreeWalker(node, NodeFilter.SHOW_TEXT).nextNode());
      const text = range.getBoundingClientRect();
      const { left, right } = document.querySelector('.md').getBoundingClientRect();
      return text.left - left < right - text.right ? 'left' : 'right';
    })""")
    assert sides == ["left", "right", "left"]


async def test_firefox_shows_a_reply_as_it_comes(tab: Tab, openai: FakeOpenAI) -> None:
    by_hand(openai)
    await tab.type("one")
    await tab.press(SHIFT, ENTER)
    await tab.type("two")
    await tab.becomes(PROMPT, "one\ntwo")
    await tab.press(ENTER)
    await tab.shows(".you .body", "one\ntwo")
    await tab.becomes(PROMPT, "")
    await tab.sees("document.querySelector('.wait').checkVisibility()")
    call = await openai.next_call()
    for text, seen in (("Once", "Once"), (" upon", "Once upon"), (" a time", "Once upon a time")):
        await call.text(text)
        await tab.shows(".md", seen)
    await finish(tab, call)
    assert call.question == "one\ntwo"


async def test_firefox_does_not_send_while_an_input_method_composes(tab: Tab) -> None:
    await tab.type("にほん")
    unhandled = await tab.evaluate(f"document.activeElement.dispatchEvent({COMPOSING_ENTER})")
    assert unhandled, "the page handled the key"
    await tab.becomes(PROMPT, "にほん")
    await tab.shows(".turn")


@pytest.mark.parametrize("how", ["button", "key"])
async def test_firefox_stops_a_reply(tab: Tab, openai: FakeOpenAI, how: str) -> None:
    call = await start(tab, openai, "Tell me everything", "In the beginning")
    await (tab.click("#stop") if how == "button" else tab.press(ESCAPE))
    await tab.shows(".turn[data-status=stopped] .md", "In the beginning")
    await call.closed(5)
    await tab.becomes(PROMPT, "")
    await tab.becomes("document.querySelector('#stop').checkVisibility()", False)


async def test_firefox_resumes_a_reply_after_a_reload(tab: Tab, openai: FakeOpenAI) -> None:
    call = await start(tab, openai, "Tell me a story", "Once")
    await tab.type("A draft")
    await tab.reload()
    await tab.shows(".md", "Once")
    await tab.becomes(PROMPT, "A draft")
    await call.text(" upon a time")
    await tab.shows(".md", "Once upon a time")
    await finish(tab, call)
    await tab.becomes("document.querySelector('#send').disabled", False)


async def test_firefox_catches_up_on_the_way_back(tab: Tab, server: Server, openai: FakeOpenAI) -> None:
    call = await start(tab, openai, "Tell me a story", "Once")
    # Firefox never keeps a page with an open socket in its back/forward cache: it is loaded anew.
    await tab.go(f"{server.url}/static/icon.svg")
    await call.text(" upon")
    await tab.back()
    await tab.shows(".md", "Once upon")
    await finish(tab, call)


async def test_firefox_follows_the_end_until_one_moves_up(tab: Tab, openai: FakeOpenAI) -> None:
    call = await start(tab, openai, "Write a lot", "Here it is:")
    await call.text("\n\n" + LINE * 40)
    await tab.sees(f"{AT_THE_END} && log.scrollTop > 500")
    top = await tab.evaluate("log.scrollTop") - 200
    await tab.scroll(700, 400, -200)
    # Firefox scrolls smoothly.
    await tab.becomes("log.scrollTop", top)
    await tab.sees("document.querySelector('#down').checkVisibility()")
    await call.text(LINE * 10 + "The end")
    await tab.sees("document.querySelector('.md').textContent.endsWith('The end')")
    assert await tab.evaluate("log.scrollTop") == top
    await tab.click("#down")
    await tab.sees(AT_THE_END)
    await finish(tab, call)


async def test_firefox_grows_the_box_with_its_text(tab: Tab) -> None:
    height = "document.querySelector('#prompt').clientHeight"
    before = await tab.evaluate(height)
    for _ in range(3):
        await tab.press(SHIFT, ENTER)
    await tab.sees(f"{height} > {before} * 2")


async def test_firefox_edits_a_message_and_retries(tab: Tab, openai: FakeOpenAI) -> None:
    openai.says("First")
    await ask(tab, "One")
    openai.says("Second")
    await tab.click(".bot [data-do=retry]")
    await tab.shows(".md", "Second")
    openai.says("Third")
    await tab.click("[data-do=edit]")
    await tab.becomes(PROMPT, "One")
    await ask(tab, " more")
    await tab.shows(".md", "Third")
    await tab.shows(".you .body", "One more")


async def test_firefox_has_a_dark_theme_that_is_remembered(tab: Tab) -> None:
    # How light the ground is, 0 to 1.
    ground = "Number(getComputedStyle(document.body).backgroundColor.match(/[.0-9]+/)[0])"
    assert await tab.evaluate(f"{ground} > .9")
    await tab.click("#themes [value=dark]")
    await tab.sees(f"{ground} < .3")
    await tab.reload()
    await tab.sees(f"{ground} < .3")
    await tab.shows("#themes [value=dark][aria-pressed=true]", "")


async def test_firefox_has_a_drawer_on_a_narrow_screen(firefox: Firefox, server: Server, openai: FakeOpenAI) -> None:
    openai.says(MARKDOWN)
    async with chatting(firefox, server.url, width=320) as tab:
        await ask(tab, "A" * 60)
        assert await tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        await tab.click("[aria-label='Open conversations']")
        await tab.shows("#drawer[open] .open", "A" * 60)
        await tab.press(ESCAPE)
        await tab.shows("#drawer[open]")
        assert await tab.evaluate("document.activeElement.ariaLabel") == "Open conversations"
        await tab.click("[aria-label='Open conversations']")
        await tab.click("#drawer [data-do=new]")
        await tab.shows("#drawer[open]")
        await tab.shows(".turn")
        await tab.sees("document.querySelector('#empty').checkVisibility()")


async def test_firefox_comes_back_after_the_server_was_away(tab: Tab, server: Server, openai: FakeOpenAI) -> None:
    openai.says("I am here")
    server.kill()
    await restarted(server)
    await ask(tab, "Are you there?")
    await tab.shows(".md", "I am here")
    # Firefox writes each failed attempt on the console, whoever handles it.
    tab.faults = [fault for fault in tab.faults if "establish a connection to" not in fault]
