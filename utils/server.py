"""uvicorn, hardened: what `python main.py` runs."""

import asyncio
import gc
import logging
import signal
import socket
import sys
from contextlib import suppress
from types import FrameType

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import State

from utils.door import HttpProtocol, WebSocketProtocol, listen
from utils.settings import Settings
from utils.worker import supervisor

# Said together with uvicorn's own lines about the shutdown.
logger = logging.getLogger("uvicorn.error")
EVERY_INTERFACE = ("0.0.0.0", "::")  # noqa: S104


# WebSockets closed at a time at shutdown, and the seconds until the next ones. Thousands of pages
# that come back in the same instant would hold up whichever server they come to.
CLOSED_AT_A_TIME = 50
PAUSE = 0.1

# Seconds in which all of them are closed: if there are very many, more are closed at a time.
CLOSING_SECONDS = 5


# Ticks of 0.1 s between searches for garbage. What was taken out of the search is freed as soon as
# nothing refers to it; only what refers to itself waits, and that is a few KB for each socket.
COLLECT_TICKS = 600
COLLECT_ALL_TICKS = 10 * COLLECT_TICKS
NEVER = 1_000_000


def serve(app: Starlette, settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. From then on `app.state.is_ready` is False."""
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
    with listen(settings, is_shared=supervisor() is not None) as listening:
        try:
            Server(config, app.state, settings).run(sockets=[listening])
        except SystemExit:
            # uvicorn exits with 3 when the app cannot start. It has said why.
            sys.exit(1)
        except KeyboardInterrupt:
            # uvicorn raises the signal again after the shutdown.
            sys.exit(128 + signal.SIGINT)


def raise_descriptor_limit() -> None:
    """A chat that streams takes two descriptors, and 1,024 is a usual limit."""
    # Windows has no resource module.
    with suppress(ImportError, ValueError, OSError):
        import resource

        _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))


class Server(uvicorn.Server):
    """uvicorn's server, without pauses, and with a shutdown that starts no storm.

    It prints where the page is. `state` is the app's.
    """

    def __init__(self, config: uvicorn.Config, state: State, settings: Settings) -> None:
        super().__init__(config)
        self._state = state
        self._settings = settings

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # The oldest generation is left to on_tick().
        young, middle, _ = gc.get_threshold()
        gc.set_threshold(young, middle, NEVER)
        collect_garbage()
        parent = supervisor()
        if parent:
            parent.report_ready(self._state.worker, on_loss=lambda: self.handle_exit(signal.SIGTERM, None))
            return
        # Last, so that the address stands below everything else that start-up writes.
        port = self.servers[0].sockets[0].getsockname()[1]
        print(f"Pocket Chat: {address(self._settings, port)}", flush=True)

    async def on_tick(self, counter: int) -> bool:
        """uvicorn calls this every 0.1 s."""
        if counter and counter % COLLECT_TICKS == 0:
            collect_garbage(everything=counter % COLLECT_ALL_TICKS == 0)
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle the signal. uvicorn looks at it up to 0.1 s later; /readyz reports it at once."""
        self._state.is_ready = False
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let nobody in any more, close WebSockets batch by batch, then shut down as uvicorn does.

        What it closes last, the last batch and all other connections, is all there is if there are
        few WebSockets.
        """
        for server in self.servers:
            server.close()
        for listening in sockets or []:
            listening.close()
        await self._close_all_but_one_batch()
        await super().shutdown(sockets)

    async def _close_all_but_one_batch(self) -> None:
        connections = self.server_state.connections
        waiting = [each for each in connections if isinstance(each, WebSocketProtocol)]
        size = max(CLOSED_AT_A_TIME, int(len(waiting) * PAUSE / CLOSING_SECONDS) + 1)
        if len(waiting) > size:
            seconds = len(waiting) / size * PAUSE
            logger.info("Closing %d WebSockets in %.1f seconds", len(waiting), seconds)
        # A second Ctrl+C sets force_exit.
        while len(waiting) > size and not self.force_exit:
            for socket_ in waiting[:size]:
                # It may have left by itself meanwhile.
                if socket_ in connections:
                    socket_.shutdown()
            del waiting[:size]
            await asyncio.sleep(PAUSE)


def collect_garbage(*, everything: bool = False) -> None:
    """Search what is new for garbage, then take the rest out of the search, until `everything`.

    A search stops everybody. By itself Python searches all objects whenever there are a quarter
    more of them: that took 150 to 250 ms, six times while 2,000 pages came.
    """
    if everything:
        gc.unfreeze()
    gc.collect()
    gc.freeze()


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
