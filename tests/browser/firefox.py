"""The page in a Firefox, as a person uses it: what `page.py` is for Chromium."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from tests.browser.page import by_hand
from tests.support import Call, FakeOpenAI
from tests.support.bidi import Fields, Firefox, Refused

LIMIT = 10.0  # seconds that the page may take to become something

# The keys that have no character.
SHIFT = "\ue008"
CONTROL = "\ue009"
ENTER = "\ue007"
ESCAPE = "\ue00c"

EVENTS = ["log.entryAdded", "network.beforeRequestSent"]
REPORT_VIOLATIONS = """() => {
  addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => {
    console.error('violates', violatedDirective, blockedURI);
  });
}"""
PROMPT = "document.activeElement.id === 'prompt' && document.activeElement.value"
DONE = "document.querySelectorAll('.turn[data-status=done]').length"
CONNECTED = "document.querySelector('#model').textContent !== ''"


class Tab:
    """One tab with the chat in it."""

    def __init__(self, firefox: Firefox, context: str, host: str) -> None:
        # What the console complained of, and requests to other hosts.
        self.faults: list[str] = []
        self._firefox = firefox
        self._context = context
        self._host = host
        firefox.listen(context, self._note)

    async def go(self, url: str) -> None:
        await self._command("browsingContext.navigate", url=url, wait="complete")

    async def reload(self) -> None:
        await self._command("browsingContext.reload", wait="complete")

    async def back(self) -> None:
        """Ask for the page before; the tab has it a little later."""
        await self._command("browsingContext.traverseHistory", delta=-1)

    async def resize(self, width: int, height: int) -> None:
        size = {"width": width, "height": height}
        await self._command("browsingContext.setViewport", viewport=size)

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, or of its promise: anything that JSON has."""
        value = f"(async () => JSON.stringify(await ({expression}) ?? null))()"
        return json.loads((await self._evaluate(value))["value"])

    async def becomes(self, expression: str, value: Any) -> None:
        """Wait until an expression has this value."""
        loop = asyncio.get_running_loop()
        until = loop.time() + LIMIT
        while (seen := await self._seen(expression)) != value:
            in_time = loop.time() < until
            assert in_time, f"{expression} is {seen!r}, not {value!r}"
            await asyncio.sleep(0.02)

    async def sees(self, condition: str) -> None:
        """Wait until a condition holds in the page."""
        await self.becomes(condition, True)

    async def shows(self, selector: str, *texts: str) -> None:
        """Wait until these are the texts of all that the selector finds."""
        await self.becomes(f"{_all(selector)}.map((node) => node.textContent)", list(texts))

    async def type(self, text: str) -> None:
        """Type where the focus is."""
        kinds = ("keyDown", "keyUp")
        actions = [{"type": kind, "value": character} for character in text for kind in kinds]
        await self._perform("key", actions)

    async def press(self, *keys: str) -> None:
        """Press keys at the same time."""
        down = [{"type": "keyDown", "value": key} for key in keys]
        up = [{"type": "keyUp", "value": key} for key in reversed(keys)]
        await self._perform("key", down + up)

    async def click(self, selector: str) -> None:
        """Click with the mouse on the first such element that shows, once there is one."""
        # The message box moves with the first message, and a click would miss what is in it.
        await self.sees("document.getElementById('composer').getAnimations().length === 0")
        visible = f"{_all(selector)}.find((node) => node.checkVisibility())"
        await self.sees(f"{visible} !== undefined")
        origin = {"type": "element", "element": await self._evaluate(visible)}
        actions: list[Fields] = [{"type": "pointerMove", "x": 0, "y": 0, "origin": origin}]
        actions += [{"type": kind, "button": 0} for kind in ("pointerDown", "pointerUp")]
        await self._perform("pointer", actions)

    async def scroll(self, x: int, y: int, by: int) -> None:
        """Turn the wheel at a place."""
        turn = {"type": "scroll", "x": x, "y": y, "deltaX": 0, "deltaY": by}
        await self._perform("wheel", [turn])

    async def _seen(self, expression: str) -> Any:
        try:
            return await self.evaluate(expression)
        except Refused as refusal:
            # A page that is just being left answers nothing.
            return refusal

    def _note(self, event: str, fields: Fields) -> None:
        if event == "network.beforeRequestSent":
            url = fields["request"]["url"]
            # `data:` has no host; Firefox itself has a font like that, for the marks of lists.
            if urlsplit(url).netloc not in (self._host, ""):
                self.faults.append(url)
        elif fields["level"] in ("error", "warn"):
            self.faults.append(fields["text"])

    async def _perform(self, device: str, actions: list[Fields]) -> None:
        source = {"type": device, "id": device, "actions": actions}
        await self._command("input.performActions", actions=[source])

    async def _evaluate(self, expression: str) -> Fields:
        answer = await self._firefox.command(
            "script.evaluate",
            expression=expression,
            target={"context": self._context},
            awaitPromise=True,
        )
        assert answer["type"] == "success", f"{expression}: {answer['exceptionDetails']['text']}"
        result: Fields = answer["result"]
        return result

    async def _command(self, method: str, **parameters: Any) -> None:
        await self._firefox.command(method, context=self._context, **parameters)


@asynccontextmanager
async def launched(executable: str) -> AsyncIterator[Firefox]:
    """A Firefox that reports its console, its requests, and what breaks the page's policy."""
    async with Firefox(executable) as firefox:
        await firefox.command("session.subscribe", events=EVENTS)
        await firefox.command("script.addPreloadScript", functionDeclaration=REPORT_VIOLATIONS)
        yield firefox


@asynccontextmanager
async def chatting(firefox: Firefox, url: str, width: int = 1280) -> AsyncIterator[Tab]:
    """A new person with storage of their own. At the end `faults` must be empty."""
    user = (await firefox.command("browser.createUserContext"))["userContext"]
    opened = await firefox.command("browsingContext.create", type="tab", userContext=user)
    tab = Tab(firefox, opened["context"], urlsplit(url).netloc)
    await tab.resize(width, 860)
    await tab.go(url)
    await tab.sees(CONNECTED)
    yield tab
    assert tab.faults == [], tab.faults
    await firefox.command("browser.removeUserContext", userContext=user)


async def ask(tab: Tab, question: str, turns: int = 1) -> None:
    """Send a message with the keyboard; then so many turns are done."""
    await tab.type(question)
    await tab.press(ENTER)
    await tab.becomes(DONE, turns)


async def start(tab: Tab, openai: FakeOpenAI, question: str, text: str) -> Call:
    """Send a message whose reply the test writes by hand, and wait for its first text."""
    by_hand(openai)
    await tab.type(question)
    await tab.press(ENTER)
    call = await openai.next_call()
    await call.text(text)
    await tab.shows(".md", text)
    return call


async def finish(tab: Tab, call: Call) -> None:
    """End a reply that is written by hand."""
    await call.finish()
    await tab.becomes(DONE, 1)


def _all(selector: str) -> str:
    return f"[...document.querySelectorAll({json.dumps(selector)})]"
