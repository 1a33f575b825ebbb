"""Clients of Chainlit and NiceGUI: Socket.IO by hand."""

import asyncio
import json
import re
import time
import uuid
from typing import Any, Self

from bench.peers.decode import NiceGUIPage, event_name, nicegui_page
from bench.peers.page import Page
from bench.websocket import LIMIT

# At the end of what NiceGUI sends.
NUMBER = re.compile(rb'"_id":(\d+)')


class SocketIO(Page):
    """Socket.IO over a WebSocket. A subclass says how to open, to ask, and what ends a reply."""

    auth: dict[str, Any] | None = None

    def __init__(self, port: int, latencies: list[int] | None = None) -> None:
        super().__init__(port, latencies)
        self._ready = False

    async def connect(self) -> Self:
        await super().connect()
        await self.until(lambda: self._ready, LIMIT)
        return self

    def received(self, name: str, payload: bytes) -> None:
        """An event has come; the tokens in it have been counted."""

    def _take(self, first: int, payload: bytes, now: int) -> None:
        if first & 0x40:
            payload = self._inflate.decompress(payload + b"\0\0\xff\xff")
        if first & 0xF == 9:
            self._write(0x8A, payload)
        elif payload == b"2":
            # A ping of Engine.IO.
            self._write(0x81, b"3")
        elif payload.startswith(b"0"):
            auth = json.dumps(self.auth) if self.auth else ""
            self._write(0x81, f"40{auth}".encode())
        elif payload.startswith(b"40"):
            self.opened()
        elif payload.startswith(b"44"):
            self._failure = payload
            self.changed.set()
        elif name := event_name(payload):
            self._count(payload, now)
            self.received(name, payload)

    def opened(self) -> None:
        self._ready = True
        self.changed.set()

    def emit(self, name: str, *values: Any) -> None:
        self._write(0x81, b"42" + json.dumps([name, *values]).encode())


class Chainlit(SocketIO):
    """A token is an event; `task_end` ends a reply. `session` is what a page keeps while its connection is lost."""

    can_stop = True
    path = "/ws/socket.io/?EIO=4&transport=websocket"

    def __init__(self, port: int, latencies: list[int] | None = None, session: str = "") -> None:
        super().__init__(port, latencies)
        self.session = session or str(uuid.uuid4())
        self.auth = {"sessionId": self.session, "clientType": "webapp", "userEnv": "{}", "chatProfile": ""}

    def reconnected(self, port: int) -> Page:
        return Chainlit(port, session=self.session)

    def opened(self) -> None:
        self.emit("connection_successful")

    def received(self, name: str, payload: bytes) -> None:
        # The last of three events that answer connection_successful.
        if name == "clear_call_fn":
            super().opened()
        elif name == "task_end":
            self._end()

    def say(self, wish: str) -> int:
        self.began = 0
        self.ended = False
        now = time.monotonic_ns()
        message = {"id": str(uuid.uuid4()), "type": "user_message", "name": "user", "output": wish}
        message["createdAt"] = "2026-01-01T00:00:00.000Z"
        self.emit("client_message", {"message": message, "fileReferences": None})
        return now

    def stop(self) -> None:
        self.emit("stop")


class NiceGUI(SocketIO):
    """An update carries the whole HTML of the reply so far. Nothing ends a reply: its number of tokens is known."""

    def __init__(self, port: int, latencies: list[int] | None = None, page: NiceGUIPage | None = None) -> None:
        super().__init__(port, latencies)
        self._page = page
        self._tokens_at_end = 0
        # The number of the message that is due next: a reconnect asks for it.
        self._next = 0

    def reconnected(self, port: int) -> Page:
        again = NiceGUI(port, page=self._page)
        again._next = self._next
        return again

    async def connect(self) -> Self:
        if not self._page:
            self._page = await self._load()
        query = f"client_id={self._page.client}&next_message_id={self._next}&implicit_handshake=true"
        self.path = f"/_nicegui_ws/socket.io/?EIO=4&transport=websocket&{query}&document_id=page&tab_id=tab"
        await super().connect()
        return self

    async def _load(self) -> NiceGUIPage:
        """The page, as a browser gets it: each is a client of its own."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n\r\n" % self.port)
        page = await reader.read()
        writer.close()
        return nicegui_page(page.decode())

    def received(self, name: str, payload: bytes) -> None:
        if number := NUMBER.search(payload):
            self._next = int(number[1]) + 1
        if self.tokens >= self._tokens_at_end:
            self._end()

    def say(self, wish: str) -> int:
        self.began = 0
        self.ended = False
        self._tokens_at_end = self.tokens + int(wish.split()[1])
        assert self._page
        now = time.monotonic_ns()
        # The field has a new value, then the Enter key was pressed in it.
        for listener, value in ((self._page.value, wish), (self._page.enter, {"key": "Enter"})):
            event = {"id": listener.element, "listener_id": listener.listener, "client_id": self._page.client}
            self.emit("event", {**event, "args": [json.dumps(value)]})
        return now
