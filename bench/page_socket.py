"""The socket of a simulated page: a client that resumes."""

import json
import time
from typing import Any

from bench.websocket import STAMP, Socket

# Characters of a token of bench.fake_openai.
CHARS = {"burst": 4, "paced": 18}


class Page(Socket):
    """A page that resumes: it knows its conversation, the last finished turn, and how it was closed."""

    def __init__(self, port: int, conversation: str | None = None, after: dict[str, Any] | None = None) -> None:
        super().__init__(port)
        self.conversation = conversation
        self.after = after
        self.close_code = 0
        self.received = 0
        # Of the last `history`: whether it built on `after`, and whether a reply was being written.
        self.is_continued = False
        self.is_writing = False
        self._asked: dict[str, Any] = {}

    async def open(self) -> None:
        """Connect, and resume."""
        await self.connect()
        frame: dict[str, Any] = {"type": "resume", "conversation": self.conversation}
        if self.after:
            frame["after"] = self.after
        self.send(frame)
        await self.end()

    async def ask(self, mode: str, tokens: int) -> None:
        """Ask for a reply, and read it to its end."""
        turn = f"t{time.monotonic_ns()}"
        self._asked = {"turn": turn, "status": "done", "chars": tokens * CHARS[mode]}
        self.send({"type": "message", "id": turn, "content": f"{mode} {tokens}"})
        await self.end()
        self.after = self._asked

    async def left(self) -> None:
        """Wait until the socket is closed."""
        while not self.closed:
            self.changed.clear()
            await self.changed.wait()

    def close_lid(self) -> None:
        """Read nothing more, as a machine that sleeps: the server is not told."""
        self._transport.pause_reading()

    def open_lid(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def abort(self) -> None:
        self._transport.abort()

    def _take(self, first: int, payload: bytes, now: int) -> None:
        self.received += len(payload)
        if first & 0xF == 8:
            self.close_code = int.from_bytes(payload[:2])
            self._transport.close()
        elif b'"conversation"' in payload[:24]:
            self.conversation = json.loads(payload)["id"]
        elif b'"history"' in payload[:24]:
            # There may be tokens in it, which are not new.
            frame = json.loads(payload)
            self.is_continued = "after" in frame
            self.is_writing = bool(frame["turns"]) and frame["turns"][-1]["status"] == "open"
            self.ended = True
            self.changed.set()
        else:
            super()._take(first, payload, now)


class WatchedPage(Page):
    """Notes when each token came (s), and how late (ms)."""

    tokens_seen: list[tuple[float, float]]

    def _take(self, first: int, payload: bytes, now: int) -> None:
        if b'"chunk"' in payload[:24]:
            for stamp in STAMP.findall(payload):
                self.tokens_seen.append((now / 1e9, (now - int(stamp)) / 1e6))
        super()._take(first, payload, now)
