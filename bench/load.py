"""The load, in a process of its own: takes one JSON line per measurement, and answers with one.

`python -m bench.load`, then {"measure": "paced", "port": 8000, "pid": 1234, "streams": 40, "seconds": 4}
"""

import asyncio
import gc
import json
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from bench.websocket import Failed, Socket
from tests.support.proc import cpu_seconds, descriptors, memory_kib

Result = dict[str, Any]

REPLY = 100  # tokens; paced, that is two seconds, then the stream asks again
NEVER = 1e6
SETTLE = 0.5  # seconds between the last stream's first token and the measurement
LONG = 49_000  # tokens: more than a burst can send in its time, and less than the longest reply


async def paced(port: int, pid: int, streams: int, seconds: float) -> Result:
    """With that many streams: the latency added to a token and to the first token (ms), CPU time per token (us)."""
    latencies: list[int] = []
    firsts: list[int] = []
    open_sockets = [await Socket(port, latencies).connect() for _ in range(streams)]
    asking = []
    for n, socket in enumerate(open_sockets):  # They begin as if they had been at it for a while.
        asking.append(asyncio.create_task(_ask_on(socket, 1 + REPLY * (n + 1) // streams, firsts)))
        await asyncio.sleep(min(0.02, 1 / streams))
    with suppress(TimeoutError):  # More than it can carry; what has come so far shows it.
        await asyncio.gather(*(socket.begin() for socket in open_sockets))
    await asyncio.sleep(SETTLE)
    latencies.clear()
    firsts.clear()
    tokens = -sum(socket.tokens for socket in open_sockets)
    cpu = -cpu_seconds(pid)
    await asyncio.sleep(seconds)
    tokens += sum(socket.tokens for socket in open_sockets)
    cpu += cpu_seconds(pid)
    result = {
        "p50": _rank(latencies, 0.50),
        "p99": _rank(latencies, 0.99),
        "first": _rank(firsts, 0.50),
        "cpu": cpu / tokens * 1e6 if tokens else NEVER,
    }
    for task in asking:
        task.cancel()
    for ended in await asyncio.gather(*asking, return_exceptions=True):
        if isinstance(ended, Failed):
            raise ended
    await _close(open_sockets, pid)
    return result


async def _ask_on(socket: Socket, reply: int, firsts: list[int]) -> None:
    """One question after the other."""
    while True:
        said = socket.say(f"paced {reply}")
        await socket.begin()
        firsts.append(socket.began - said)
        await socket.end()
        reply = REPLY


def _rank(times: list[int], rank: float) -> float:
    """A quantile, in ms."""
    return sorted(times)[int(len(times) * rank)] / 1e6 if times else NEVER


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
    await _close(open_sockets, pid)
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
    await _close([socket])
    return {"first": _rank(firsts[2:], 0.50)}


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
    await _rest(pid)
    cpu = -cpu_seconds(pid)
    for n in range(asks):
        socket = open_sockets[n % clients]
        socket.say("burst 1")
        await socket.end()
    # What the server does after an end, such as deleting chunks, belongs to the message.
    await asyncio.sleep(SETTLE)
    cpu += cpu_seconds(pid)
    await _close(open_sockets, pid)
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
    await _close(open_sockets, pid)
    return {"memory": grown / connections}


async def turns(port: int, pid: int, turns: int) -> Result:
    """What the server holds on to after that many turns, ten per connection."""
    for _ in range(turns // 10):
        socket = await Socket(port).connect()
        for _ in range(10):
            socket.say("burst 20")
            await socket.end()
        await _close([socket])
    await _rest(pid)
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
    await _close([socket])
    return {"p50": _rank(latencies, 0.50), "p99": _rank(latencies, 0.99), "worst": _rank(latencies, 1 - 1e-9)}


async def _close(open_sockets: list[Socket], pid: int = 0) -> None:
    for socket in open_sockets:
        await socket.close()
    if pid:
        await _rest(pid)


async def _rest(pid: int) -> None:
    """Wait until the server has nothing to do any more, 5 s at most."""
    for _ in range(25):
        cpu = cpu_seconds(pid)
        await asyncio.sleep(0.2)
        if cpu_seconds(pid) - cpu <= 0.02:
            return


MEASUREMENTS: dict[str, Callable[..., Awaitable[Result]]] = {
    f.__name__: f for f in (paced, burst, first, messages, idle, turns, victim)
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
