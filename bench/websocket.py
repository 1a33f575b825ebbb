"""A WebSocket client that costs next to nothing: frames by hand, and no more parsing than counting needs.

The clients of the tests take longer for a frame than the server: hundreds of them would measure themselves.
"""

import asyncio
import json
import re
import time
import zlib
from typing import Any

STAMP = re.compile(rb"~(\d{17})")  # a token's time of departure, see fake_openai
LIMIT = 20.0  # seconds that a reply may take to begin, or a short one to end


class Failed(Exception):
    """The server answered with an error, or hung up."""


class Socket(asyncio.Protocol):
    """A client. `latencies` (ns) and `tokens` count what has come, also over many sockets."""

    path = "/ws"

    def __init__(self, port: int, latencies: list[int] | None = None) -> None:
        self.port, self.latencies = port, [] if latencies is None else latencies
        self.tokens = 0
        self.changed = asyncio.Event()  # set by the first token, by an end, and by an answer to resume
        self.began = 0  # when the first token of the reply came, ns
        self.ended = self.closed = self._open = False
        self._rest = b""
        self._inflate = zlib.decompressobj(-15)
        self._failure = b""

    async def connect(self) -> "Socket":
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self, "127.0.0.1", self.port)
        await self.until(lambda: self._open, LIMIT)
        return self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(  # It offers to inflate, as browsers do.
            b"GET %b HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n" % (self.path.encode(), self.port)
        )

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        self.changed.set()

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        data = self._rest + data
        at = 0
        if not self._open:
            head, found, data = data.partition(b"\r\n\r\n")
            if not found:
                self._rest = head
                return
            self._open, self._failure = True, b"" if b" 101 " in head else head
            self.changed.set()
        while len(data) - at >= 2:
            length, head_size = data[at + 1], 2  # from a server, so not masked
            if length >= 126:
                head_size = 4 if length == 126 else 10
                length = int.from_bytes(data[at + 2 : at + head_size])
            if len(data) - at < head_size + length:
                break
            self._take(data[at], data[at + head_size : at + head_size + length], now)
            at += head_size + length
        self._rest = data[at:]

    def _take(self, first: int, payload: bytes, now: int) -> None:
        if first & 0x40:
            payload = self._inflate.decompress(payload + b"\0\0\xff\xff")
        if tokens := payload.count(b"~"):
            self.tokens += tokens
            self.latencies.extend([now - int(stamp) for stamp in STAMP.findall(payload)])
            if not self.began:
                self.began = now
                self.changed.set()
        elif first & 0xF == 9:
            self._write(0x8A, payload)
        elif b'"error"' in payload[:24]:
            self._failure = payload
            self.changed.set()
        elif b'"end"' in payload[:24] or b'"history"' in payload[:24]:
            self.ended = True
            self.changed.set()

    def send(self, frame: dict[str, Any]) -> int:
        """Send a frame; the time at which it left."""
        self.began, self.ended = 0, False
        now = time.monotonic_ns()
        self._write(0x81, json.dumps(frame).encode())
        return now

    def _write(self, first: int, payload: bytes) -> None:
        # Masked with zeros.
        length = len(payload)
        size = bytes([0x80 | length]) if length < 126 else bytes([0xFE, length >> 8, length & 0xFF])
        self._transport.write(bytes([first]) + size + bytes(4) + payload)

    def say(self, wish: str) -> int:
        return self.send({"type": "message", "content": wish})

    async def begin(self) -> None:
        """Wait for the reply's first token."""
        await self.until(lambda: self.began > 0, LIMIT)

    async def end(self) -> None:
        """Wait for the reply's end, or for the answer to resume."""
        await self.until(lambda: self.ended, LIMIT)

    async def until(self, condition: Any, limit: float | None = None) -> None:
        """Wait for something. Raises Failed if it cannot come any more."""
        async with asyncio.timeout(limit):
            while not (condition() or self._failure or self.closed):
                self.changed.clear()
                await self.changed.wait()
        if self._failure or self.closed:
            raise Failed(self._failure[:200].decode(errors="replace") or "the server hung up")

    async def close(self) -> None:
        """Say goodbye, as a page that is left does."""
        self._write(0x88, b"\x03\xe9")
        self._transport.close()
