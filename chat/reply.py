"""A reply: the object a node gets in place of a WebSocket."""

import asyncio
from typing import Any

from chat.conversation import Event, Turn
from chat.frames import STATUSES, SURROGATES, Frame, error_frame
from chat.log import RETRY_SECONDS, report_outage
from chat.room import Room

# How long sending waits for an unreachable log before it fails.
AWAY_SECONDS = 60.0


class Reply:
    """Stores the text that the flow has sent, and appends whatever part the log is missing.

    Sending waits for the append. Text that the model generates meanwhile forms the next chunk.
    """

    def __init__(self, room: Room, turn: Turn) -> None:
        self._room = room
        self._turn_id = turn.id
        self._chunks: list[Event] = []
        # Several nodes may send concurrently; their chunks are appended one at a time.
        self._appending = asyncio.Lock()
        self._away_since: float | None = None
        # Precedes the next chunk of the answer: a blank line after another `start`.
        self._separator = ""
        self._has_text = False
        self._has_ended = False
        # From the last `end` or `error` that a node sent.
        self._status = "done"
        self._error: Event = {}

    async def send_json(self, frame: Frame) -> None:
        """Send a frame: returns once its text is in the log, or if the turn is no longer open.

        start
        chunk   `content`; `kind`: "reasoning" if it is not part of the answer
        error   `code`, `content`, `retry`: see chat.frames.error_frame
        end     `status`: see docs/protocol.md

        Raises ValueError for any other type or status, and what the log raises if it is unreachable for
        AWAY_SECONDS.
        """
        match frame["type"]:
            case "chunk":
                await self._send_chunk(frame)
            case "start":
                self._separator = "\n\n" if self._has_text else ""
            case "error":
                self._status = "error"
                self._error = {
                    "code": _storable(frame["code"]),
                    "content": _storable(frame["content"]),
                    "retry": bool(frame["retry"]),
                }
            case "end":
                self._status = frame.get("status") or "done"
                if self._status not in STATUSES:
                    raise ValueError(f"expected one of {STATUSES}, got {self._status!r}")
                if self._status == "done":
                    # The flow recovered from the earlier error.
                    self._error = {}
            case unknown:
                raise ValueError(f"expected start, chunk, error or end, got {unknown!r}")

    def fail(self, code: str) -> None:
        """Record that the flow failed with this error."""
        frame = error_frame(code)
        del frame["type"]
        self._status = "error"
        self._error = frame

    def ending(self) -> Event:
        """The `end` event, with the whole text: so the chunks can later be deleted."""
        # A branch of the flow may still be running. What it sends now comes too late.
        self._has_ended = True
        ending: dict[str, Any] = {"status": self._status}
        ending["content"] = self._text_of("")
        ending["reasoning"] = self._text_of("reasoning")
        if self._error:
            ending["error"] = self._error
        return ending

    def _text_of(self, kind: str) -> str:
        return "".join(chunk["content"] for chunk in self._chunks if chunk.get("kind", "") == kind)

    async def _send_chunk(self, frame: Frame) -> None:
        if self._has_ended:
            await asyncio.sleep(0)
            return
        chunk: Event = {"type": "chunk", "turn": self._turn_id, "n": len(self._chunks)}
        text = _storable(frame["content"])
        if frame.get("kind"):
            chunk["content"] = text
            chunk["kind"] = str(frame["kind"])
        else:
            chunk["content"] = self._separator + text
            self._separator = ""
            self._has_text = True
        self._chunks.append(chunk)
        await self._append_chunks(len(self._chunks))

    async def _append_chunks(self, count: int) -> None:
        """Append those of the first `count` chunks that are missing from the log.

        The log may be unreachable for a while, and may then have lost its last events.
        """
        async with self._appending:
            while True:
                turn = self._room.conversation.turn(self._turn_id)
                if turn is None or turn.status != "open":
                    # Yield, so that a flow that awaits only send_json() can be cancelled.
                    await asyncio.sleep(0)
                    return
                present = len(turn.pieces)
                if present >= count:
                    self._away_since = None
                    return
                try:
                    await self._room.append(self._chunks[present])
                    self._away_since = None
                except Exception as error:
                    self._check_patience(error)
                    report_outage(error)
                    await asyncio.sleep(RETRY_SECONDS)

    def _check_patience(self, error: Exception) -> None:
        now = asyncio.get_running_loop().time()
        if self._away_since is None:
            self._away_since = now
        if now - self._away_since >= AWAY_SECONDS:
            raise error


def _storable(text: str) -> str:
    """A lone surrogate could not be stored or sent, and would fail every later request."""
    return SURROGATES.sub("\ufffd", text)
