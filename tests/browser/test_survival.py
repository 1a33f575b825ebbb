"""The page survives whatever is said, stored or sent, and long conversations come in pages."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, WebSocketRoute, expect

from tests.browser.page import chatting, open_tab, person
from tests.support import FakeOpenAI, Server

Frames = list[dict[str, Any]]

SENTENCE = "This part is shown as plain text: it is too complex to format."
DEEPEST = 40
MOST_ELEMENTS = 16_000
NESTED = "*a " * 7500 + "b*" * 11250
NESTING = {
    "emphasis": NESTED,
    "little emphasis": "*a " * 90 + "b*" * 90,
    "strikes": "~~a " * 400 + "b~~" * 400,
    "quotes": "> " * 20_000 + "end",
    "lists": "- " * 20_000 + "end",
    "indented lists": "\n".join("  " * n + "- a" for n in range(200)) + "\n\nend",
    "links": "[" * 30_000 + "a](http://b.test)" * 5_000,
    "images": "![" * 30_000 + "](http://b.test)" * 5_000,
    "mixtures": "> - 1. " * 5_000 + "*a **b ~~c [d " * 50 + "end",
}
BROAD = {
    "columns": "|a" * 5_000 + "|\n" + "|-" * 5_000 + "|\n" + "|b" * 5_000 + "|\n",
    "rows": "|a|b|\n|-|-|\n" + "|c|d|\n" * 20_000,
    "items": "- a\n" * 50_000,
    "headings": "a\n=\n" * 50_000,
    "paragraphs": "*a*\n\n" * 40_000,
    "code blocks": "```\na\n```\n" * 20_000,
    "pairs": "*a* `b` " * 5_000,
    "addresses": "http://a.test [b](http://c.test) <http://d.test> " * 4_000,
    "tags": "<a b='" * 30_000,
    "accents": "a" + "\u0301" * 100_000,
    "accents in code": "```\na" + "\u0301" * 100_000,
}
DRAWN = """async ([text, step]) => {
    const root = document.createElement('div'), view = streamMarkdown(root);
    document.querySelector('#content').append(root);
    for (const length of step ? everyLength(text, step) : []) view.write(text.slice(0, length));
    view.finish(text);
    let tasks = 1;
    for (; !view.isDone(); tasks++) await new Promise(resolve => setTimeout(resolve));
    const depth = node => 1 + Math.max(0, ...[...node.children].map(depth));
    return {
        tasks, depth: depth(root), elements: root.querySelectorAll('*').length, text: root.textContent,
        html: root.innerHTML, notes: root.querySelectorAll('.plain > small').length,
        run: Math.max(...[...root.querySelectorAll('.cl')].flatMap(it => [...it.childNodes].map(it =>
            it.data?.match(/\\p{M}+/gu)?.[0].length ?? 0)), 0),
    };
}"""


@pytest.mark.parametrize("what", NESTING)
async def test_P01_nothing_nests_deeper_than_browsers_bear(harness: Page, what: str) -> None:
    drawn = await harness.evaluate(DRAWN, [NESTING[what], 0])
    assert drawn["depth"] <= DEEPEST
    for letter in "abcd":
        lost = NESTING[what].count(letter) - drawn["text"].replace(SENTENCE, "").count(letter)
        assert lost == 0 or "http" in NESTING[what], "text was lost"
    assert "end" in drawn["text"] or "end" not in NESTING[what]


@pytest.mark.parametrize("what", BROAD)
async def test_P02_what_is_too_broad_is_plain_text(harness: Page, what: str) -> None:
    drawn = await harness.evaluate(DRAWN, [BROAD[what], 0])
    assert drawn["elements"] <= MOST_ELEMENTS
    assert drawn["notes"] >= 1 or what == "accents in code"
    assert drawn["run"] <= 100
    assert drawn["text"].count("a") >= BROAD[what].count("a") * 0.9


async def test_P02_a_long_reply_is_drawn_in_many_tasks_and_the_same_as_it_streamed(harness: Page) -> None:
    text = "".join(f"## Part {n}\n\n- *one*\n- two\n\n" + "Words and `code`.\n" * 30 + "\n" for n in range(150))
    opened = await harness.evaluate(DRAWN, [text, 0])
    streamed = await harness.evaluate(DRAWN, [text, 3_000])
    assert opened["html"] == streamed["html"]
    assert opened["notes"] == 0
    assert opened["tasks"] > 3


async def test_P02_a_block_without_end_goes_on_as_another(harness: Page) -> None:
    drawn = await harness.evaluate(DRAWN, ["".join(f"{n}. *item* {'word ' * 9}\n" for n in range(1, 3_001)), 0])
    assert drawn["html"].count("<ol ") > 1
    assert drawn["text"].count("item") == 3_000


async def test_P03_what_cannot_be_drawn_is_plain_text_and_the_rest_lives(harness: Page) -> None:
    shown = await harness.evaluate(
        """() => {
            const parse = parser.parse;
            parser.parse = (text, env) => text.includes('bad') ? null.length : parse.call(parser, text, env);
            const { root, paint, finish } = paintedView();
            paint('*good*\\n\\nbad\\n\\n');
            finish('*good*\\n\\nbad\\n\\n*end*');
            return [root.innerHTML, render('*good*').innerHTML];
        }"""
    )
    assert shown == [
        '<div class="plain">*good*\n\nbad\n\n*end*</div>',
        '<p dir="auto"><em>good</em></p>',
    ]


# In the whole page, with a server in the test's hand.


def turn(n: int, answer: str = "Answer", **more: Any) -> dict[str, Any]:
    return {"id": f"t{n}", "question": f"Question {n}", "answer": answer, "status": "done"} | more


@asynccontextmanager
async def replaying(browser: Browser, history: dict[str, Any]) -> AsyncIterator[tuple[BrowserContext, Frames]]:
    """A person whose server knows one conversation, in pages of ten before the history; and all that it is sent."""
    sent: Frames = []

    def route(socket: WebSocketRoute) -> None:
        def answer(text: str | bytes) -> None:
            frame = json.loads(text)
            sent.append(frame)
            if frame["type"] == "resume":
                about = {"type": "conversation", "id": "c", "model": "m", "demo": False, "limit": 16000}
                socket.send(json.dumps(about))
                socket.send(json.dumps({"type": "history", **history} if frame["conversation"] else HISTORY))
            if frame["type"] == "earlier":
                first = int(frame["before"][1:])
                page = [turn(n, "A line\n\n" * (n % 7 + 1)) for n in range(first - 10, first)]
                reply = {"type": "earlier", "before": frame["before"], "turns": page, "earlier": first > 20}
                socket.send(json.dumps(reply))

        socket.on_message(answer)

    async with person(browser) as context:
        await context.route_web_socket("**/ws", route)
        yield context, sent


HISTORY = {"type": "history", "turns": []}
KNOWN = """localStorage['pocket-chat:open'] ??= '"c"';
localStorage['pocket-chat:conversations'] ??= '[{ "id": "c", "title": "Old", "at": 1 }]';"""


async def test_P01_a_conversation_that_crashed_every_tab_opens_again(browser: Browser, server: Server) -> None:
    history = {"turns": [turn(1, NESTED), turn(2, "> " * 50_000), turn(3, "Fine")]}
    async with replaying(browser, history) as (context, _):
        await context.add_init_script(KNOWN)
        for _tab in range(2):
            chat = await open_tab(context, server.url)
            await expect(chat.last_reply).to_have_text("Fine")
            await expect(chat.replies.first).to_contain_text(SENTENCE)


async def test_P03_odd_turns_and_broken_storage_do_not_blank_the_page(browser: Browser, server: Server) -> None:
    odd: Any = [None, {"id": 7, "question": None, "answer": 5, "status": {}}, turn(2, error="?", reasoning=3)]
    async with replaying(browser, {"turns": [*odd, turn(3)]}) as (context, _):
        names = ["conversations", "removed", "waiting:c", "draft:c", "theme", "sidebar-closed", "opening"]
        for value in ['{"id": 1}', "[null, 1, {}]", "nonsense", "3"]:
            stored = {f"pocket-chat:{name}": value for name in names} | {"pocket-chat:open": '"c"'}
            await context.add_init_script(f"Object.assign(localStorage, {json.dumps(stored)})")
            chat = await open_tab(context, server.url)
            await expect(chat.replies).to_have_text(["5", "Answer", "Answer"])
            await expect(chat.prompt).to_have_value("")
            await chat.page.close()
            assert chat.faults == []


async def test_P03_a_conversation_that_crashed_twice_is_not_opened_by_itself(browser: Browser, server: Server) -> None:
    async with replaying(browser, {"turns": [turn(1)]}) as (context, _):
        await context.add_init_script(KNOWN)
        for times in (1, 2):
            page = await context.new_page()
            crash = await context.new_cdp_session(page)
            # The tab dies before its first painting is done.
            await page.add_init_script("window.setTimeout = () => 0")
            await page.goto(server.url)
            await page.wait_for_function(f"() => localStorage['pocket-chat:opening']?.includes('{times}')")
            async with page.expect_event("crash"):
                dying = asyncio.ensure_future(crash.send("Page.crash"))
            dying.cancel()
        chat = await open_tab(context, server.url)
        await expect(chat.page.get_by_text("Old was not opened: this page failed twice")).to_be_visible()
        await expect(chat.turns).to_have_count(0)
        await chat.button("Open it anyway").click()
        await expect(chat.last_reply).to_have_text("Answer")
        await chat.sees("!localStorage['pocket-chat:opening']")
        again = await open_tab(context, server.url)
        await expect(again.last_reply).to_have_text("Answer")


# The second event comes before the answer to the first.
SCROLL = "log.scrollTop = 0; for (const _ of [1, 2]) log.dispatchEvent(new Event('scroll'));"


async def test_earlier_messages_come_once_and_move_nothing(browser: Browser, server: Server) -> None:
    history = {"turns": [turn(n, "Words\n\n" * 9) for n in range(30, 40)], "earlier": True}
    async with replaying(browser, history) as (context, sent):
        await context.add_init_script(KNOWN)
        chat = await open_tab(context, server.url)
        await expect(chat.turns).to_have_count(10)
        place = "document.querySelector('[data-id=t30]').getBoundingClientRect().top"
        before = await chat.page.evaluate(f"() => {{ {SCROLL} return {place}; }}")
        await expect(chat.turns).to_have_count(20)
        assert abs(await chat.page.evaluate(place) - before) < 1
        assert [frame["before"] for frame in sent if frame["type"] == "earlier"] == ["t30"]
        await chat.button("Earlier messages").focus()
        await chat.page.keyboard.press("Enter")
        await expect(chat.turns).to_have_count(30)
        await expect(chat.button("Earlier messages")).to_be_hidden()
        assert await chat.questions.first.text_content() == "Question 10"
        assert await chat.announced() == []


async def test_a_long_history_is_paged_and_a_reconnect_costs_what_is_new(
    browser: Browser, server: Server, openai: FakeOpenAI
) -> None:
    openai.says("A line of a long answer.\n" * 4_000)
    received: list[Any] = []
    async with person(browser) as context:
        chat = await open_tab(context, server.url)
        for n in range(4):
            await chat.ask(f"Question {n}")
        chat.page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: received.append(frame)))
        await chat.page.evaluate("dispatchEvent(new Event('online'))")
        await chat.ask("Question 4")
        history = next(frame for frame in map(json.loads, received) if frame["type"] == "history")
        assert (history["turns"], "after" in history) == ([], True)
        await expect(chat.turns).to_have_count(5)
        await chat.page.reload()
        await expect(chat.turns).to_have_count(1)
        async with asyncio.timeout(10):
            while await chat.turns.count() < 5:
                await chat.page.evaluate("new Promise((drawn) => (log.scrollTop = 0, requestAnimationFrame(drawn)))")
        await expect(chat.questions).to_have_text([f"Question {n}" for n in range(5)])


async def test_a_full_conversation_offers_a_new_chat_with_the_text(browser: Browser, openai: FakeOpenAI) -> None:
    openai.says("x" * 90)
    async with Server(openai.url, MAX_CONVERSATION_CHARS="100") as server, chatting(browser, server.url) as chat:
        await chat.ask("First")
        await chat.ask("There is no room for this")
        await expect(chat.turn("refused").locator(".note")).to_contain_text("This conversation is full.")
        await chat.turn("refused").get_by_role("button", name="Take it to a new chat").click()
        await expect(chat.prompt).to_have_value("There is no room for this")
        await expect(chat.title).to_have_text("New chat")
        await chat.past.click()
        await expect(chat.questions).to_have_text(["First"])
