"""What the bytes of a streamed chat completion say. Pure: no I/O, no clock.

Servers differ in what they put into an event. What is neither text, an error nor an ending is
passed over.
"""

import json
from typing import Any

from utils.openai_errors import ErrorEvent, Unreadable
from utils.pieces import Reasoning, ReplyCut

# By the name of OpenTelemetry for a type of tokens: that of OpenAI for their number.
USAGE = {"input": "prompt_tokens", "output": "completion_tokens"}

# Tokens. A larger number is a mistake.
MOST_TOKENS = 2**31

# Bytes. A server that sends more in one event is broken.
LONGEST_EVENT = 2**20

# Bytes without any text in them: comments, empty events, tool calls.
LONGEST_SILENCE = 4 * 2**20

# Brackets and braces in an event. Each may be a list, which takes longer than any text to build.
MOST_BRACKETS = 100_000


class ServerSentEvents:
    """Splits a body, packet by packet, into the data of its server-sent events."""

    def __init__(self) -> None:
        # A line without its end, and the data of an event without its end. As bytes: lists of
        # short lines weigh ten times as much.
        self._line = bytearray()
        self._data = bytearray()

    def feed(self, packet: bytes) -> list[bytes]:
        """The data of the events that this packet completes.

        Raises Unreadable if an event is longer than LONGEST_EVENT.
        """
        self._line += packet
        events = []
        if b"\n" in packet:
            *lines, rest = bytes(self._line).split(b"\n")
            self._line = bytearray(rest)
            for line in lines:
                if line.startswith(b"data:"):
                    self._data += line[5:].removesuffix(b"\r") + b"\n"
                elif self._data and line in (b"", b"\r"):
                    events.append(bytes(self._data[:-1]))
                    self._data.clear()
        if len(self._line) + len(self._data) > LONGEST_EVENT:
            raise Unreadable("an event without an end")
        return events


class Completion:
    """Reads a chat completion: the text in its events, how it ended, why it failed."""

    def __init__(self, content_type: str = "") -> None:
        # The finish_reason, once it is known.
        self.finish = ""
        # Whether [DONE] was seen.
        self.done = False
        # Why there is no more text.
        self.failure: Exception | None = None
        # What was used by type of token, if the server says: once at the end, or with every event.
        self.tokens: dict[str, int] = {}
        self._events = ServerSentEvents()
        # The body of a server that does not stream: one JSON object.
        self._plain: bytearray | None = None
        if content_type.startswith("application/json"):
            self._plain = bytearray()
        # Bytes since the last text.
        self._silence = 0
        # Half a character, whose other half may come with the next packet.
        self._half = ""

    def feed(self, packet: bytes) -> list[str]:
        """The text in a packet, joined: a burst costs as little as one token.

        At most one piece of Reasoning and one of the answer. After a failure, the text before it.
        """
        self._silence += len(packet)
        try:
            if self._silence > LONGEST_SILENCE:
                raise Unreadable("a stream without text")
            if self._plain is not None:
                self._plain += packet
                if len(self._plain) > LONGEST_EVENT:
                    raise Unreadable("a body without an end")
                return []
            events = self._events.feed(packet)
        except Unreadable as failure:
            self.failure = failure
            return []
        pieces = self._pieces(events)
        if pieces:
            self._silence = 0
        return pieces

    def close(self) -> list[str]:
        """The text that only the end of the body shows: that of a server that does not stream."""
        if self._plain is None:
            return []
        body = bytes(self._plain)
        self._plain = None
        return self._pieces([body])

    def _pieces(self, events: list[bytes]) -> list[str]:
        reasoning = ""
        text = self._half
        self._half = ""
        try:
            for data in events:
                if data.strip() == b"[DONE]":
                    self.done = True
                    self.finish = self.finish or "stop"
                elif not self.done:
                    is_long = len(data) > MOST_BRACKETS
                    if is_long and data.count(b"[") + data.count(b"{") > MOST_BRACKETS:
                        raise Unreadable("an event of too many parts")
                    delta = self._delta(json.loads(data))
                    reasoning += _string(delta.get("reasoning_content") or delta.get("reasoning"))
                    text += _string(delta.get("content") or delta.get("refusal"))
        except (ReplyCut, ValueError, RecursionError) as failure:
            self.failure = failure
        if "\ud800" <= text[-1:] <= "\udbff":
            self._half = text[-1]
            text = text[:-1]
        pieces = [Reasoning(_encodable(reasoning)), _encodable(text)]
        return [piece for piece in pieces if piece]

    def _delta(self, event: Any) -> dict[str, Any]:
        if not isinstance(event, dict):
            return {}
        error = event.get("error")
        if error:
            raise ErrorEvent(error)
        usage = event.get("usage")
        if isinstance(usage, dict):
            self._read_usage(usage)
        choices = event.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict):
            return {}
        self.finish = _string(choice.get("finish_reason")) or self.finish
        delta = choice.get("delta") or choice.get("message")
        return delta if isinstance(delta, dict) else {}

    def _read_usage(self, usage: dict[str, Any]) -> None:
        for token_type, name in USAGE.items():
            count = usage.get(name)
            if type(count) is int and 0 <= count <= MOST_TOKENS:
                self.tokens[token_type] = count


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _encodable(text: str) -> str:
    """Join surrogate pairs, replace lone ones: in the history they fail every later request."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
