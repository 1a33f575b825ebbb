"""One call of the fake OpenAI: the request that came, and the words to answer it with."""

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from tests.support.wire import chunk, framed, refusal, sse


@dataclass
class Request:
    headers: dict[str, str]
    body: Any


class Connection:
    """A TCP connection that always has a read pending, so that it knows at once when the peer leaves."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self._next_byte = asyncio.create_task(reader.read(1))

    @property
    def is_open(self) -> bool:
        return not self.writer.is_closing() and not (self._next_byte.done() and not self._first())

    async def next_request(self) -> Request | None:
        await asyncio.wait({self._next_byte})
        if not (first := self._first()):
            return None
        head = (first + await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        request_line, *lines = head.rstrip().split("\r\n")
        assert request_line == "POST /v1/chat/completions HTTP/1.1", request_line
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        body = await self._reader.readexactly(int(headers.get("content-length", 0)))
        self._next_byte = asyncio.create_task(self._reader.read(1))
        return Request(headers, json.loads(body or b"null"))

    async def left(self) -> None:
        """Wait until the peer has closed; a next request would be a mistake of the script."""
        await asyncio.wait({self._next_byte})
        assert not self._first(), "the peer did not leave: it sent more"

    def close(self) -> None:
        self._next_byte.cancel()
        self.writer.close()

    def reset(self) -> None:
        """Send RST instead of FIN."""
        connection: socket.socket = self.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def _first(self) -> bytes:
        """What the pending read brought: the first byte of a request, or nothing if the peer left."""
        if self._next_byte.cancelled() or self._next_byte.exception():
            return b""
        return self._next_byte.result()


class Call:
    """Headers are sent before the first text, unless the script has sent its own."""

    def __init__(self, request: Request, connection: Connection) -> None:
        self.request = request
        self.complete = False
        self._connection = connection
        self._chunked: bool | None = None

    @property
    def messages(self) -> list[dict[str, str]]:
        """What the model is told."""
        messages: list[dict[str, str]] = self.request.body["messages"]
        return messages

    @property
    def question(self) -> str:
        """The message that the model is to answer."""
        return self.messages[-1]["content"]

    @property
    def is_open(self) -> bool:
        """Whether neither side has closed the connection."""
        return self._connection.is_open

    async def headers(
        self, status: int = 200, content_type: str = "text/event-stream", *, chunked: bool = True, **more: str
    ) -> None:
        """Start the answer. `chunked=False`: it ends by closing. `retry_after="1"` is one more header."""
        framing = {"transfer-encoding": "chunked"} if chunked else {"connection": "close"}
        headers = {"content-type": content_type, **framing, **more}
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self._chunked = chunked and "content_length" not in more
        await self.wire("\r\n".join([*lines, "", ""]).encode())

    async def wire(self, data: bytes) -> None:
        """Send bytes outside of any framing."""
        self._connection.writer.write(data)
        await self._connection.writer.drain()

    async def raw(self, data: bytes) -> None:
        """Send bytes of the body."""
        if self._chunked is None:
            await self.headers()
        await self.wire(framed(data) if self._chunked else data)

    async def event(self, data: Any) -> None:
        """Send one server-sent event."""
        await self.raw(sse(data))

    async def delta(self, delta: Any, finish_reason: str | None = None, **more: Any) -> None:
        await self.event(chunk(delta, finish_reason, **more))

    async def text(self, piece: str) -> None:
        await self.delta({"content": piece})

    async def finish(self, reason: str = "stop") -> None:
        """Say why the answer is over, then [DONE]."""
        await self.delta({}, reason)
        await self.done()

    async def done(self) -> None:
        await self.raw(b"data: [DONE]\n\n")
        await self.end()

    async def end(self) -> None:
        """End the body properly, whatever was in it."""
        if self._chunked:
            await self.wire(b"0\r\n\r\n")
        self.complete = self._chunked is True

    async def whole(self, status: int, body: bytes, content_type: str = "application/json", **more: str) -> None:
        """Send a whole answer that is no stream."""
        await self.headers(status, content_type, chunked=False, connection="keep-alive",
                           content_length=str(len(body)), **more)  # fmt: skip
        await self.wire(body)
        self.complete = True

    async def refuse(self, status: int, code: str | None = None, **headers: str) -> None:
        """Refuse as OpenAI does, before any text."""
        await self.whole(status, json.dumps({"error": refusal(code)}).encode(), **headers)

    def close(self) -> None:
        self._connection.close()

    def reset(self) -> None:
        self._connection.reset()

    async def closed(self, limit: float | None = None) -> None:
        """Wait until the peer has closed the connection, for so many seconds at most."""
        async with asyncio.timeout(limit):
            await self._connection.left()


Script = Callable[[Call], Awaitable[None]]
Step = str | bytes | dict[str, Any] | list[Any] | Callable[[Call], Awaitable[object] | None]


def script(*steps: Step) -> Script:
    """A text is said, bytes are sent as they are, JSON is an event, and a function gets the call."""

    async def play(call: Call) -> None:
        for step in steps:
            match step:
                case str():
                    await call.text(step)
                case bytes():
                    await call.raw(step)
                case dict() | list():
                    await call.event(step)
                case _ if waiting := step(call):
                    await waiting

    return play


async def echo(call: Call) -> None:
    """The script that repeats the question."""
    await call.text(f"You said: {call.question}")
    await call.finish()


def dialogue(*contents: str) -> list[dict[str, str]]:
    """Messages in turn of the user and the assistant."""
    return [{"role": ("user", "assistant")[at % 2], "content": content} for at, content in enumerate(contents)]
