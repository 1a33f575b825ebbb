"""Clients that do what a page does: ask, lose the connection, come back, be reloaded, stop."""

import asyncio
import re
import uuid
from typing import Self

from bench.peers.decode import Stamps
from bench.websocket import Socket

CONVERSATION = re.compile(rb'"conversation", "id": "([^"]+)')


class Page(Socket):
    """A client that counts each token once, however often it comes. This one remembers nothing, as its page does."""

    can_stop = False

    def __init__(self, port: int, latencies: list[int] | None = None) -> None:
        super().__init__(port, latencies)
        self._stamps = Stamps()

    def reconnected(self, port: int) -> "Page":
        """The client that the page opens after its connection was lost."""
        return self.reloaded(port)

    def reloaded(self, port: int) -> "Page":
        """The client that the page opens after the tab was reloaded."""
        return type(self)(port)

    def stop(self) -> None:
        """Stop the reply, where the page can."""

    async def shows(self, tokens: int, limit: float) -> int:
        """Wait until so many tokens have come, or for so many seconds; how many have."""
        until = asyncio.get_running_loop().time() + limit
        while self.tokens < tokens and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(0.01)
        return self.tokens

    def vanish(self) -> None:
        """Lose the connection."""
        self._transport.abort()

    def _count(self, payload: bytes, now: int) -> None:
        new = self._stamps.new(payload)
        self.tokens += len(new)
        self.latencies.extend([now - stamp for stamp in new])
        if new and not self.began:
            self.began = now
            self.changed.set()

    def _end(self) -> None:
        self.ended = True
        self.changed.set()


class Resuming(Page):
    """A page of ours: the address of its tab holds the conversation."""

    can_stop = True

    def __init__(self, port: int, latencies: list[int] | None = None, conversation: str | None = None) -> None:
        super().__init__(port, latencies)
        self.conversation = conversation

    def reloaded(self, port: int) -> "Page":
        return Resuming(port, conversation=self.conversation)

    async def connect(self) -> Self:
        await super().connect()
        self.send({"type": "resume", "conversation": self.conversation})
        await self.end()
        return self

    def say(self, wish: str) -> int:
        return self.send({"type": "message", "id": uuid.uuid4().hex, "content": wish})

    def stop(self) -> None:
        self.send({"type": "stop"})

    def _take(self, first: int, payload: bytes, now: int) -> None:
        if first & 0x40:
            payload = self._inflate.decompress(payload + b"\0\0\xff\xff")
        self._count(payload, now)
        if found := CONVERSATION.search(payload):
            self.conversation = found[1].decode()
        if b'"history"' in payload[:24] or b'"end"' in payload[:24]:
            self._end()
