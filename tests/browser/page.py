"""The page as a person uses it: a small vocabulary for the tests in a browser."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, Request, WebSocketRoute, expect

from tests.support import Call, FakeOpenAI, Server, eventually

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
LIMIT_MS = 8_000

# What Chromium writes on the console when the page cannot reach the server, whoever handles that; the last one if the
# server was killed while it sent a file.
SERVER_IS_AWAY = (
    "WebSocket connection to",
    "Failed to load resource: net::ERR_CONNECTION_",
    "Failed to load resource: net::ERR_CONTENT_LENGTH_MISMATCH",
)

# What a screen reader announces, all of it, in order.
ANNOUNCED = """
window.announced = [];
addEventListener('DOMContentLoaded', () => {
  for (const id of ['say', 'alarm']) {
    const node = document.getElementById(id);
    const listener = new MutationObserver(() => node.textContent && announced.push(node.textContent));
    if (node) listener.observe(node, { childList: true });
  }
});
addEventListener('securitypolicyviolation', ({ violatedDirective }) => console.error('violates', violatedDirective));
"""


class Chat:
    """One tab with the chat in it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        # What the console complained of, and requests to other hosts.
        self.faults: list[str] = []
        self.prompt = page.get_by_label("Message", exact=True)
        self.turns = page.locator(".turn")
        self.questions = page.locator(".you .body")
        self.replies = page.locator(".bot .md")
        self.last_reply = self.replies.last
        self.hint = page.locator("#remark")
        self.title = page.locator("#title")
        self.past = page.locator("#past .open")
        self.stop_button = self.button("Stop generating")
        self.send_button = self.button("Send message")
        self.menu_button = self.button("Open conversations")
        self.down_button = self.button("Jump to latest")

    def button(self, name: str, *, exact: bool = False) -> Locator:
        return self.page.get_by_role("button", name=name, exact=exact)

    def turn(self, status: str) -> Locator:
        """Turns with this status: waiting, open, refused, or how they ended."""
        return self.page.locator(f".turn[data-status={status}]")

    async def send(self, text: str) -> None:
        await self.prompt.fill(text)
        await self.prompt.press("Enter")

    async def send_with_button(self, text: str) -> None:
        """As on a phone, where Enter is a new line."""
        await self.prompt.fill(text)
        await self.send_button.click()

    async def ask(self, text: str) -> None:
        """Send it and wait for the end of its reply, whatever that is."""
        turns = await self.turns.count()
        await self.send(text)
        await expect(self.turns).to_have_count(turns + 1)
        await expect(self.turns.last.locator(".bot")).to_have_attribute("aria-busy", "false")

    async def start(self, openai: FakeOpenAI, question: str, text: str) -> Call:
        """Send a question whose reply the test writes by hand, and wait until the first text of it shows."""
        by_hand(openai)
        await self.send(question)
        call = await openai.next_call()
        await call.text(text)
        await expect(self.last_reply).to_have_text(text)
        return call

    async def finish(self, call: Call, turns: int = 1) -> None:
        """End a reply that is written by hand; then so many turns are done."""
        await call.finish()
        await expect(self.turn("done")).to_have_count(turns)

    async def copied(self) -> str:
        """What is in the clipboard, once the page has announced that it copied something."""
        await expect(self.page.locator("#say")).to_have_text("Copied")
        text: str = await self.page.evaluate("navigator.clipboard.readText()")
        return text

    async def announced(self) -> list[str]:
        announced: list[str] = await self.page.evaluate("announced")
        return announced

    async def sees(self, condition: str, argument: Any = None) -> None:
        """Wait until a condition, a JavaScript expression, holds in the page."""
        await self.page.wait_for_function(f"argument => {condition}", arg=argument)


class Sockets:
    """The sockets of a browser, in the test's hand."""

    def __init__(self) -> None:
        self.all: list[WebSocketRoute] = []
        # The code that closes each new socket; with None it is connected to the server.
        self.close_code: int | None = None
        # A socket over which nothing more comes from the server.
        self.dead: WebSocketRoute | None = None

    async def route(self, socket: WebSocketRoute) -> None:
        def forward(frame: str | bytes) -> None:
            if socket is not self.dead:
                socket.send(frame)

        self.all.append(socket)
        if self.close_code is None:
            socket.connect_to_server().on_message(forward)
        else:
            await socket.close(code=self.close_code)


@asynccontextmanager
async def chatting(browser: Browser, url: str, **options: Any) -> AsyncIterator[Chat]:
    """A new person with a browser of their own. At the end nothing may have broken the page's policy."""
    async with person(browser, **options) as context:
        chat = await open_tab(context, url)
        yield chat
        assert chat.faults == [], chat.faults


@asynccontextmanager
async def person(browser: Browser, **options: Any) -> AsyncIterator[BrowserContext]:
    size = {"width": 1280, "height": 860}
    permissions = ["clipboard-read", "clipboard-write"]
    context = await browser.new_context(**{"viewport": size, "permissions": permissions} | options)
    context.set_default_timeout(LIMIT_MS)
    await context.add_init_script(ANNOUNCED)
    yield context
    await context.close()


@asynccontextmanager
async def with_sockets(
    browser: Browser, close_code: int | None = None
) -> AsyncIterator[tuple[BrowserContext, Sockets]]:
    """A new person, whose sockets and whose clock are in the test's hand."""
    sockets = Sockets()
    sockets.close_code = close_code
    async with person(browser) as context:
        await context.clock.install()
        await context.route_web_socket("**/ws", sockets.route)
        yield context, sockets


async def open_tab(context: BrowserContext, url: str) -> Chat:
    chat = Chat(await context.new_page())

    def note_message(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(SERVER_IS_AWAY):
            chat.faults.append(message.text)

    def note_request(request: Request) -> None:
        if urlsplit(request.url).netloc != urlsplit(url).netloc:
            chat.faults.append(request.url)

    chat.page.on("console", note_message)
    chat.page.on("pageerror", lambda error: chat.faults.append(str(error)))
    chat.page.on("request", note_request)
    await chat.page.goto(url)
    return chat


def by_hand(openai: FakeOpenAI) -> None:
    """The test writes the coming replies itself: `call = await openai.next_call()`, `await call.text("Once")`."""

    async def wait(call: Call) -> None:
        await eventually(lambda: call.complete or not call.is_open, limit=60)

    openai.answers(wait)


async def restarted(server: Server) -> None:
    """The same server again after it was killed: same address, same store."""
    await server.stopped()
    await server.__aenter__()


async def storage(chat: Chat) -> dict[str, Any]:
    """What the page stores in this browser."""
    stored = await chat.page.evaluate("({ ...localStorage })")
    return {name.removeprefix("pocket-chat:"): json.loads(value) for name, value in stored.items()}
