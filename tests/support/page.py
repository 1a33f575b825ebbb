"""Clients without a network, for chat.client.Client: one that plays its script, and one that the test leads."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from chat.client import Client
from chat.frames import Frame
from chat.rooms import Rooms
from tests.support import eventually
from tests.support.rooms import SETTINGS
from utils.settings import Settings

LIMIT = 10.0  # seconds for one wait


class FakeWebSocket:
    """A client that sends its next message when it has seen the end of the one before, and then leaves."""

    def __init__(self, *messages: Frame, stays: bool = False) -> None:
        self.frames: list[Frame] = []
        self.close_code = 0
        self._incoming: asyncio.Queue[Frame] = asyncio.Queue()
        self._messages = list(messages)
        self._stays = stays
        self._next()

    async def receive(self) -> Frame:
        return await self._incoming.get()

    async def send_text(self, text: str) -> None:
        self.frames.append(json.loads(text.encode()))
        if self.frames[-1]["type"] == "end":
            self._next()

    async def close(self, code: int, reason: str) -> None:
        self.close_code = code

    def send(self, message: Frame) -> None:
        self._incoming.put_nowait({"type": "websocket.receive", "text": json.dumps(message)})

    def leave(self) -> None:
        self._incoming.put_nowait({"type": "websocket.disconnect", "code": 1000})

    def types(self) -> list[str]:
        return [frame["type"] for frame in self.frames]

    def _next(self) -> None:
        if self._messages:
            self.send(self._messages.pop(0))
        elif not self._stays:
            self.leave()


class Page(FakeWebSocket):
    """It stays until it is told to leave, and knows how many bytes each frame had."""

    def __init__(self, conversation: str | None = None, after: Frame | None = None) -> None:
        super().__init__(stays=True)
        self.sizes: list[int] = []
        self.send({"type": "resume", "conversation": conversation, "after": after})

    async def send_text(self, text: str) -> None:
        self.sizes.append(len(text.encode()))
        await super().send_text(text)

    def ask(self, id: str, content: str = "Why?", **more: str) -> None:
        self.send({"type": "message", "id": id, "content": content, **more})

    async def gets(self, kind: str, count: int = 1) -> Frame:
        """The last of so many frames of a type."""
        assert await eventually(lambda: self.types().count(kind) >= count, LIMIT), self.types()
        return [frame for frame in self.frames if frame["type"] == kind][count - 1]


@asynccontextmanager
async def served(page: Any, rooms: Rooms, settings: Settings = SETTINGS) -> AsyncIterator[Page]:
    """While it is connected."""
    running = asyncio.create_task(Client(page, rooms, settings).run())
    yield page
    page.leave()
    async with asyncio.timeout(LIMIT):
        await running
