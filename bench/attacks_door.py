"""Attacks with many connections, requests and frames. Each returns what is worth a note."""

import asyncio
import resource
import secrets
import zlib
from contextlib import suppress
from itertools import count

from bench.attacker import EMOJI, LONGEST, Target, page, question, text, until
from tests.support.frames import CONTINUATION, PING, TEXT, frame
from tests.support.raw_websocket import RawWebSocket

STOP = text(type="stop")
PINGS = frame(PING)
FRAGMENT = frame(CONTINUATION, fin=False)
BEGUN = frame(TEXT, fin=False)

# More than the server may have open.
MANY = 1500
DESCRIPTORS = 1024

HALF_A_REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nx: "
FORGED = b'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Forwarded-For: \x1b[2J9.9.9.9 - "GET /admin\r\n\r\n'
LARGE = b'{"type": "message", "content": "' + b"x" * (8 * 2**20) + b'"}'
DEFLATE = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits=12"}


async def frames(target: Target, sockets: int, data: bytes, first: bytes = b"") -> str:
    """The same small frame as fast as the network carries it; who is closed comes again."""
    block = first + data * 10_000

    async def flood() -> None:
        async with RawWebSocket(target.url) as socket:
            await socket.send(block)
            await socket.close_code()

    await target.begin()
    await target.attack(flood, sockets)
    return ""


async def repeats(target: Target) -> str:
    known = question("burst 1 ".ljust(LONGEST, EMOJI))
    async with page(target) as (socket, id):
        await socket.send(known)
        await until(socket, "end")
    await target.begin()

    async def flood() -> None:
        async with page(target, id) as (socket, _):
            while True:
                await socket.send(known)

    await target.attack(flood, 8)
    return ""


async def newcomers(target: Target) -> str:
    numbers = count()

    async def come() -> None:
        async with page(target, secrets.token_urlsafe(16)):
            next(numbers)

    await target.begin()
    await target.attack(come, 8)
    return f"{next(numbers) / target.seconds:.0f} a second"


async def requests(target: Target, path: str, headers: str = "") -> str:
    batch = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n".encode() * 10
    numbers = count()

    async def ask() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port, limit=2**20)
        try:
            while True:
                writer.write(batch)
                for _ in range(10):
                    head = (await reader.readuntil(b"\r\n\r\n")).lower()
                    if b"content-length: " in head:
                        await reader.readexactly(int(head.partition(b"content-length: ")[2].split()[0]))
                    else:
                        await reader.readuntil(b"\r\n0\r\n\r\n")
                    next(numbers)
        finally:
            writer.close()

    await target.begin()
    await target.attack(ask, 16)
    return f"{next(numbers) / target.seconds:.0f} a second"


async def silent_sockets(target: Target) -> str:
    """As many as there are places, for 1.5 times as long as the deadline."""

    async def come() -> None:
        async with RawWebSocket(target.url) as socket:
            await socket.close_code(limit=60)

    await target.begin()
    await target.attack(come, 1000)
    return await newcomer(target)


async def half_requests(target: Target, sent: bytes) -> str:
    """TCP connections that send this and then a byte a second; the server has few descriptors."""
    resource.prlimit(target.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))

    async def come() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
        closed = asyncio.create_task(reader.read())
        try:
            writer.write(sent)
            while not closed.done():
                await asyncio.wait({closed}, timeout=1)
                writer.write(b"x" if sent else b"")
        finally:
            closed.cancel()
            writer.close()

    await target.begin()
    await target.attack(come, MANY)
    return await newcomer(target)


async def forged_addresses(target: Target) -> str:
    async def ask() -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", target.port)
        try:
            while True:
                writer.write(FORGED * 10)
                await writer.drain()
                await asyncio.sleep(0)
        finally:
            writer.close()

    await target.begin()
    await target.attack(ask, 16)
    return await newcomer(target)


async def large_frames(target: Target, deflated: bool) -> str:
    data = frame(TEXT, LARGE)
    if deflated:
        packer = zlib.compressobj(9, zlib.DEFLATED, -12)
        packed = packer.compress(LARGE) + packer.flush(zlib.Z_SYNC_FLUSH)
        data = frame(TEXT, packed[:-4], rsv=4)
    await target.begin()

    async def send() -> None:
        async with RawWebSocket(target.url, headers=DEFLATE if deflated else {}) as socket:
            while True:
                await socket.send(data)

    await target.attack(send, 8)
    return await newcomer(target)


async def newcomer(target: Target) -> str:
    """Whether somebody who comes right after the attack is served."""
    with suppress(OSError, TimeoutError):
        async with RawWebSocket(target.url) as socket:
            await socket.send(frame(TEXT, b'{"type": "resume", "conversation": null}'))
            if (await socket.next())["type"] == "conversation":
                return "then a newcomer is served"
    return "then a newcomer is not served"
