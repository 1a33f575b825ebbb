"""A WebSocket client that may break every rule: a test writes its bytes, stops reading, resets.

A library would correct what is wrong, answer pings and go on reading. This one sends nothing that the test did not
ask for, not even a pong.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import socket
import struct
from collections.abc import Sequence
from typing import Any, Self
from urllib.parse import urlsplit

from tests.support.client import Reply
from tests.support.frames import CLOSE, FURTHER, PING, PONG, TEXT, Frame, message

GONE = 1006  # RFC 6455: reported, never sent, when no close frame came.
LIMIT = 10.0  # Seconds for one wait: far over what a live server needs.

Json = dict[str, Any]


class RawWebSocket:
    """`async with RawWebSocket(url) as client`: after the handshake, whatever its answer was."""

    def __init__(self, url: str, *, headers: dict[str, str] | None = None, receive_buffer: int = 0) -> None:
        self.address = urlsplit(url)
        self.headers = {"Host": self.address.netloc} | (headers or {})
        self.status = 0
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer:  # Before connecting: it bounds the window for good.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.unread = bytearray()  # taken from the wire, and not looked at yet

    async def __aenter__(self) -> Self:
        key = base64.b64encode(os.urandom(16)).decode()
        asked = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        asked |= {"Sec-WebSocket-Key": key} | self.headers
        target = f"{self.address.path}?{self.address.query}".rstrip("?")
        lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in asked.items())]
        request = "\r\n".join([*lines, "", ""]).encode("latin-1")
        try:
            async with asyncio.timeout(LIMIT):
                address = (self.address.hostname or "", self.address.port or 80)
                await asyncio.get_running_loop().sock_connect(self.socket, address)
                await self.send(request)
                while b"\r\n\r\n" not in self.unread and await self._fill():
                    pass
        except BaseException:
            self.socket.close()
            raise
        head, _, rest = bytes(self.unread).partition(b"\r\n\r\n")
        self.unread = bytearray(rest)
        self.status = int(head.split()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        self.socket.close()

    async def send(self, data: bytes) -> None:
        async with asyncio.timeout(LIMIT):
            await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def send_until_refused(self, data: bytes) -> None:
        """For bytes that the server need not read to their end."""
        with contextlib.suppress(ConnectionError):
            await self.send(data)

    async def frame(self, limit: float = LIMIT) -> Frame:
        """The next frame; ConnectionError when there is none."""
        async with asyncio.timeout(limit):
            first, second = await self._take(2)
            length = second & 127
            if length in FURTHER:
                length = int.from_bytes(await self._take(FURTHER[length]), "big")
            return Frame(first & 15, await self._take(length))

    async def next(self) -> Json:
        """The next JSON text frame; pings and pongs are passed over."""
        while (got := await self.frame()).opcode in (PING, PONG):
            pass
        assert got.opcode == TEXT, got
        return dict(json.loads(got.payload))

    async def until_end(self, seen: Sequence[Json] = ()) -> Reply:
        """The reply that these frames begin."""
        frames = [*seen, await self.next()]
        while frames[-1]["type"] != "end":
            frames.append(await self.next())
        return Reply.of(frames)

    async def reply(self, content: str) -> Reply:
        await self.send(message(content))
        return await self.until_end()

    async def close_code(self, limit: float = LIMIT) -> int:
        """Why the server closed; GONE when it left without a word. Frames before that are passed over."""
        try:
            while (got := await self.frame(limit)).opcode != CLOSE:
                pass
        except ConnectionError:
            return GONE
        return int.from_bytes(got.payload[:2], "big")

    def reset(self) -> None:
        """Leave with RST: what a crashed machine or an impatient proxy does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    async def _take(self, count: int) -> bytes:
        while len(self.unread) < count:
            if not await self._fill():
                raise ConnectionError("the server left")
        taken = bytes(self.unread[:count])
        del self.unread[:count]
        return taken

    async def _fill(self) -> bool:
        data = await asyncio.get_running_loop().sock_recv(self.socket, 65_536)
        self.unread += data
        return bool(data)
