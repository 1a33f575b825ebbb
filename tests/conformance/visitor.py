"""A client of the server under test. It remembers as much of the current reply as the steps ask for."""

import json
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.conformance.frames import Frame, Mismatch, read_frame, show

# Seconds for the closing handshake. A server that takes longer is left.
CLOSE_SECONDS = 2.0


class Visitor:
    """One connection. What it must get whatever the case is (no text outside of a reply ...) is checked here."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        # Whether its first valid frame was `resume`.
        self.resuming = False
        # The current reply, or the last one.
        self.turn = ""
        self.text = ""
        self.status = ""
        # Whether a second `conversation` may come.
        self._loading = False

    @classmethod
    async def connect(cls, url: str) -> Self:
        """Connect. Raises OSError, or what websockets raises, if there is no WebSocket server."""
        return cls(
            await connect(url, compression=None, proxy=None, max_size=None, max_queue=None, close_timeout=CLOSE_SECONDS)
        )

    async def send(self, frame: Any) -> None:
        """Send a frame as JSON, a string or bytes as they are."""
        if isinstance(frame, dict):
            self.resuming |= frame.get("type") == "resume"
            text = json.dumps(frame, ensure_ascii=False)
            # Half a character can only be sent escaped.
            frame = text if text.isprintable() else json.dumps(frame)
        await self.socket.send(frame)

    async def receive(self) -> Frame:
        """The next frame that matters: not a ping, not an empty chunk, not a thought. Raises Mismatch."""
        while True:
            try:
                text = await self.socket.recv()
            except ConnectionClosed:
                raise Mismatch(f"the server closed the connection with {self.socket.close_code}") from None
            frame = read_frame(text, resuming=self.resuming)
            if self._follow(frame):
                return frame

    def _follow(self, frame: Frame) -> bool:
        """Follow what happens to the current reply. Whether the frame matters."""
        match frame["type"]:
            case "ping":
                return False
            case "conversation":
                is_known = self._loading
                self._loading = frame["loading"]
                return not is_known
            case "history":
                self._begin_at(frame["turns"])
            case "start":
                if self.status == "open":
                    raise Mismatch(f"a reply started before the end of the last one: {show(frame)}")
                self.turn = frame.get("turn", "")
                self.text = ""
                self.status = "open"
            case "chunk":
                self._expect_reply(frame)
                if self.resuming and frame.get("kind"):
                    return bool(frame["kind"] != "reasoning")
                self.text += frame["content"]
                return bool(frame["content"])
            case "end" if not self.resuming or frame["turn"] == self.turn:
                self.status = frame["status"]
        return True

    def _begin_at(self, turns: list[Frame]) -> None:
        turn = next((turn for turn in turns if turn["status"] == "open"), turns[-1] if turns else None)
        if turn:
            self.turn = turn["id"]
            self.text = turn["answer"]
            self.status = turn["status"]
        else:
            self.status = ""

    def _expect_reply(self, frame: Frame) -> None:
        if self.status != "open":
            raise Mismatch(f"text outside of a reply: {show(frame)}")
        if self.resuming and frame["turn"] != self.turn:
            raise Mismatch(f"text of another turn than {self.turn}: {show(frame)}")
