"""The other client on the same server, which must not notice what this one suffers or does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support import Call, FakeOpenAI, Script, Server
from tests.support.raw_websocket import RawWebSocket

QUESTION = "Is it quiet at your place?"
# Seconds that a turn may take more while somebody else is in trouble. A busy disk takes half a second by itself.
DISTURBED = 1.0
PAUSE = 0.02  # Seconds between its turns, so that it is a neighbour and not a flood of its own.


@asynccontextmanager
async def undisturbed(server: Server) -> AsyncIterator[None]:
    """Another client takes turns all the while, and none of them is slower for it."""
    over = asyncio.Event()
    await turn_seconds(server)  # The first turn of all loads what a turn needs.
    usual = max([await turn_seconds(server) for _ in range(3)])
    slowest = usual

    async def keep_talking() -> None:
        nonlocal slowest
        while not over.is_set():
            slowest = max(slowest, await turn_seconds(server))
            await asyncio.sleep(PAUSE)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(keep_talking())
        try:
            yield
        finally:
            over.set()
    slowest = max(slowest, await turn_seconds(server))
    assert slowest < usual + DISTURBED, f"a turn took {slowest:.2f} s instead of {usual:.2f} s"


async def turn_seconds(server: Server) -> float:
    """How long a new client waits for its whole answer, the handshake included."""
    now = asyncio.get_running_loop().time
    before = now()
    async with RawWebSocket(server.ws_url) as client:
        assert (await client.reply(QUESTION)).whole
    return now() - before


def but_answers_the_neighbour(script: Script) -> Script:
    """The script for everybody else; the neighbour gets a good answer."""

    async def answer(call: Call) -> None:
        if call.question == QUESTION:
            await call.text("Quiet.")
            await call.finish()
        else:
            await script(call)

    return answer


async def call_of(openai: FakeOpenAI, content: str) -> Call:
    """The call that asks this; the neighbour's are passed over."""
    while (call := await openai.next_call()).question != content:
        pass
    return call
