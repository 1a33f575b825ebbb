"""What the bytes of a streamed chat completion say. Pure: no I/O, no clock.

Servers differ in what they put into an event; what is not text, an error or an ending is passed over.
"""

import json
import re
from typing import Any

LONGEST_EVENT = 4 * 2**20  # bytes; a server that sends more in one event is broken


class Reasoning(str):
    """A piece of what the model thinks before it answers: not part of the answer."""


class ReplyCut(Exception):
    """The reply is over, but not whole: `status` says how, `code` (of frames.ERRORS) why if something failed."""

    def __init__(self, status: str, code: str = "", retry: bool | None = None) -> None:
        super().__init__(status, code)
        self.status, self.code, self.retry = status, code, retry


class ReplyReader:
    """Takes the packets of a body of server-sent events, or of one plain JSON answer, and gives the text in them."""

    def __init__(self, content_type: str = "") -> None:
        self.finish = ""  # the finish_reason, once it is known
        self.done = False  # whether [DONE] was seen
        self.failure: Exception | None = None  # why there is no more
        self._plain = content_type.startswith("application/json")  # from a server that does not stream
        self._rest = bytearray()  # a line without its end
        self._event: list[bytes] = []  # the data lines of an event without its end
        self._half = ""  # half a character, whose other half may come with the next packet

    def feed(self, packet: bytes) -> list[str]:
        """The text in a packet, joined: a burst costs as little as one token."""
        reasoning, text, self._half = "", self._half, ""
        try:
            for data in self._events(packet):
                if data.strip() == b"[DONE]":
                    self.done, self.finish = True, self.finish or "stop"
                elif not self.done:
                    delta = self._delta(json.loads(data))
                    reasoning += _string(delta.get("reasoning_content") or delta.get("reasoning"))
                    text += _string(delta.get("content") or delta.get("refusal"))
        except (ReplyCut, ValueError, RecursionError) as failure:
            self.failure = failure  # What came before it in this packet still counts.
        if "\ud800" <= text[-1:] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return [piece for piece in (Reasoning(_encodable(reasoning)), _encodable(text)) if piece]

    def close(self) -> list[str]:
        """The text that only the end of the body shows: that of a plain JSON answer."""
        if not self._plain:
            return []
        self._plain = False
        body, self._rest = bytes(self._rest).replace(b"\n", b" "), bytearray()
        return self.feed(b"data:" + body + b"\n\n")

    def _events(self, packet: bytes) -> list[bytes]:
        self._rest += packet
        if len(self._rest) > LONGEST_EVENT:
            raise ValueError("an event without an end")
        if self._plain or b"\n" not in packet:
            return []
        events = []
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            line = line.removesuffix(b"\r")
            if line.startswith(b"data:"):
                self._event.append(bytes(line[5:]))
            elif not line and self._event:
                events.append(b"\n".join(self._event))
                self._event = []
        return events

    def _delta(self, event: Any) -> dict[str, Any]:
        if not isinstance(event, dict):
            return {}
        if error := event.get("error"):
            raise ReplyCut("error", error_code(error) or "upstream_error")
        choices = event.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict):
            return {}
        self.finish = _string(choice.get("finish_reason")) or self.finish
        delta = choice.get("delta") or choice.get("message")
        return delta if isinstance(delta, dict) else {}


def error_code(error: object) -> str:
    """What an OpenAI-compatible server's error object means, as a code of frames.ERRORS; "" if it does not say."""
    said = str(error).lower()
    if "insufficient_quota" in said:
        return "upstream_quota"
    if re.search(r"context.(length|size|window)", said):
        return "too_long"
    return "upstream_busy" if "rate_limit" in said else ""


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _encodable(text: str) -> str:
    """With surrogate pairs made whole and lone ones replaced: one in the history would fail every later request."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
