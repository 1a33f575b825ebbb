"""Many streams at once: what the measurements of bench.load and bench.load_growth are made of."""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self

from bench.process import family
from bench.websocket import Failed, Socket
from tests.support.proc import cpu_seconds

# Tokens; paced, that is two seconds, then the stream asks again.
REPLY = 100

# More than any limit: nothing came at all.
NEVER = 1e6

# Seconds between the last stream's first token and the measurement.
SETTLE = 0.5


class Streams:
    """`async with Streams(port, pid, 40) as streams: await streams.window(3)`: paced streams that ask on and on."""

    def __init__(self, port: int, pid: int, count: int) -> None:
        self._port = port
        self._pid = pid
        self._count = count
        self._latencies: list[int] = []
        self._firsts: list[int] = []
        self._asking: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._sockets = [await Socket(self._port, self._latencies).connect() for _ in range(self._count)]
        for n, socket in enumerate(self._sockets):
            # They begin as if they had been at it for a while.
            reply = 1 + REPLY * (n + 1) // self._count
            self._asking.append(asyncio.create_task(ask_on(socket, reply, self._firsts)))
            await asyncio.sleep(min(0.02, 1 / self._count))
        # It may be more than the server can carry; what has come so far shows it.
        with suppress(TimeoutError):
            await asyncio.gather(*(socket.begin() for socket in self._sockets))
        await asyncio.sleep(SETTLE)
        return self

    async def window(self, seconds: float) -> dict[str, float]:
        """The latency added to a token and to the first token (ms), and CPU time per token (us), in these seconds."""
        self._latencies.clear()
        self._firsts.clear()
        tokens = -self._tokens()
        cpu = -cpu_of(self._pid)
        await asyncio.sleep(seconds)
        tokens += self._tokens()
        cpu += cpu_of(self._pid)
        return {
            "p50": rank(self._latencies, 0.50),
            "p99": rank(self._latencies, 0.99),
            "first": rank(self._firsts, 0.50),
            "cpu": cpu / tokens * 1e6 if tokens else NEVER,
        }

    async def __aexit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        for task in self._asking:
            task.cancel()
        for ended in await asyncio.gather(*self._asking, return_exceptions=True):
            if isinstance(ended, Failed) and not kind:
                raise ended
        await close(self._sockets, self._pid)

    def _tokens(self) -> int:
        return sum(socket.tokens for socket in self._sockets)


async def ask_on(socket: Socket, reply: int, firsts: list[int]) -> None:
    """One question after the other."""
    while True:
        said = socket.say(f"paced {reply}")
        await socket.begin()
        firsts.append(socket.began - said)
        await socket.end()
        reply = REPLY


async def close(open_sockets: list[Socket], pid: int = 0) -> None:
    """Close them, and wait until the server has digested it."""
    for socket in open_sockets:
        await socket.close()
    if pid:
        await rest(pid)


async def rest(pid: int) -> None:
    """Wait until the server has nothing to do any more, 5 s at most."""
    for _ in range(25):
        cpu = cpu_of(pid)
        await asyncio.sleep(0.2)
        if cpu_of(pid) - cpu <= 0.02:
            return


def cpu_of(pid: int) -> float:
    """CPU seconds of a server, its workers included."""
    return sum(map(cpu_seconds, family(pid)))


def rank(times: list[int], part: float) -> float:
    """A quantile of times in ns, in ms."""
    return sorted(times)[int(len(times) * part)] / 1e6 if times else NEVER
