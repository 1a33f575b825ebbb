"""Pictures of the page in its states, light and dark, on a desk and on a phone: `python -m bench.screenshots`.

They go to docs/screenshots/, which is not kept in the repository, apart from the two that the README shows.
"""

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, async_playwright, expect

from tests.browser.conftest import ARGUMENTS, chromium
from tests.browser.page import PHONE, Chat, by_hand, open_tab, person
from tests.support import FakeOpenAI, Server

FOLDER = Path(__file__).parents[1] / "docs/screenshots"
KEPT = {"chat-desktop-light.png": "page-light.png", "streaming-phone-dark.png": "page-dark-phone.png"}
SIZES: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": {"width": 1280, "height": 860}, "device_scale_factor": 1.5},
    "phone": PHONE | {"device_scale_factor": 2},
}
PAST = {
    0: ["Why is my asyncio queue growing?", "Names for a pottery studio"],
    1: ["Explain the CAP theorem simply", "Trip to Lisbon in spring"],
    4: ["SQL window functions", "Cover letter, second draft"],
    30: ["Sourdough at altitude", "Regex for ISO dates", "Reading list: distributed systems"],
}
QUESTION = "How should I rate-limit a FastAPI WebSocket without making the chat feel sluggish?"
REPLY = '''\
Use a **token bucket per connection**: each message costs one token, and tokens refill at a steady rate. It allows \
short bursts but caps the long-run average, which suits chat well.

```python
class Bucket:
    def __init__(self, rate: float, burst: int):
        self.rate, self.burst = rate, burst
        self.tokens, self.at = burst, monotonic()

    def take(self, n: int = 1) -> float:
        """Return 0 if allowed, else the seconds to wait."""
        now = monotonic()
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.rate)
        self.at = now
        if self.tokens >= n:
            self.tokens -= n
            return 0
        return (n - self.tokens) / self.rate  # caller may tell the client
```

Three details decide whether it feels right:

1. **Answer, do not drop.** Send a `rate_limited` error with a sentence, so that the page can say what happened.
2. Limit *bytes* as well as messages; one 2 MB paste hurts more than ten short lines.
3. Close with code `1008` only after repeated abuse.

## Which limiter fits where

| Algorithm | Bursts | State | Good for |
|---|---|---:|---|
| Token bucket | Yes, bounded | 16 B | Chat messages |
| Leaky bucket | No | 16 B | Upstream model calls |
| Sliding window | Partly | 8 B each | Billing quotas |

> If several workers serve one user, keep the bucket in Redis; otherwise in-process is simpler and faster.

More in [the WebSocket close-code registry](https://www.iana.org/assignments/websocket/websocket.xhtml).
'''
SECOND = "And can I combine that with a global concurrency cap?"
WRITING = """\
Yes. Keep one `asyncio.Semaphore` per process for model calls, and let the bucket guard each connection. \
The order matters:

- check the bucket first, because it is cheap and local;
- then wait for the semaphore with a deadline, so a stuck upstream cannot pile up"""

FORMULAS = r"""
With arrivals at rate $\lambda$ and refills at rate $\mu$, the bucket holds on average

$$\bar{n} = \sum_{k=0}^{B} k \, p_k = B - \frac{\rho}{1 - \rho}, \qquad \rho = \frac{\lambda}{\mu} < 1$$

so a plan of $5 or $6 a month needs no more than a few tokens.

تحتوي الدالة على سطر واحد فقط:

```python
level = min(burst, level + rate * seconds)
```
"""


async def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        for size in SIZES:
            for colours in ("light", "dark"):
                await take_all(browser, size, colours)
        await browser.close()
    for name, kept in KEPT.items():
        shutil.copy(FOLDER / name, FOLDER.parent / kept)
    print(f"{len(list(FOLDER.glob('*.png')))} pictures in {FOLDER}")


async def take_all(browser: Browser, size: str, colours: str) -> None:
    async with sitting(browser, size, colours) as (chat, openai, server):

        async def take(state: str) -> None:
            await chat.page.mouse.move(0, 0)
            await chat.page.screenshot(path=FOLDER / f"{state}-{size}-{colours}.png")

        await expect(chat.page.locator("#model")).not_to_be_empty()
        await expect(chat.page.locator("#empty")).to_be_visible()
        await take("empty")

        openai.says(REPLY)
        await ask(chat, QUESTION)
        await expect(chat.turn("done")).to_have_count(1)
        await chat.sees("CSS.highlights.get('keyword')?.size > 0")
        await name_it(chat, "Rate limiting a WebSocket")
        await chat.page.mouse.move(640, 300)
        await chat.page.evaluate("log.scrollTop = 0")
        await expect(chat.page.get_by_role("button", name="Jump to latest")).to_be_visible()
        await take("chat")

        by_hand(openai)
        await ask(chat, SECOND)
        call = await openai.next_call()
        await call.text(WRITING)
        await expect(chat.last_reply).to_contain_text("pile up")
        await take("streaming")

        await ask(chat, "And how do I test it?")
        await expect(chat.turn("queued")).to_have_count(1)
        await take("queued")
        await chat.button("Take this message back").click()
        await expect(chat.turn("queued")).to_have_count(0)
        await chat.prompt.fill("")

        await chat.stop_button.click()
        await expect(chat.turn("stopped")).to_have_count(1)

        openai.says(FORMULAS)
        await ask(chat, "How full is the bucket on average? Answer in two languages.")
        await expect(chat.turn("done")).to_have_count(2)
        await expect(chat.page.locator("math")).not_to_have_count(0)
        await take("formulas")

        await chat.button("Conversation menu").click()
        await take("menu")
        await chat.button("Open on another device…").click()
        await take("link")
        await chat.button("Close", exact=True).click()

        openai.answers(lambda call: call.refuse(503))
        await ask(chat, "What should we change first?")
        await expect(chat.turn("error")).to_have_count(1)
        await take("error")

        if size == "phone":
            await chat.page.get_by_role("button", name="Open conversations").tap()
            await expect(chat.past.first).to_be_visible()
            await take("drawer")
            await chat.page.keyboard.press("Escape")

        await chat.prompt.fill("Also list the owners of each action item, and say which ones are already done.")
        server.kill()
        await expect(chat.hint).to_contain_text("Reconnecting")
        await take("reconnecting")


@asynccontextmanager
async def sitting(browser: Browser, size: str, colours: str) -> AsyncIterator[tuple[Chat, FakeOpenAI, Server]]:
    """A person who has had conversations before."""
    now = time.time() * 1000
    past = [
        {"id": f"{days}-{n}", "title": title, "at": now - days * 86_400_000 - n}
        for days, titles in PAST.items()
        for n, title in enumerate(titles)
    ]
    async with (
        FakeOpenAI() as openai,
        Server(openai.url) as server,
        person(browser, color_scheme=colours, **SIZES[size]) as context,
    ):
        key, value = json.dumps("pocket-chat:conversations"), json.dumps(json.dumps(past))
        await context.add_init_script(f"localStorage[{key}] ??= {value}")
        yield await open_tab(context, server.url), openai, server


async def ask(chat: Chat, text: str) -> None:
    await chat.prompt.fill(text)
    await chat.send_button.click()


async def name_it(chat: Chat, title: str) -> None:
    """Give the conversation a better title, as a person would in the sidebar."""
    await chat.page.evaluate(
        """(title) => {
          const list = JSON.parse(localStorage['pocket-chat:conversations']);
          list[0].title = title;
          localStorage['pocket-chat:conversations'] = JSON.stringify(list);
          dispatchEvent(new Event('storage'));
        }""",
        title,
    )
    await expect(chat.title).to_have_text(title)


if __name__ == "__main__":
    asyncio.run(main())
