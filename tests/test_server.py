"""The listening socket, where it is, what accepted sockets inherit from it, and how all of them are closed."""

import asyncio
import gc
import signal
import socket
import weakref
from collections.abc import Callable, MutableMapping
from contextlib import ExitStack
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from uvicorn.lifespan.off import LifespanOff

from main import create_app
from tests import support
from utils.door import AT_A_TIME, RECEIVE_BUFFER, SEND_BUFFER, UNACKNOWLEDGED_MS, WebSocketProtocol, listen
from utils.server import CLOSED_AT_A_TIME, PAUSE, Server, address, collect_garbage, serve
from utils.settings import Settings


async def test_accepted_sockets_send_small_frames_at_once_and_give_up_on_dead_peers() -> None:
    accepted: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()

    def on_connection(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set_result(writer)

    with listen(Settings(port=0)) as listening:
        async with await asyncio.start_server(on_connection, sock=listening):
            _, writer = await asyncio.open_connection(*listening.getsockname())
            async with asyncio.timeout(5):
                ours = (await accepted).get_extra_info("socket")
            assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            # Linux doubles what it is asked for.
            assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) in (SEND_BUFFER, 2 * SEND_BUFFER)
            assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) in (RECEIVE_BUFFER, 2 * RECEIVE_BUFFER)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == UNACKNOWLEDGED_MS
            for each in (writer, await accepted):
                each.close()
                await each.wait_closed()


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_an_ipv6_host_is_listened_to() -> None:
    try:
        with listen(Settings(host="::1", port=0)) as listening:
            assert listening.family == socket.AF_INET6
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")


def test_uvicorn_believes_the_proxies_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those in `.env` too, which uvicorn does not read."""
    configs: list[uvicorn.Config] = []

    def run(server: uvicorn.Server, sockets: list[socket.socket]) -> None:
        configs.append(server.config)

    monkeypatch.setattr(uvicorn.Server, "run", run)
    for proxies in ("", "10.0.0.1"):
        serve(Starlette(), Settings(port=0, forwarded_allow_ips=proxies))
    assert [config.forwarded_allow_ips for config in configs] == ["", "10.0.0.1"]


def test_a_crowd_is_let_in_a_few_at_a_time() -> None:
    with listen(Settings(port=0)) as listening, ExitStack() as stack:
        listening.listen(100)
        for _ in range(AT_A_TIME + 1):
            stack.enter_context(socket.create_connection(listening.getsockname()))
        for _ in range(AT_A_TIME):
            stack.enter_context(listening.accept()[0])
        with pytest.raises(BlockingIOError):
            listening.accept()
        stack.enter_context(listening.accept()[0])


class OpenSocket(WebSocketProtocol):
    """A WebSocket without a network."""

    def __init__(self, server: Server, closed: Callable[[], None]) -> None:
        self._server = server
        self._closed = closed

    def shutdown(self) -> None:
        self._server.server_state.connections.remove(self)
        self._closed()


class Closings:
    """A server with so many open WebSockets, and how many of them it closed in each turn of the loop."""

    def __init__(self, count: int) -> None:
        config = uvicorn.Config(Starlette())
        self.batches = [0]
        self.app = Starlette()
        self.server = Server(config, self.app.state, Settings())
        self.server.servers = []
        self.server.lifespan = LifespanOff(config)
        self.server.server_state.connections = {OpenSocket(self.server, self.note) for _ in range(count)}

    def note(self) -> None:
        if not self.batches[-1]:
            asyncio.get_running_loop().call_later(0.01, self.batches.append, 0)
        self.batches[-1] += 1

    async def sizes(self) -> list[int]:
        await self.server.shutdown()
        await asyncio.sleep(0.01)
        return [size for size in self.batches if size]


async def test_few_sockets_are_closed_at_once() -> None:
    assert await Closings(CLOSED_AT_A_TIME).sizes() == [CLOSED_AT_A_TIME]
    assert await Closings(0).sizes() == []


async def test_L11_many_sockets_are_closed_batch_by_batch() -> None:
    closings = Closings(3 * CLOSED_AT_A_TIME + 1)
    assert await closings.sizes() == [CLOSED_AT_A_TIME] * 3 + [1]


async def test_very_many_sockets_take_no_longer_in_larger_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("utils.server.CLOSING_SECONDS", 5 * PAUSE)
    sizes = await Closings(20 * CLOSED_AT_A_TIME).sizes()
    assert (sum(sizes), len(sizes)) == (20 * CLOSED_AT_A_TIME, 5)


async def test_a_socket_that_leaves_meanwhile_is_not_closed_again() -> None:
    closings = Closings(4 * CLOSED_AT_A_TIME)
    asyncio.get_running_loop().call_later(0.05, closings.server.server_state.connections.clear)
    assert await closings.sizes() == [CLOSED_AT_A_TIME]


async def test_a_second_interrupt_closes_all_the_others_at_once() -> None:
    closings = Closings(100 * CLOSED_AT_A_TIME)
    closings.server.handle_exit(signal.SIGINT, None)
    closings.server.handle_exit(signal.SIGINT, None)
    assert await closings.sizes() == [100 * CLOSED_AT_A_TIME]


async def test_garbage_is_searched_for_once_a_minute_and_only_in_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    searches: list[bool] = []
    monkeypatch.setattr("utils.server.collect_garbage", lambda *, everything: searches.append(everything))
    server = Closings(0).server
    for tick in range(10 * 600 + 1):
        await server.on_tick(tick)
    assert searches == [*[False] * 9, True]


def test_a_search_for_garbage_leaves_out_what_is_there_already() -> None:
    class Cycle:
        pass

    try:
        collect_garbage()
        cycle = Cycle()
        cycle.itself = cycle  # type: ignore[attr-defined]
        found = weakref.ref(cycle)
        collect_garbage()
        del cycle
        collect_garbage()
        assert found() is not None
        collect_garbage(everything=True)
        assert found() is None
    finally:
        gc.unfreeze()


def test_a_signal_is_known_before_uvicorn_looks_at_it() -> None:
    closings = Closings(0)
    closings.app.state.is_ready = True
    closings.server.handle_exit(signal.SIGTERM, None)
    assert not closings.app.state.is_ready


async def test_a_process_is_healthy_before_it_is_ready() -> None:
    """Whatever the Host: a kubelet's is the pod's address."""
    app = create_app(Settings(chat_password="battery"))
    assert (await status(app, "/healthz"), await status(app, "/readyz")) == (200, 503)
    app.state.is_ready = True
    assert (await status(app, "/healthz"), await status(app, "/readyz")) == (200, 200)
    assert await status(app, "/") == 400


async def status(app: Starlette, path: str) -> int:
    sent: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": [(b"host", b"10.0.0.7")]}
    await app(scope, asyncio.Queue[MutableMapping[str, Any]]().get, sent.put)
    return int((await sent.get())["status"])


async def app(*_: object) -> None:
    """Never called."""


async def test_e20_the_last_line_at_start_up_is_the_address(server: support.Server) -> None:
    start, _, _ = server.log.partition("GET /")
    assert f"startup complete.\nPocket Chat: {server.url}\n" in start


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({"host": "localhost"}, "http://localhost:8000"),
        ({"host": "::1"}, "http://[::1]:8000"),
        ({"host": "0.0.0.0"}, "http://127.0.0.1:8000 (and the other names in ALLOWED_HOSTS)"),
        ({"host": "::", "allowed_hosts": "chat.test"}, "http://chat.test:8000 (and the other names in ALLOWED_HOSTS)"),
        ({"host": "::", "allowed_hosts": "*"}, "http://127.0.0.1:8000 (and the other names in ALLOWED_HOSTS)"),
    ],
)
def test_e20_the_address_is_one_that_the_server_answers_to(settings: dict[str, str], shown: str) -> None:
    assert address(Settings(**settings), 8000) == shown  # type: ignore[arg-type]
