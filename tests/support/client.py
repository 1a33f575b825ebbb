"""A plain client of the chat: it knows messages and stop, nothing of resuming.

It stands on the `websockets` library, an independent reading of the standard: what the server sends it must be right.
"""

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

Frame = dict[str, Any]


@dataclass
class Reply:
    """What came for one message, from its first frame to its `end`."""

    text: str
    status: str
    error: Frame | None
    frames: list[Frame]

    @classmethod
    def of(cls, frames: list[Frame]) -> Self:
        """Read the frames, and check that they are a reply: start, chunks, at most one error, one end."""
        types = " ".join(frame["type"] for frame in frames)
        assert re.fullmatch(r"(start )?(chunk )*(error )?end", types), types
        text = "".join(frame["content"] for frame in frames if frame["type"] == "chunk")
        error = next((frame for frame in frames if frame["type"] == "error"), None)
        return cls(text, frames[-1]["status"], error, frames)

    @property
    def whole(self) -> str:
        """The text, of a reply that began and ended well."""
        assert (self.frames[0]["type"], self.error, self.status) == ("start", None, "done"), self
        return self.text


class Client:
    """`async with server.client() as client`, then `await client.reply("hi")`. Every wait has a limit."""

    def __init__(self, url: str, received: list[str], **options: Any) -> None:
        options = {"compression": None, "proxy": None, "max_size": None, "max_queue": None} | options
        self._connecting = connect(url, **options)
        self._received = received

    async def __aenter__(self) -> Self:
        self.socket: ClientConnection = await self._connecting.__aenter__()
        return self

    async def __aexit__(self, *why: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.socket.close()

    async def say(self, content: Any, **more: Any) -> None:
        await self.send({"type": "message", "content": content, **more})

    async def stop(self) -> None:
        await self.send({"type": "stop"})

    async def send(self, frame: Any) -> None:
        """Send anything as JSON, or a string or bytes just as they are."""
        await self.socket.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))

    async def frame(self, limit: float = 10.0) -> Frame:
        async with asyncio.timeout(limit):
            text = await self.socket.recv()
        assert isinstance(text, str)
        self._received.append(text)
        frame: Frame = json.loads(text)
        if frame["type"] == "error":
            assert frame["content"]
            assert frame["code"]
            assert isinstance(frame["retry"], bool)
        return frame

    async def until_end(self, seen: Sequence[Frame] = (), limit: float = 10.0) -> Reply:
        """The reply that these frames begin."""
        frames = list(seen)
        try:
            async with asyncio.timeout(limit):
                while not frames or frames[-1]["type"] != "end":
                    frames.append(await self.frame(limit))
        except (TimeoutError, ConnectionClosed) as why:
            raise AssertionError(f"no end within {limit} s after {frames[-3:]}: {why!r}") from why
        return Reply.of(frames)

    async def reply(self, content: str, limit: float = 10.0) -> Reply:
        await self.say(content)
        return await self.until_end(limit=limit)

    async def close_code(self, limit: float = 5.0) -> int | None:
        """Read on until the server closes."""
        try:
            async with asyncio.timeout(limit):
                while True:
                    await self.frame(limit)
        except ConnectionClosed:
            return self.socket.close_code
