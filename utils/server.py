"""uvicorn, hardened: what `python main.py` runs."""

import gc
import socket
import sys
from contextlib import suppress

import uvicorn
from starlette.types import ASGIApp

from utils.door import HttpProtocol, WebSocketProtocol, listen
from utils.settings import Settings

EVERY_INTERFACE = ("0.0.0.0", "::")  # noqa: S104


def serve(app: ASGIApp, settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    raise_descriptor_limit()
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        # uvloop would accept connections without asking the listening socket.
        loop="asyncio",
        http=HttpProtocol,
        ws=WebSocketProtocol,
        ws_max_size=64 * 1024,
        # Compression costs 34 KiB a connection and saves 33 bytes a token.
        ws_per_message_deflate=False,
        ws_ping_interval=20,
        ws_ping_timeout=20,
        # An empty text is nobody. By default uvicorn believes whatever runs on this machine.
        forwarded_allow_ips=settings.forwarded_allow_ips,
        # Seconds for sockets to close. Running replies have GRACE_SECONDS after that.
        timeout_graceful_shutdown=3,
        server_header=False,
    )
    with listen(settings) as listening:
        try:
            Server(config, settings).run(sockets=[listening])
        except SystemExit:
            # uvicorn exits with 3 when the app cannot start. It has said why.
            sys.exit(1)


def raise_descriptor_limit() -> None:
    """A chat that streams takes two descriptors, and 1,024 is a usual limit."""
    # Windows has no resource module.
    with suppress(ImportError, ValueError, OSError):
        import resource

        _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))


class Server(uvicorn.Server):
    """uvicorn's server, without pauses. It prints where the page is."""

    def __init__(self, config: uvicorn.Config, settings: Settings) -> None:
        super().__init__(config)
        self._settings = settings

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # What is there by now stays. Searching it for garbage would stop everybody for 70 ms.
        gc.collect()
        gc.freeze()
        # Last, so that the address stands below everything else that start-up writes.
        port = self.servers[0].sockets[0].getsockname()[1]
        print(f"Pocket Chat: {address(self._settings, port)}", flush=True)


def address(settings: Settings, port: int) -> str:
    """What to open in a browser: an address that the server answers to."""
    host = settings.host
    more = ""
    if host in EVERY_INTERFACE:
        host = settings.allowed_hosts.split(",")[0].strip().replace("*", "127.0.0.1")
        more = " (and the other names in ALLOWED_HOSTS)"
    if ":" in host:
        host = f"[{host}]"
    return f"http://{host}:{port}{more}"
