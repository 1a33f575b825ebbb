"""The listening socket: what accepted sockets inherit from it, and where it is."""

import asyncio
import socket
from contextlib import ExitStack

import pytest
import uvicorn

from tests.support import Server
from utils.door import AT_A_TIME, RECEIVE_BUFFER, SEND_BUFFER, UNACKNOWLEDGED_MS, listen
from utils.server import address, serve
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
        serve(app, Settings(port=0, forwarded_allow_ips=proxies))
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


async def app(*_: object) -> None:
    """Never called."""


async def test_e20_the_last_line_at_start_up_is_the_address(server: Server) -> None:
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
