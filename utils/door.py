"""Who gets in, and for how long: the listening socket and uvicorn's protocols, with deadlines."""

import asyncio
import errno
import socket
from contextlib import suppress
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from utils.settings import Settings
from utils.turns import FairProtocol

# For a whole request. A page on a slow phone needs one or two, and nobody uploads anything.
REQUEST_SECONDS = 10.0

# The part of the descriptors that connections may use. What their people ask for needs some too:
# one for each reply, and some for files.
SHARE = 0.75

# Connections. A thousand that come together would hold up everybody for half a second.
AT_A_TIME = 16

# Any of them means: wait a second before accepting again.
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

# A client that acknowledges nothing for so long is gone, however full its buffers are.
UNACKNOWLEDGED_MS = 20_000

# Bytes. One read of 256 KiB, full of tiny frames, would hold up everybody for 0.13 s.
RECEIVE_BUFFER = 16 * 1024

# Bytes that the kernel holds for one client.
SEND_BUFFER = 64 * 1024


def listen(settings: Settings, *, is_shared: bool = False) -> "Listener":
    """The listening socket. Accepted ones inherit its options; uvicorn cannot set them.

    If it `is_shared`, others may listen on the same port, and the kernel gives each its part.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # Given IPPROTO_TCP, asyncio sets TCP_NODELAY. Without it a token waits 40 ms for the one
    # before.
    listening = Listener(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    # Linux only.
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
    if is_shared:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listening.bind((settings.host, settings.port))
    return listening


class Listener(socket.socket):
    """A listening socket that lets a few in at a time, and keeps a reserve of descriptors.

    Each time that somebody is waiting, asyncio calls accept() as often as the backlog is long,
    2,048 times, until nobody is. It answers EMFILE with a traceback and a pause of a second, but
    calls on before it pauses: 2,048 tracebacks.
    """

    _calls_left = AT_A_TIME

    def accept(self) -> tuple[socket.socket, Any]:
        if not self._calls_left:
            self._calls_left = AT_A_TIME
            raise BlockingIOError
        self._calls_left -= 1
        try:
            connection, address = super().accept()
            # The lowest free number is given out, so a high one means that few are left.
            if connection.fileno() >= SHARE * descriptor_limit():
                connection.close()
                raise OSError(errno.EMFILE, "no descriptor to spare")
        except OSError as error:
            if error.errno in EXHAUSTED:
                self._calls_left = 0
            raise
        return connection, address


def descriptor_limit() -> float:
    """How many descriptors this process may have open."""
    # Windows has no resource module.
    with suppress(ImportError):
        import resource

        soft_limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft_limit != resource.RLIM_INFINITY:
            return soft_limit
    return float("inf")


class HttpProtocol(H11Protocol):
    """uvicorn's HTTP protocol, with a deadline for each request.

    Its own keep-alive timer starts after a response, and any byte cancels it.
    """

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._update_deadline()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._update_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_deadline()
        super().connection_lost(exc)

    def _update_deadline(self) -> None:
        """Start the clock when a request begins, and stop it when the request is whole.

        Bytes that come in between do not restart it.
        """
        upgraded = self.transport.get_protocol() is not self
        if upgraded or self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._cancel_deadline()
        elif not self._deadline:
            # Not close(), which waits for a client that does not read.
            self._deadline = self.loop.call_later(REQUEST_SECONDS, self.transport.abort)

    def _cancel_deadline(self) -> None:
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None


class WebSocketProtocol(FairProtocol):
    """uvicorn's WebSocket protocol, with three more of its faults mended."""

    def parse(self, data: bytes) -> None:
        super().parse(data)
        if self.conn.handshake_exc and not self.handshake_initiated:
            # uvicorn would neither answer nor close.
            self.transport.close()

    def handle_ping(self) -> None:
        # Pongs for a client that reads nothing would fill the memory.
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    def shutdown(self) -> None:
        # A client that is leaving takes no close frame: uvicorn would raise InvalidState, and the
        # app would not be shut down.
        if not self.transport.is_closing():
            super().shutdown()
