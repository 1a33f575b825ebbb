"""uvicorn, hardened: what `python main.py` runs."""

import logging
import socket
from contextlib import suppress

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from utils.settings import Settings

UNACKNOWLEDGED_MS = 20_000  # A client that takes nothing for so long is gone, however full its buffers are.
RECEIVE_BUFFER = 16 * 1024  # bytes; one read of 256 KiB, full of tiny frames, would hold up everybody for 0.13 s
SEND_BUFFER = 64 * 1024  # bytes that the kernel holds for one client


def serve(app: ASGIApp, settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    with suppress(ImportError, ValueError, OSError):
        import resource  # A chat that streams takes two descriptors, and 1,024 is a usual limit.

        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        ws=Protocol,
        ws_max_size=64 * 1024,
        ws_per_message_deflate=False,  # It costs 34 KiB a connection and saves 33 bytes a token.
        ws_ping_interval=20,
        ws_ping_timeout=20,
        timeout_graceful_shutdown=3,  # seconds for sockets to close; running replies have GRACE_SECONDS after that
        server_header=False,
    )
    logging.getLogger("uvicorn.error").addFilter(_without_noise)
    uvicorn.Server(config).run(sockets=[listen(settings)])


def listen(settings: Settings) -> socket.socket:
    """The listening socket: accepted ones inherit its options, and uvicorn has no settings for them."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # With IPPROTO_TCP by name asyncio sets TCP_NODELAY; without it a token waits 40 ms for the one before.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
    listening.bind((settings.host, settings.port))
    return listening


class Protocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, without two of its faults."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.handshake_exc and not self.handshake_initiated:
            self.transport.close()  # It would neither answer nor close.

    def handle_ping(self) -> None:
        if self.writable.is_set():  # Pongs for a client that takes nothing would fill the memory.
            super().handle_ping()
        else:
            self.conn.data_to_send()


def _without_noise(record: logging.LogRecord) -> bool:
    """Mistakes of a client need no traceback, and refusing one is no error."""
    if str(record.msg).startswith("Invalid UTF-8 sequence"):
        record.exc_info = None
    return not str(record.msg).startswith("ASGI callable returned without completing handshake")
