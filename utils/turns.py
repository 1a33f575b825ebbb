"""Fair turns: what clients send is parsed bit by bit, so that nobody's flood of tiny frames delays the others.

One read may bring 5,000 pings, which take 0.13 s to parse and to answer.
"""

import asyncio
import logging
import time
from collections import deque
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode

logger = logging.getLogger(__name__)

# For parsing in each turn of the event loop, whoever sent it.
TURN_SECONDS = 0.005

# Until the next turn. If the event loop were never idle, the thread of the log would wait 5 ms for
# the interpreter, again and again.
REST_SECONDS = 0.001

# Bytes of one client that are parsed before it is the next one's turn.
SLICE = 512

# Frames of one client that wait for the app. With more than this it closes the connection.
MOST_UNREAD = 200

# Fragments of one message. They may be empty, so its size does not limit them.
MOST_FRAGMENTS = 1000

# Bytes after the server's close: what was on its way, and the answer to it.
MOST_LATE = 16 * 1024


class Turns:
    """Those who have sent something that is not parsed yet."""

    def __init__(self) -> None:
        self._waiting: deque[FairProtocol] = deque()

    def add(self, client: "FairProtocol") -> None:
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._work)
        if client not in self._waiting:
            self._waiting.append(client)

    def _work(self) -> None:
        until = time.monotonic() + TURN_SECONDS
        while True:
            client = self._waiting.popleft()
            try:
                if client.parse_slice():
                    self._waiting.append(client)
            except Exception as error:
                logger.error("a client's bytes could not be parsed: %s", type(error).__name__)
                client.transport.abort()
            if not self._waiting:
                return
            if time.monotonic() >= until:
                break
        asyncio.get_running_loop().call_later(REST_SECONDS, self._work)


class FairProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol, which would parse all that has come at once.

    It would also go on parsing a flood for ten seconds after the app has closed the connection.
    """

    _turns = Turns()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._unparsed = bytearray()
        self._late = 0
        self._is_flooding = False

    def data_received(self, data: bytes) -> None:
        self._unparsed += data
        if len(self._unparsed) > SLICE:
            self.transport.pause_reading()
        self._turns.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._unparsed.clear()
        super().connection_lost(exc)

    def parse_slice(self) -> bool:
        """Parse a bit of what has come; whether there is more."""
        data = bytes(self._unparsed[:SLICE])
        del self._unparsed[:SLICE]
        if data and not self._floods():
            self.parse(data)
            if self.close_sent:
                self._late += len(data)
            if len(self.frames) > MOST_FRAGMENTS and not self.close_sent:
                self.conn.fail(CloseCode.MESSAGE_TOO_BIG, "too many fragments")
                self.handle_parser_exception()
        if self._floods():
            # Never again: this may be the middle of a frame.
            self._unparsed.clear()
            if self.close_sent:
                self.transport.close()
        if self._unparsed:
            return True
        if not self.read_paused:
            self.transport.resume_reading()
        return False

    def parse(self, data: bytes) -> None:
        super().data_received(data)

    def _floods(self) -> bool:
        """Whether the app has closed the connection for that, or is about to."""
        self._is_flooding |= self.queue.qsize() > MOST_UNREAD or self._late > MOST_LATE
        return self._is_flooding
