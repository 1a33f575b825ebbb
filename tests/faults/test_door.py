"""The front door: A06-A09 of the fault list. Who asks for nothing does not stay, and nobody writes on the console."""

import asyncio
import json
import re
import resource
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest

from tests.support import FakeOpenAI, Server, echo
from tests.support.frames import BINARY, CLOSE, TEXT, frame, message
from tests.support.proc import descriptors, memory_kib
from tests.support.raw_websocket import RawWebSocket
from utils.door import SHARE

ROOT = Path(__file__).parents[2]
MOST_KIB = 400 * 1024
DEADLINE = 0.5  # seconds, in place of ten
PLAIN = "-m uvicorn main:app --port PORT"
RESUME = frame(TEXT, b'{"type": "resume", "conversation": null}')
HURRIED = f"""
import runpy, sys
sys.path.insert(0, "")
import chat.client, utils.door
chat.client.FIRST_FRAME_SECONDS = utils.door.REQUEST_SECONDS = {DEADLINE}
runpy.run_path("main.py", run_name="__main__")
"""


@pytest.fixture
async def hurried(openai: FakeOpenAI, tmp_path: Path) -> AsyncIterator[Server]:
    """A server with short deadlines and places for two."""
    openai.answers(echo)
    (tmp_path / "hurried.py").write_text(HURRIED)
    async with Server(openai.url, program=str(tmp_path / "hurried.py"), MAX_CONNECTIONS="2") as server:
        yield server


NO_COMMAND = {
    "nothing": b"",
    "half a frame": RESUME[:10],
    "a refused frame": frame(TEXT, b"{}"),
}


@pytest.mark.parametrize("sent", NO_COMMAND.values(), ids=NO_COMMAND)
async def test_A06_a_socket_that_asks_for_nothing_gives_up_its_place(hurried: Server, sent: bytes) -> None:
    async with RawWebSocket(hurried.ws_url) as page, RawWebSocket(hurried.ws_url) as silent:
        await page.send(RESUME)
        await silent.send(sent)
        assert await silent.close_code() == 1008
        async with RawWebSocket(hurried.ws_url) as other:
            assert (await other.reply("hi")).whole == "You said: hi"
        # The page has asked for something, so it stays.
        await page.send(message("hi"))
        while (await page.next())["type"] != "end":
            pass


HALF = {
    "nothing": b"",
    "a request line": b"GET / HTTP/1.1\r\n",
    "half a header": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nx: ",
    "half a handshake": b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nx: ",
    "half a body": b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n",
    "half a second request": b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET / HTTP/1.1\r\nx: ",
}


@pytest.mark.parametrize("sent", HALF.values(), ids=HALF)
async def test_A07_a_connection_without_a_whole_request_is_closed(hurried: Server, sent: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", hurried.port)
    writer.write(sent)
    closed = asyncio.create_task(reader.read())
    async with asyncio.timeout(8):
        while not closed.done():
            await asyncio.wait({closed}, timeout=DEADLINE / 5)
            # Any byte cancels uvicorn's own timer.
            writer.write(b"x" if sent else b"")
    writer.close()
    with suppress(ConnectionError):
        await closed
        await writer.wait_closed()


async def test_A07_silent_connections_take_neither_the_descriptors_nor_the_log(
    hurried: Server, openai: FakeOpenAI
) -> None:
    limit = descriptors(hurried.pid) + 100
    resource.prlimit(hurried.pid, resource.RLIMIT_NOFILE, (limit, limit))
    async with RawWebSocket(hurried.ws_url) as page, AsyncExitStack() as stack:
        await page.reply("hi")
        before = hurried.log
        began = time.monotonic()
        for _ in range(300):
            stack.enter_context(socket.create_connection(("127.0.0.1", hurried.port)))
        # A call of the model, to which no connection is open, takes one more.
        for number in range(5):
            assert (await page.reply(str(number))).whole
        assert descriptors(hurried.pid) <= SHARE * limit + 5
        async with RawWebSocket(hurried.ws_url) as late:
            assert (await late.reply("hi")).whole
        lines = hurried.log.removeprefix(before).splitlines()
        assert 1 <= len([line for line in lines if "descriptors" in line]) <= 2 + time.monotonic() - began
        assert len(lines) < 30
    assert "Traceback" not in hurried.log
    assert memory_kib(hurried.pid, "VmHWM") < MOST_KIB


FORGED = [
    "\x1b[2J\x1b[31m9.9.9.9",
    '9.9.9.9:0 - "GET /admin HTTP/1.1" 200 OK',
    "\x08" * 30 + "INFO:     9.9.9.9",
    "9.9.9.9\x9b31m",
]


@pytest.mark.parametrize(
    ("program", "proxies"),
    [("main.py", ""), ("main.py", "*"), (PLAIN, "*")],
    ids=["A08 nobody is believed", "A08 everybody is believed", "A08 plain uvicorn"],
)
async def test_nothing_of_a_client_is_in_the_log_as_it_is(openai: FakeOpenAI, program: str, proxies: str) -> None:
    async with Server(openai.url, program=program, FORWARDED_ALLOW_IPS=proxies) as server:
        for forged in FORGED:
            await is_logged_escaped(server, forged)
        assert ("9.9.9.9" in server.log) == bool(proxies)


async def is_logged_escaped(server: Server, forged: str) -> None:
    before = server.log
    await server.get('/nothing?"GET', 5, **{"X-Forwarded-For": forged})
    if not re.search(r"[\x00-\x1f]", forged):  # With one of them it is no handshake.
        async with RawWebSocket(server.ws_url, headers={"X-Forwarded-For": forged}) as client:
            assert client.status == 101
    lines = [line for line in server.log.removeprefix(before).split("\n") if line]
    for line in lines:
        assert re.fullmatch(r'INFO: {5}(\S+ - "[^" ]+ [^" ]+( [^" ]+)?" ?[^"]*|connection \w+)', line), line
        assert line.isascii()
        assert line.isprintable(), repr(line)


async def test_A08_a_named_proxy_is_believed(openai: FakeOpenAI) -> None:
    async with Server(openai.url, FORWARDED_ALLOW_IPS="10.0.0.0/8,127.0.0.1") as server:
        await server.get("/nothing", 5, **{"X-Forwarded-For": "8.8.8.8, 203.0.113.7"})
        assert "203.0.113.7" in server.log
        assert "8.8.8.8" not in server.log


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
async def test_A09_the_app_refuses_what_a_plain_uvicorn_lets_through(openai: FakeOpenAI, opcode: int) -> None:
    openai.answers(echo)
    calls = len(openai.calls)
    async with Server(openai.url, program=PLAIN) as server, RawWebSocket(server.ws_url) as client:
        assert (await client.reply("hi")).whole
        content = json.dumps({"type": "message", "content": "hi", "more": "ä" * 33_000}, ensure_ascii=False)
        await client.send(frame(opcode, content.encode()))
        assert await client.close_code() == 1009
    assert len(openai.calls) == calls + 1


async def test_A09_the_flags_in_the_documentation_give_uvicorn_the_limits(openai: FakeOpenAI) -> None:
    flags = re.findall(r"`(--[^`]+)`", (ROOT / "docs/deploy.md").read_text())
    assert len(flags) > 4
    async with Server(openai.url, program=f"{PLAIN} {' '.join(flags)}") as server:
        deflate = {"Sec-WebSocket-Extensions": "permessage-deflate"}
        async with RawWebSocket(server.ws_url, headers=deflate) as client:
            await client.send_until_refused(frame(TEXT, b"x", rsv=4))
            assert await client.close_code() == 1002
        async with RawWebSocket(server.ws_url) as client:
            await client.send_until_refused(frame(TEXT, b"x" * 2**20))
            got = await client.frame()
            assert (got.opcode, got.payload[:2]) == (CLOSE, (1009).to_bytes(2, "big"))
            assert b"exceeds limit of 65536" in got.payload, "it was the app that refused"
        await server.get("/nothing", 5, **{"X-Forwarded-For": "203.0.113.7"})
        assert "203.0.113.7" not in server.log


def test_A09_the_first_ways_to_start_are_the_hardened_one() -> None:
    run = (ROOT / "README.md").read_text().partition("## Run\n")[2]
    first = run.partition("uvicorn main:app")[0]
    assert re.findall(r"^    (.*main\.py|make run)\b", first, re.MULTILINE)
    assert re.search(r"^run:.*\n\t\$\(BIN\)/python main\.py$", (ROOT / "Makefile").read_text(), re.MULTILINE)
