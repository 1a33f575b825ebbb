"""Writing a message and reading its reply."""

import gzip
import json
import time

import pytest
from playwright.async_api import Browser, Response, WebSocketRoute, expect

from tests.browser.page import PHONE, Chat, by_hand, chatting, open_tab, person
from tests.support import Call, FakeOpenAI, Server

REPLY = """\
# Title 👩‍💻

Some *text* with 🎉 emoji,
and `code`.\r
\r
```python
def answer():
    return "42"  # 🧮
```

| a | b |
|---|--:|
| 1 | 2 |
"""
COMPRESSED_KB = 90
STOPPED_WITHIN_MS = 300
HOW_LONG_UNTIL_STOPPED = """() => {
  let start;
  for (const type of ['click', 'keydown']) addEventListener(type, () => { start ??= performance.now(); }, true);
  window.howLong = new Promise((resolve) => {
    const last = document.querySelector('.turn:last-child');
    const look = () => last.dataset.status === 'stopped' && resolve(performance.now() - start);
    new MutationObserver(look).observe(last, { attributes: true });
  });
}"""


async def test_01_no_reply_makes_the_page_break_its_policy_or_ask_another_host(chat: Chat, openai: FakeOpenAI) -> None:
    openai.says(REPLY, "![x](https://example.com/x.png) <img src=https://example.com/y onerror=alert(1)> <script>")
    await chat.ask("<b>hello</b> <img src=https://example.com/z>")
    await expect(chat.questions).to_have_text("<b>hello</b> <img src=https://example.com/z>")
    await expect(chat.last_reply.locator("img, script")).to_have_count(0)
    await expect(chat.last_reply).to_contain_text("<img src=https://example.com/y onerror=alert(1)>")


async def test_02_all_of_the_page_is_small(browser: Browser, server: Server, openai: FakeOpenAI) -> None:
    """Without what only code and formulas need, which comes with the first of them."""
    openai.says(REPLY.replace("```", ""))
    responses: list[Response] = []
    async with person(browser) as context:
        context.on("response", lambda response: responses.append(response))
        chat = await open_tab(context, server.url)
        await chat.ask("Show no code")
        sizes = {response.url: len(gzip.compress(await response.body())) for response in responses}
    assert any("markdown-it" in url for url in sizes)
    assert not any(name in url for url in sizes for name in ("highlight/", "colours", "temml", "typesetting"))
    assert sum(sizes.values()) <= COMPRESSED_KB * 1024, sizes


async def test_03_enter_sends_and_the_message_shows_at_once_and_the_focus_stays(chat: Chat, openai: FakeOpenAI) -> None:
    by_hand(openai)
    await expect(chat.prompt).to_be_focused()
    await chat.send("Good morning")
    await expect(chat.questions).to_have_text(["Good morning"])
    await expect(chat.prompt).to_have_value("")
    await expect(chat.prompt).to_be_focused()
    await expect(chat.page.get_by_role("img", name="Waiting for a reply")).to_be_visible()
    call = await openai.next_call()
    await call.text("Good morning to you")
    await expect(chat.last_reply).to_have_text("Good morning to you")
    await chat.finish(call)
    assert call.request.body["messages"][-1] == {"role": "user", "content": "Good morning"}


async def test_04_shift_enter_is_a_new_line_and_blank_text_is_not_sent(chat: Chat, openai: FakeOpenAI) -> None:
    openai.says("Fine")
    await chat.prompt.fill("  ")
    await chat.prompt.press("Shift+Enter")
    await chat.prompt.press("Enter")
    await expect(chat.prompt).to_have_value("  \n")
    await expect(chat.send_button).to_be_disabled()
    await expect(chat.turns).to_have_count(0)
    await chat.prompt.fill("one")
    await chat.prompt.press("Shift+Enter")
    await chat.page.keyboard.type("two")
    await chat.prompt.press("Enter")
    await expect(chat.questions).to_have_text(["one\ntwo"])


async def test_04_on_touch_enter_is_a_new_line(browser: Browser, server: Server, openai: FakeOpenAI) -> None:
    openai.says("Fine")
    async with chatting(browser, server.url, **PHONE) as chat:
        await chat.prompt.fill("one")
        await chat.prompt.press("Enter")
        await expect(chat.prompt).to_have_value("one\n")
        await chat.send_button.tap()
        await expect(chat.questions).to_have_text(["one"])


@pytest.mark.parametrize("how", ["{ isComposing: true }", "{ keyCode: 229 }"])
async def test_05_enter_that_ends_a_composition_does_not_send(chat: Chat, how: str) -> None:
    await chat.prompt.fill("にほん")
    enter = f"new KeyboardEvent('keydown', {{ key: 'Enter', bubbles: true, cancelable: true, ...{how} }})"
    assert await chat.prompt.evaluate(f"prompt => prompt.dispatchEvent({enter})"), "the page handled the key"
    await expect(chat.prompt).to_have_value("にほん")
    await expect(chat.turns).to_have_count(0)


async def test_06_the_first_token_is_seen_within_100_ms(chat: Chat, openai: FakeOpenAI) -> None:
    by_hand(openai)
    delays = []
    # The best of three: other programs may be at work on this machine.
    for n in range(3):
        await chat.send("Quick")
        call = await openai.next_call()
        await chat.page.evaluate("""n => { window.seen = new Promise((resolve) => {
          const look = () => document.querySelectorAll('.md')[n]?.textContent === 'Now'
            ? resolve(performance.timeOrigin + performance.now()) : requestAnimationFrame(look);
          look();
        }); }""", n)  # fmt: skip
        sent = time.time() * 1000
        await call.text("Now")
        delays.append(await chat.page.evaluate("seen") - sent)
        await chat.finish(call, n + 1)
    assert min(delays) <= 100, delays


@pytest.mark.parametrize("size", [1, 3, 4, 1000])
async def test_07_and_08_a_reply_is_exact_and_the_same_after_a_reload(
    chat: Chat, openai: FakeOpenAI, size: int
) -> None:
    # A surrogate pair counts as one character.
    openai.says(*(REPLY[start : start + size] for start in range(0, len(REPLY), size)))
    await chat.ask("Show everything")
    await chat.button("Copy reply").click()
    assert await chat.copied() == REPLY
    streamed = await chat.last_reply.inner_html()
    await chat.page.reload()
    await expect(chat.last_reply.locator("h1")).to_be_visible()
    assert await chat.last_reply.inner_html() == streamed


async def test_without_markdown_it_a_reply_is_plain_text(browser: Browser, server: Server, openai: FakeOpenAI) -> None:
    openai.says("# One\n", "- *two*")
    async with person(browser) as context:
        await context.route("**/vendor/**", lambda route: route.fulfill(status=404))
        chat = await open_tab(context, server.url)
        await chat.ask("Hello")
        await expect(chat.last_reply).to_have_text("# One\n- *two*")
        await expect(chat.last_reply.locator("*")).to_have_css("white-space-collapse", "preserve")


async def test_13_a_stop_is_quick_and_leaves_the_text(chat: Chat, openai: FakeOpenAI) -> None:
    for with_the_mouse in (True, False):
        call = await chat.start(openai, "Tell me everything", "In the beginning")
        await chat.page.evaluate(HOW_LONG_UNTIL_STOPPED)
        await (chat.stop_button.click() if with_the_mouse else chat.page.keyboard.press("Escape"))
        assert await chat.page.evaluate("howLong") <= STOPPED_WITHIN_MS
        await call.closed()
        await expect(chat.last_reply).to_have_text("In the beginning")
        await expect(chat.turns.last.get_by_text("You stopped this reply.")).to_be_visible()
        await expect(chat.prompt).to_be_focused()
        await expect(chat.stop_button).to_be_hidden()


async def test_14_a_failure_of_the_model_is_a_sentence_and_trying_again_works(chat: Chat, openai: FakeOpenAI) -> None:
    openai.answers(lambda call: call.refuse(500))
    await chat.ask("Are you there?")
    note = chat.turn("error").locator(".note")
    await expect(note).to_contain_text("The model's service failed.")
    openai.says("I am here")
    await note.get_by_role("button", name="Try again").click()
    await expect(chat.turn("done").locator(".md")).to_have_text("I am here")
    await expect(chat.questions).to_have_text(["Are you there?"])


async def test_15_a_silent_model_is_given_up_with_a_sentence(browser: Browser, openai: FakeOpenAI) -> None:
    by_hand(openai)
    async with Server(openai.url, FIRST_TOKEN_SECONDS="0.5") as server, chatting(browser, server.url) as chat:
        await chat.ask("Hello?")
        await expect(chat.turn("error").locator(".note")).to_contain_text("The model did not answer in time.")
        await expect(chat.button("Try again").first).to_be_visible()


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        ("length", "The reply reached its length limit."),
        ("content_filter", "The reply was cut off by a content filter."),
    ],
)
async def test_a_reply_that_ends_early_shows_why(chat: Chat, openai: FakeOpenAI, reason: str, sentence: str) -> None:
    async def answer(call: Call) -> None:
        await call.text("As far as it went")
        await call.finish(reason)

    openai.answers(answer)
    await chat.ask("Go on")
    await expect(chat.last_reply).to_have_text("As far as it went")
    await expect(chat.page.get_by_text(sentence)).to_be_visible()


async def test_a_reply_that_is_cut_can_be_tried_again(chat: Chat, openai: FakeOpenAI) -> None:
    async def answer(call: Call) -> None:
        await call.text("Half of")
        call.close()

    openai.answers(answer)
    await chat.ask("Say it")
    await expect(chat.turn("interrupted").locator(".md")).to_have_text("Half of")
    await expect(chat.page.get_by_text("The reply was interrupted.")).to_be_visible()
    openai.says("All of it")
    await chat.turn("interrupted").locator(".note").get_by_role("button", name="Try again").click()
    await expect(chat.turn("done").locator(".md")).to_have_text("All of it")
    await expect(chat.turns).to_have_count(1)


async def test_reasoning_is_shown_first_and_folds_with_the_answer(chat: Chat, openai: FakeOpenAI) -> None:
    by_hand(openai)
    await chat.send("Think")
    call = await openai.next_call()
    thought = chat.page.locator(".thought")
    await call.delta({"reasoning_content": "Let me "})
    await call.delta({"reasoning_content": "see"})
    await expect(thought).to_be_visible()
    await expect(thought).to_have_text("Let me see")
    await call.text("Done")
    await expect(thought).to_be_hidden()
    await chat.page.get_by_text("Thought for 1 s").click()
    await expect(thought).to_be_visible()
    await call.text(" thinking")
    await expect(chat.last_reply).to_have_text("Done thinking")
    await expect(thought).to_be_visible()
    await call.finish()


async def test_messages_sent_during_a_reply_are_answered_in_order(chat: Chat, openai: FakeOpenAI) -> None:
    by_hand(openai)
    for question in ("one", "two", "three"):
        await chat.send(question)
    await expect(chat.questions).to_have_text(["one", "two", "three"])
    for n, answer in enumerate(("first", "second", "third"), 1):
        call = await openai.next_call()
        await call.text(answer)
        await chat.finish(call, n)
    await expect(chat.replies).to_have_text(["first", "second", "third"])


async def test_a_message_that_is_too_long_stays_in_the_box(browser: Browser, openai: FakeOpenAI) -> None:
    openai.says("Fine")
    problem = "This message has 11 characters. The limit is 10."
    async with Server(openai.url, MAX_MESSAGE_CHARS="10") as server, chatting(browser, server.url) as chat:
        await chat.prompt.fill("🎉" * 11)
        await expect(chat.hint).to_have_text(problem)
        await chat.prompt.press("Enter")
        await expect(chat.send_button).to_be_disabled()
        await expect(chat.prompt).to_have_value("🎉" * 11)
        await expect(chat.page.locator("#alarm")).to_have_text(problem)
        await chat.ask("🎉" * 10)
        await expect(chat.turn("done").locator(".md")).to_have_text("Fine")


async def test_a_refused_message_stays_and_is_not_sent_again_by_itself(browser: Browser, openai: FakeOpenAI) -> None:
    openai.says("Yes")
    async with Server(openai.url, MESSAGES_PER_MINUTE="1") as server, chatting(browser, server.url) as chat:
        await chat.ask("one")
        calls = len(openai.calls)
        await chat.ask("two")
        await expect(chat.turn("refused").locator(".note")).to_contain_text("You are sending messages too quickly.")
        await chat.page.reload()
        await expect(chat.questions).to_have_text(["one", "two"])
        await expect(chat.turn("refused")).to_have_count(1)
        assert len(openai.calls) == calls
        await chat.turn("refused").get_by_role("button", name="Edit message").click()
        await expect(chat.prompt).to_have_value("two")
        await expect(chat.questions).to_have_text(["one"])
        # This socket has not sent anything yet: one is allowed.
        await chat.send("three")
        await expect(chat.turn("done").locator(".body")).to_have_text(["one", "three"])


async def test_a_message_too_large_for_a_frame_is_sent_once(chat: Chat, openai: FakeOpenAI) -> None:
    openai.says("Fine")
    # Six bytes each in JSON, and a frame has 64 KiB.
    await chat.send("\x01" * 16_000)
    await expect(chat.turn("refused").locator(".note")).to_contain_text("This message is too large to send.")
    await chat.send("Smaller")
    await expect(chat.turn("done").locator(".body")).to_have_text("Smaller")
    await expect(chat.turn("refused")).to_have_count(1)


@pytest.mark.parametrize(
    ("loading", "hint"),
    [
        (False, "A small demo model on this machine. It is often wrong."),
        (True, "The model is still loading. Your message will be answered when it is ready."),
    ],
)
async def test_a_demo_model_is_marked_as_one(browser: Browser, server: Server, loading: bool, hint: str) -> None:
    frame = {"type": "conversation", "id": "c", "model": "SmolLM2-135M", "demo": True, "limit": 16000}

    def route(socket: WebSocketRoute) -> None:
        socket.on_message(lambda _: socket.send(json.dumps(frame | {"loading": loading})))

    async with person(browser) as context:
        await context.route_web_socket("**/ws", route)
        chat = await open_tab(context, server.url)
        await expect(chat.page.locator("#model")).to_have_text("SmolLM2-135M · demo")
        await expect(chat.hint).to_have_text(hint)
        await expect(chat.page.locator("#keys")).to_be_visible(visible=not loading)
