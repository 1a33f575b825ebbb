"""`python -m bench.rolling [STORE_URL]`: 200 clients of two workers behind nginx; 3 rolling restarts, 2 `kill -9`.

It takes 3 minutes, prints a table and writes nothing. Without a store it has one in SQLite.
150 clients resume, as pages do, and 50 are plain. Each asks again as soon as it has its answer. The pieces of a reply
are numbered: what is lost or doubled, on a screen or in the store, fails the run.
"""

import asyncio
import os
import resource
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType

from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.support import FakeOpenAI, Server
from tests.support.nginx import Nginx
from tests.support.resuming import Tab, Turn
from tests.support.returning import Returning
from tests.support.telling import questions, telling, text

PAGES = 150
PLAIN = 50
RESTARTS = 3
# Of a reply, and seconds between two of them.
PIECES = 40
PACE = 0.2
# Seconds that a plain client waits before it comes back.
BACK = 0.5
# Seconds before each fault. A dead worker's replies end after 12 s at most, and until then pages ask nothing new.
CALM = 15.0


@dataclass
class Run:
    """What the clients saw. A stall is the longest time that one reply showed nothing new, in seconds."""

    asked: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    stalls: dict[str, list[float]] = field(default_factory=lambda: {"done": [], "interrupted": []})
    longest: dict[int, float] = field(default_factory=dict)
    losses: int = 0
    cut: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Worker(Server):
    """A server that is silent about what it has logged, unless the run failed."""

    async def __aexit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        log, in_time = await self.leave()
        if kind:
            print(log[-2000:], file=sys.stderr)
        else:
            assert in_time
            assert "Traceback" not in log, log


async def page(nginx: Nginx, run: Run, number: int) -> None:
    """One page, until the run is over and its last reply has ended; then what is stored must be what it saw."""
    page = Returning(nginx)
    seen: list[Turn] = []
    while not run.over.is_set():
        question = f"Question {len(seen)} of page {number}"
        run.asked[question] += 1
        answer = await page.answered(question)
        turn = answer.turn
        whole = text(0, PIECES)
        assert turn.answer == whole if turn.status == "done" else whole.startswith(turn.answer), turn
        run.ended[turn.status] += 1
        run.stalls[turn.status].append(answer.stall)
        run.longest[number] = max(run.longest.get(number, 0), answer.stall)
        seen.append(turn)
    await page.leave()
    run.losses += page.losses
    async with Tab(nginx, page.conversation) as again:
        assert again.turns == seen


async def plain(nginx: Nginx, run: Run, number: int) -> None:
    """A client that knows nothing of resuming: with its socket it loses its reply, and it starts anew."""
    count = 0
    while not run.over.is_set():
        try:
            async with nginx.client() as client:
                while not run.over.is_set():
                    question = f"Question {count} of client {number}"
                    count += 1
                    run.asked[question] += 1
                    seen = ""
                    await client.say(question)
                    while (frame := await client.frame(30.0))["type"] != "end":
                        seen += frame["content"] if frame["type"] == "chunk" else ""
                        assert text(0, PIECES).startswith(seen), seen
                    assert (frame["status"], seen) == ("done", text(0, PIECES))
                    run.ended["plain"] += 1
        except (ConnectionClosed, InvalidHandshake, OSError):
            run.cut += 1
            await asyncio.sleep(BACK)


async def restart(workers: list[Server]) -> None:
    """A rolling restart: each worker drains, leaves, and comes back, one after the other."""
    for worker in workers:
        worker.terminate()
        await worker.stopped(60.0)
        await worker.__aenter__()


async def kill(worker: Server) -> None:
    worker.kill()
    await worker.stopped()
    await worker.__aenter__()


async def measure(store_url: str) -> Run:
    began = time.monotonic()
    run = Run()
    async with AsyncExitStack() as stack:
        openai = await stack.enter_async_context(FakeOpenAI())
        openai.answers(telling(PIECES, PACE))
        workers: list[Server] = [Worker(openai.url, STORE_URL=store_url) for _ in range(2)]
        for worker in workers:
            await stack.enter_async_context(worker)
        nginx = await stack.enter_async_context(Nginx(workers, unlimited=True))
        faults: list[Callable[[], Awaitable[None]]] = [lambda: restart(workers)] * RESTARTS
        faults += [lambda: kill(workers[0]), lambda: kill(workers[1])]
        async with asyncio.TaskGroup() as clients:
            for number in range(PAGES):
                clients.create_task(page(nginx, run, number))
            for number in range(PLAIN):
                clients.create_task(plain(nginx, run, number))
            for fault in faults:
                await asyncio.sleep(CALM)
                await fault()
                print(f"{time.monotonic() - began:4.0f} s  {dict(run.ended)}", file=sys.stderr)
            await asyncio.sleep(CALM)
            run.over.set()
        answered = Counter(questions(openai))
    doubled = [question for question, times in answered.items() if times > 1]
    unasked = answered.keys() - run.asked.keys()
    assert not doubled, f"answered twice: {doubled}"
    assert not unasked, f"nobody asked: {unasked}"
    return run


def quantiles(values: list[float]) -> str:
    ranked = sorted(values)
    return f"{statistics.median(ranked):.1f} s | {ranked[int(len(ranked) * 0.9)]:.1f} s | {ranked[-1]:.1f} s"


def table(run: Run) -> str:
    rows = [
        "| replies to pages | count | stall: median | 90 % | longest |",
        "|---|---:|---:|---:|---:|",
        f"| done | {run.ended['done']} | {quantiles(run.stalls['done'])} |",
        f"| interrupted, and said so | {run.ended['interrupted']} | {quantiles(run.stalls['interrupted'])} |",
        f"| the longest of each page | {len(run.longest)} | {quantiles(list(run.longest.values()))} |",
        "",
        f"{PAGES} pages lost {run.losses} sockets and came back.",
        f"{PLAIN} plain clients got {run.ended['plain']} replies and were cut off {run.cut} times.",
        f"No character was lost or doubled, and none of {len(run.asked)} questions was answered twice.",
    ]
    return "\n".join(rows)


if __name__ == "__main__":
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory(prefix="rolling-") as folder:
        address = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("STORE_URL", f"sqlite:///{folder}/chat.db")
        print(table(asyncio.run(measure(address))))
