"""A client of Gradio: HTTP and server-sent events by hand."""

import asyncio
import json
import re
import time
import uuid
from collections.abc import Callable
from typing import Any, Self

from bench.peers.decode import events
from bench.peers.page import Page

QUEUED = re.compile(rb'"event_id":\s*"(\w+)"')


class Connection(asyncio.Protocol):
    """One HTTP connection, for one request after the other; `take` gets what comes, and when."""

    def __init__(self, owner: "Gradio", take: Callable[[bytes, int], None]) -> None:
        self._owner = owner
        self._take = take

    async def open(self) -> "Connection":
        await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", self._owner.port)
        return self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self._owner.connection_lost(error)

    def data_received(self, data: bytes) -> None:
        self._take(data, time.monotonic_ns())

    def get(self, path: str) -> None:
        self._transport.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._owner.port}\r\n\r\n".encode())

    def post(self, path: str, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._owner.port}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)

    def close(self) -> None:
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()


class Gradio(Page):
    """Three connections: one asks, one gets the reply as server-sent events, one says that the page is there.

    An event carries a difference.
    """

    can_stop = True

    def __init__(self, port: int, latencies: list[int] | None = None, session: str = "") -> None:
        super().__init__(port, latencies)
        self.known = bool(session)
        self.session = session or uuid.uuid4().hex[:11]
        self.event = ""

    def reconnected(self, port: int) -> Page:
        return Gradio(port, session=self.session)

    async def connect(self) -> Self:
        config = await self._config()
        self.call = next(each["id"] for each in config["dependencies"] if each["api_name"] == "chat")
        self._asking = await Connection(self, self._answered).open()
        self._reading = await Connection(self, self._streamed).open()
        self._staying = await Connection(self, lambda data, now: None).open()
        self._staying.get(f"/gradio_api/heartbeat/{self.session}")
        if self.known:
            self._read()
        return self

    async def _config(self) -> Any:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"GET /config HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n\r\n" % self.port)
        body = (await reader.read()).partition(b"\r\n\r\n")[2]
        writer.close()
        return json.loads(body)

    def say(self, wish: str) -> int:
        self.began = 0
        self.ended = False
        self._rest = b""
        now = time.monotonic_ns()
        self._asking.post(
            "/gradio_api/queue/join", {"data": [wish, None], "fn_index": self.call, "session_hash": self.session}
        )
        return now

    def stop(self) -> None:
        self._asking.post(
            "/gradio_api/cancel", {"session_hash": self.session, "fn_index": self.call, "event_id": self.event}
        )

    def _answered(self, data: bytes, now: int) -> None:
        """The question is in the queue: now its events can be read."""
        if found := QUEUED.search(data):
            self.event = found[1].decode()
            self._read()
        elif data.startswith(b"HTTP/1.1 ") and b" 200 " not in data[:20]:
            self._fail(data)

    def _read(self) -> None:
        self._reading.get(f"/gradio_api/queue/data?session_hash={self.session}")

    def _streamed(self, data: bytes, now: int) -> None:
        complete, self._rest = events(self._rest + data)
        for event in complete:
            self._count(event, now)
            if b'"success":false' in event:
                self._fail(event)
            # After the event that has completed the reply.
            if b'"close_stream"' in event:
                self._end()

    def _fail(self, what: bytes) -> None:
        self._failure = what
        self.changed.set()

    def vanish(self) -> None:
        for connection in (self._asking, self._reading, self._staying):
            connection.abort()

    async def close(self) -> None:
        for connection in (self._asking, self._reading, self._staying):
            connection.close()
