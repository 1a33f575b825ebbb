"""The page as a person uses it: a small vocabulary for the tests in a browser."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, Request, expect

from tests.support import Call, FakeOpenAI, Server, eventually

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
LIMIT_MS = 8_000

# What is in a sentence that a person reads, and what a screen reader is told: all of it, in order.
HEARING = """
window.heard = [];
addEventListener('DOMContentLoaded', () => {
  for (const id of ['say', 'alarm']) {
    const node = document.getElementById(id);
    const listener = new MutationObserver(() => node.textContent && heard.push(node.textContent));
    if (node) listener.observe(node, { childList: true });
  }
});
addEventListener('securitypolicyviolation', ({ violatedDirective }) => console.error('violates', violatedDirective));
"""


class Chat:
    """One tab with the chat in it."""

    def __init__(self, page: Page, faults: list[str]) -> None:
        self.page = page
        self.faults = faults  # what the console complained of, and requests to other hosts
        self.prompt = page.get_by_label("Message", exact=True)
        self.turns = page.locator(".turn")
        self.questions = page.locator(".you .body")
        self.replies = page.locator(".bot .md")
        self.hint = page.locator("#remark")
        self.title = page.locator("#title")
        self.past = page.locator("#past .open")
        self.stop_button = page.get_by_role("button", name="Stop generating")
        self.send_button = page.get_by_role("button", name="Send message")

    def turn(self, status: str) -> Locator:
        """Turns with this status: waiting, open, refused, or how they ended."""
        return self.page.locator(f".turn[data-status={status}]")

    @property
    def last_reply(self) -> Locator:
        return self.replies.last

    async def send(self, text: str) -> None:
        await self.prompt.fill(text)
        await self.prompt.press("Enter")

    async def ask(self, text: str) -> None:
        """Send it and wait for the end of its reply, whatever that is."""
        turns = await self.turns.count()
        await self.send(text)
        await expect(self.turns).to_have_count(turns + 1)
        await expect(self.turns.last.locator(".bot")).to_have_attribute("aria-busy", "false")

    async def copied(self) -> str:
        """What is in the clipboard, once the page has said that it copied something."""
        await expect(self.page.locator("#say")).to_have_text("Copied")
        text: str = await self.page.evaluate("navigator.clipboard.readText()")
        return text

    async def heard(self) -> list[str]:
        """All that was said to a screen reader so far."""
        heard: list[str] = await self.page.evaluate("heard")
        return heard

    async def sees(self, condition: str, argument: Any = None) -> None:
        """Wait until a condition, a JavaScript expression, holds in the page."""
        await self.page.wait_for_function(f"argument => {condition}", arg=argument)


@asynccontextmanager
async def chatting(browser: Browser, url: str, **options: Any) -> AsyncIterator[Chat]:
    """A new person with a browser of their own. At the end nothing may have broken the page's policy."""
    async with person(browser, **options) as context:
        chat = await open_tab(context, url)
        yield chat
        assert chat.faults == [], chat.faults


@asynccontextmanager
async def person(browser: Browser, **options: Any) -> AsyncIterator[BrowserContext]:
    options = {
        "viewport": {"width": 1280, "height": 860},
        "permissions": ["clipboard-read", "clipboard-write"],
    } | options
    context = await browser.new_context(**options)
    context.set_default_timeout(LIMIT_MS)
    await context.add_init_script(HEARING)
    yield context
    await context.close()


async def open_tab(
    context: BrowserContext, url: str, *, prepare: Callable[[Page], Awaitable[None]] | None = None
) -> Chat:
    page = await context.new_page()
    faults: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith("WebSocket connection to"):
            faults.append(message.text)

    def look(request: Request) -> None:
        if urlsplit(request.url).netloc != urlsplit(url).netloc:
            faults.append(request.url)

    page.on("console", note)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", look)
    if prepare:
        await prepare(page)
    await page.goto(url)
    return Chat(page, faults)


def by_hand(openai: FakeOpenAI) -> None:
    """The test writes the coming replies itself: `call = await openai.next_call()`, `await call.text("Once")`."""

    async def wait(call: Call) -> None:
        await eventually(lambda: call.complete or not call.is_open, limit=60)

    openai.answers(wait)


async def restarted(server: Server) -> None:
    """The same server again after it was killed: same address, same store."""
    await server.stopped()
    await server.__aenter__()


async def in_pieces(call: Call, text: str, size: int) -> None:
    """Write a reply in pieces of so many characters; a surrogate pair counts as one."""
    for start in range(0, len(text), size):
        await call.text(text[start : start + size])
    await call.finish()


async def storage(chat: Chat) -> dict[str, Any]:
    """What the page keeps in this browser."""
    kept = await chat.page.evaluate("({ ...localStorage })")
    return {name.removeprefix("pocket-chat:"): json.loads(value) for name, value in kept.items()}
