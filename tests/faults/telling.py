"""Replies that somebody comes back to: each piece has a number, so that none can be lost or doubled unseen."""

import asyncio

from tests.faults.neighbour import question
from tests.support import Call, FakeOpenAI
from tests.support.fake_openai import Handler

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


def telling(end: int, pause: float) -> Handler:
    """The script of a reply of so many pieces, at a steady pace."""

    async def answer(call: Call) -> None:
        for number in range(end):
            await tell(call, number, number + 1)
            await asyncio.sleep(pause)
        await call.finish()

    return answer


async def echoes(call: Call) -> None:
    """The script that repeats the question."""
    await call.text(f"You said: {question(call)}")
    await call.finish()


def questions(openai: FakeOpenAI, since: int = 0) -> list[str]:
    """All that the model was asked, in order."""
    return [question(call) for call in openai.calls[since:]]
