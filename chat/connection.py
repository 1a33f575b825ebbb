"""One WebSocket with its limits: how much, how often and how long."""

import asyncio
import json
from contextlib import suppress
from typing import NoReturn

from starlette.websockets import WebSocket, WebSocketDisconnect

from chat.frames import LONGEST_FRAME, Frame
from chat.limits import Budget
from utils.time_limit import TimeLimit

# A page that reconnects sends everything that is waiting at once; after that, a person types.
FRAMES_AT_ONCE = 100
FRAMES_PER_SECOND = 10


class Gone(Exception):
    """The client disconnected, stopped reading, or was closed by us."""


class Connection:
    """Sends and receives frames. Each method raises Gone when there is nobody to talk to any more.

    A client that does not read a frame for `send_seconds` is gone.
    """

    def __init__(self, socket: WebSocket, send_seconds: float) -> None:
        self._socket = socket
        self._limit = TimeLimit(send_seconds)
        self._frames = Budget(FRAMES_AT_ONCE, FRAMES_PER_SECOND)

    async def receive(self) -> str | None:
        """The text of the next frame; None for a binary one."""
        received = await self._socket.receive()
        if received["type"] == "websocket.disconnect":
            raise Gone
        if not self._frames.spend():
            await self.close(1008, "Too many frames.")
        # Yield to other clients: the next frame may be here already.
        await asyncio.sleep(0)
        text: str | None = received.get("text")
        if len(received.get("bytes") or (text or "").encode(errors="replace")) > LONGEST_FRAME:
            await self.close(1009, "This frame is too long.")
        return text

    async def send(self, frame: Frame) -> None:
        """Send a frame as JSON."""
        try:
            async with self._limit:
                await self._socket.send_text(json.dumps(frame, ensure_ascii=False))
        except (TimeoutError, RuntimeError, WebSocketDisconnect):
            # Starlette raises RuntimeError after the server's own close.
            raise Gone from None

    async def close(self, code: int, reason: str) -> NoReturn:
        """Close it, which raises Gone too."""
        with suppress(RuntimeError, WebSocketDisconnect):
            await self._socket.close(code, reason)
        raise Gone
