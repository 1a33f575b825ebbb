"""A WebSocket client that may break every rule: a test writes its bytes, stops reading, resets.

It refuses to be helpful: nothing is sent that the test did not ask for, not even a pong.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import socket
import struct
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FURTHER = {126: 2, 127: 8}  # In place of a length: it is in so many bytes that follow.
GONE = 1006  # RFC 6455: reported, never sent, when no close frame came.
LIMIT = 10.0  # Seconds for one wait: far over what a live server needs.

Json = dict[str, Any]


@dataclass(frozen=True)
class Frame:
    opcode: int
    payload: bytes


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = True) -> bytes:
    """One frame as it goes over the wire; `rsv` holds the three reserved bits, RSV1 being 4."""
    size = len(payload)
    length = size if size < 126 else 126 if size < 65_536 else 127
    head = bytes([fin << 7 | rsv << 4 | opcode, masked << 7 | length])
    head += size.to_bytes(FURTHER[length], "big") if length in FURTHER else b""
    if not masked:
        return head + payload
    mask = os.urandom(4)
    pad = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    return head + mask + (int.from_bytes(payload, "big") ^ pad).to_bytes(size, "big")


def message(content: str) -> bytes:
    """A plain client's question, not escaped, so that every character has its UTF-8 length."""
    return frame(TEXT, json.dumps({"type": "message", "content": content}, ensure_ascii=False).encode())


STOP = frame(TEXT, b'{"type": "stop"}')


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

    async def until_end(self) -> list[Json]:
        """The frames of one turn, its `end` included."""
        turn = [await self.next()]
        while turn[-1]["type"] != "end":
            turn.append(await self.next())
        return turn

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
