"""What it costs the page to open: CPU time of the main thread until it is quiet, empty and with 500 turns to show."""

import asyncio

from playwright.async_api import Browser, CDPSession, expect

from bench.process import Program
from bench.rows import Row
from tests.browser.page import person
from tests.support import write_conversation

ROUNDS = 3
TURNS = 500
ANSWER = "Words that say *something*, and some more that say a little.\n\n" * 20

# Seconds without work after which the page counts as opened, and how little work is none.
QUIET = 0.3
LITTLE = 0.005


async def opening(browser: Browser) -> list[Row]:
    async with Program("", PYTHONWARNINGS=None) as server:
        await write_conversation(server, "long", *[(f"Question {n}.", ANSWER) for n in range(TURNS)])
        empty = [await _opened(browser, server, "") for _ in range(ROUNDS + 1)]
        full = [await _opened(browser, server, "long") for _ in range(ROUNDS)]
    return [
        Row("", "main thread to load it, without a conversation", " s", most=0.4, ours=_spread(empty[1:])),
        Row("", f"main thread to open a conversation of {TURNS} turns", " s", most=0.4, ours=_spread(full)),
    ]


async def _opened(browser: Browser, server: Program, conversation: str) -> float:
    async with person(browser) as context:
        if conversation:
            await context.add_init_script(f"localStorage['pocket-chat:open'] = '\"{conversation}\"'")
        page = await context.new_page()
        # A file of the same site: what follows stays in this process, and its clock goes on.
        await page.goto(f"{server.url}/static/icon.svg")
        session = await context.new_cdp_session(page)
        await session.send("Performance.enable", {"timeDomain": "threadTicks"})
        began = await worked(session)
        await page.goto(server.url)
        await expect(page.get_by_label("Message", exact=True)).to_be_focused()
        if conversation:
            await expect(page.locator(".you .body").last).to_have_text(f"Question {TURNS - 1}.")
        before = began
        while (now := await worked(session)) - before > LITTLE:
            before = now
            await asyncio.sleep(QUIET)
        return now - began


async def worked(session: CDPSession) -> float:
    """CPU seconds of the main thread so far: scripts, style, layout and paint."""
    metrics = (await session.send("Performance.getMetrics"))["metrics"]
    return float(next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration"))


def _spread(values: list[float]) -> list[float]:
    ranked = sorted(values)
    return [ranked[len(ranked) // 2], ranked[0], ranked[-1]]
