"""The load, in a process of its own: takes one JSON line per measurement, and answers with one.

`python -m bench.load`, then {"measure": "paced", "port": 8000, "pid": 1234, "streams": 40, "seconds": 4}
"""

import asyncio
import gc
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from bench import load_growth
from bench.streams import SETTLE, Streams, close, cpu_of, rank, rest
from bench.websocket import Failed, Socket
from tests.support.proc import descriptors, memory_kib

Result = dict[str, Any]

# Tokens: more than a burst can send in its time, and less than the longest reply.
LONG = 49_000


async def paced(port: int, pid: int, streams: int, seconds: float) -> Result:
    """With that many streams: the latency added to a token and to the first token (ms), CPU time per token (us)."""
    async with Streams(port, pid, streams) as running:
        return await running.window(seconds)


async def burst(port: int, pid: int, streams: int, seconds: float, tokens: int = LONG) -> Result:
    """Tokens a second, with that many streams that could all be faster."""
    open_sockets = [await Socket(port).connect() for _ in range(streams)]
    for socket in open_sockets:
        socket.say(f"burst {tokens}")
    await asyncio.gather(*(socket.begin() for socket in open_sockets))
    await asyncio.sleep(SETTLE)
    before, began = sum(socket.tokens for socket in open_sockets), time.monotonic()
    await asyncio.sleep(seconds)
    rate = (sum(socket.tokens for socket in open_sockets) - before) / (time.monotonic() - began)
    await close(open_sockets, pid)
    return {"rate": rate}


async def first(port: int, pid: int, asks: int) -> Result:
    """The latency added to the first token, with nothing else to do (ms)."""
    firsts = []
    socket = await Socket(port).connect()
    for _ in range(asks):
        said = socket.say("paced 1")
        await socket.end()
        firsts.append(socket.began - said)
        await asyncio.sleep(0.02)
    await close([socket])
    return {"first": rank(firsts[2:], 0.50)}


async def messages(port: int, pid: int, asks: int, clients: int = 10, first: dict[str, Any] | None = None) -> Result:
    """CPU time per message with a reply of one token (us), one after the other; each client sends `first`, if any.

    The clients take turns, so that their conversations stay short.
    """
    open_sockets = [await Socket(port).connect() for _ in range(clients)]
    for socket in open_sockets:
        if first:
            socket.send(first)
            await socket.end()
        # What is made with the first message has been made.
        socket.say("burst 1")
        await socket.end()
    await rest(pid)
    cpu = -cpu_of(pid)
    for n in range(asks):
        socket = open_sockets[n % clients]
        socket.say("burst 1")
        await socket.end()
    # What the server does after an end, such as deleting chunks, belongs to the message.
    await asyncio.sleep(SETTLE)
    cpu += cpu_of(pid)
    await close(open_sockets, pid)
    return {"cpu": cpu / asks * 1e6}


async def idle(port: int, pid: int, connections: int, first: dict[str, Any] | None) -> Result:
    """Memory per idle connection (KiB); each sends this frame first, if any."""
    before = memory_kib(pid)
    open_sockets = []
    for _ in range(connections):
        socket = await Socket(port).connect()
        if first:
            socket.send(first)
            await socket.end()
        open_sockets.append(socket)
    await asyncio.sleep(SETTLE)
    grown = memory_kib(pid) - before
    await close(open_sockets, pid)
    return {"memory": grown / connections}


async def turns(port: int, pid: int, turns: int) -> Result:
    """What the server holds on to after that many turns, ten per connection."""
    for _ in range(turns // 10):
        socket = await Socket(port).connect()
        for _ in range(10):
            socket.say("burst 20")
            await socket.end()
        await close([socket])
    await rest(pid)
    return {"memory": memory_kib(pid), "sockets": descriptors(pid, "socket:")}


async def victim(port: int, pid: int, head_start: float, seconds: float) -> Result:
    """The latency added to the tokens of one page beside an attack (ms), which begins after `head_start`.

    The reply is read to its end: a token that comes late counts, however late it is.
    """
    latencies: list[int] = []
    socket = await Socket(port, latencies).connect()
    socket.say(f"paced {int((head_start + seconds) * 50)}")
    await asyncio.sleep(head_start)
    latencies.clear()
    await socket.end()
    await close([socket])
    return {"p50": rank(latencies, 0.50), "p99": rank(latencies, 0.99), "worst": rank(latencies, 1 - 1e-9)}


MEASUREMENTS: dict[str, Callable[..., Awaitable[Result]]] = {
    f.__name__: f for f in (paced, burst, first, messages, idle, turns, victim, *load_growth.MEASUREMENTS)
}


async def main() -> None:
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    gc.disable()
    while line := await lines.readline():
        wish = json.loads(line)
        measurement = MEASUREMENTS[wish.pop("measure")]
        try:
            result = await measurement(**wish)
        except (Failed, TimeoutError) as error:
            result = {"failed": str(error) or "no answer in time"}
        print(json.dumps(result), flush=True)
        gc.collect()


if __name__ == "__main__":
    asyncio.run(main())
