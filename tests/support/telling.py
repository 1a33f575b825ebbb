"""Replies that somebody comes back to: each piece has a number, so that none can be lost or doubled unseen."""

import asyncio

from tests.support import Call, FakeOpenAI, Script
from tests.support.resuming import Tab

LOOK = 0.01  # seconds between looks whether a reply is over


def text(first: int, end: int) -> str:
    """What the pieces from one number up to another say together."""
    return "".join(f"{number}, " for number in range(first, end))


async def as_told(call: Call) -> None:
    """The script for a test that answers by itself, with `tell` and the call of `next_call`."""
    while call.is_open and not call.complete:
        await asyncio.sleep(LOOK)


async def tell(call: Call, first: int, end: int) -> None:
    """Say some of the pieces."""
    for number in range(first, end):
        await call.text(text(number, number + 1))


async def begin(openai: FakeOpenAI, tab: Tab, pieces: int = 0) -> tuple[str, Call]:
    """A story under way, and seen so far: its turn's id, and the call to go on telling it with."""
    openai.answers(as_told)
    id = await tab.ask("Tell me a story.")
    call = await openai.next_call()
    await tell(call, 0, pieces)
    await tab.sees(id, text(0, pieces))
    return id, call


def telling(end: int, pause: float) -> Script:
    """The script of a reply of so many pieces, at a steady pace."""

    async def answer(call: Call) -> None:
        for number in range(end):
            await tell(call, number, number + 1)
            await asyncio.sleep(pause)
        await call.finish()

    return answer


def questions(openai: FakeOpenAI, since: int = 0) -> list[str]:
    """All that the model was asked, in order."""
    return [call.question for call in openai.calls[since:]]
