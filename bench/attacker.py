"""What the attackers have in common: their target, its signals, and the words that they know."""

import asyncio
import json
import secrets
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.frames import TEXT, frame
from tests.support.raw_websocket import RawWebSocket

# Of a victim's reply before the attack.
HEAD_START = 1.0

EMOJI = "\N{GRINNING FACE}"
# Most characters of a message; most messages of a connection, at MESSAGES_PER_MINUTE=20.
LONGEST = 16_000
A_FEW = 15


@dataclass(frozen=True)
class Target:
    port: int
    pid: int
    store: Path
    seconds: float

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    async def begin(self) -> None:
        """All is prepared: wait until the victim reads its reply."""
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        await asyncio.sleep(HEAD_START)

    async def attack(self, work: Callable[[], Awaitable[object]], at_a_time: int) -> None:
        """Do it over and over, whatever the server answers, so many at a time."""

        async def keep_on() -> None:
            while True:
                with suppress(OSError, TimeoutError, ValueError, AssertionError):
                    await work()
                await asyncio.sleep(0)

        with suppress(TimeoutError):
            async with asyncio.timeout(self.seconds), asyncio.TaskGroup() as tasks:
                for _ in range(at_a_time):
                    tasks.create_task(keep_on())


# Words


def text(**content: Any) -> bytes:
    return frame(TEXT, json.dumps(content, ensure_ascii=False).encode())


def question(wish: str, **more: Any) -> bytes:
    return text(type="message", content=wish, **({"id": secrets.token_hex(8)} | more))


async def until(socket: RawWebSocket, *types: str) -> dict[str, Any]:
    while (got := await socket.next())["type"] not in types:
        pass
    return got


@asynccontextmanager
async def page(target: Target, conversation: str | None = None) -> AsyncIterator[tuple[RawWebSocket, str]]:
    """A page that has resumed, and the id of its conversation."""
    async with RawWebSocket(target.url) as socket:
        await socket.send(text(type="resume", conversation=conversation))
        id = (await until(socket, "conversation"))["id"]
        await until(socket, "history")
        yield socket, id
