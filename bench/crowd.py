"""`python -m bench.crowd 2000 Valkey`: that many pages, a few of which read replies, move from one worker to another.

Two workers share a store. All pages are on the first, which gets SIGTERM; a victim reads a reply on the second.
What a page does in docs/protocol.md, these do: 0 to 5 s after 1012, otherwise a back-off. Prints a table.
"""

import asyncio
import json
import random
import resource
import sys
import time
from collections import Counter
from contextlib import suppress

from bench.harness import Harness
from bench.process import Program
from bench.stores import store
from bench.websocket import Failed, Socket

RESTARTING = 1012
SPREAD_SECONDS = 5.0
BACK_OFF_SECONDS = 0.5
LONGEST_BACK_OFF = 30.0
PARTS_READING = 100
SECONDS = 15.0
CONNECTING = 50
DEFAULTS = ("2000", "SQLite")


class Page(Socket):
    """A page that resumes; it knows its conversation's id, and how it was closed."""

    conversation: str | None = None
    close_code = 0

    def _take(self, first: int, payload: bytes, now: int) -> None:
        if first & 0xF == 8:
            self.close_code = int.from_bytes(payload[:2])
            self._transport.close()
        elif b'"conversation"' in payload[:24]:
            self.conversation = json.loads(payload)["id"]
        elif b'"history"' in payload[:24]:
            # There may be tokens in it.
            self.ended = True
            self.changed.set()
        else:
            super()._take(first, payload, now)

    async def left(self) -> None:
        """Wait until the socket is closed."""
        while not self.closed:
            self.changed.clear()
            await self.changed.wait()


class Crowd:
    """The pages, in a process of their own. Prints `ready`, and at the end its figures as JSON."""

    def __init__(self, first: int, second: int, count: int) -> None:
        self._ports = [first, second]
        self._count = count
        self._connecting = asyncio.Semaphore(CONNECTING)
        self._ready = 0
        # When each page was back, by the clock that all processes share, and how it was closed.
        self._back: list[float] = []
        self._codes: Counter[int] = Counter()
        self._failed = 0

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            living = [tasks.create_task(self._live(number)) for number in range(self._count)]
            while self._ready < self._count:
                await asyncio.sleep(0.1)
            print("ready", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
            for task in living:
                task.cancel()
        print(json.dumps({"back": self._back, "codes": self._codes, "failed": self._failed}), flush=True)

    async def _live(self, number: int) -> None:
        page = Page(self._ports[0])
        async with self._connecting:
            await self._open(page)
        self._ready += 1
        reading = asyncio.create_task(read_on(page)) if number % PARTS_READING == 0 else None
        await page.left()
        if reading:
            reading.cancel()
        self._codes[page.close_code] += 1
        pause = BACK_OFF_SECONDS
        longest = SPREAD_SECONDS if page.close_code == RESTARTING else pause
        while True:
            await asyncio.sleep(random.uniform(0, longest))
            again = Page(self._ports[1])
            again.conversation = page.conversation
            try:
                await self._open(again)
            except (Failed, OSError, TimeoutError):
                self._failed += 1
                pause = min(pause * 2, LONGEST_BACK_OFF)
                longest = pause
                continue
            self._back.append(time.monotonic())
            if reading:
                await read_on(again)
            await again.left()

    async def _open(self, page: Page) -> None:
        await page.connect()
        page.send({"type": "resume", "conversation": page.conversation})
        await page.end()


async def read_on(page: Page) -> None:
    """One reply after the other, until the page is gone."""
    with suppress(Failed, TimeoutError):
        while True:
            page.send({"type": "message", "id": f"t{time.monotonic_ns()}", "content": "paced 100"})
            await page.end()


async def measure(harness: Harness, pages: int, kind: str) -> None:
    with store(kind) as (url, _):
        settings = {"STORE_URL": url, "MAX_CONNECTIONS": "100000"}
        openai = f"http://127.0.0.1:{harness.openai_port}/v1"
        async with (
            Program(openai, PYTHONWARNINGS=None, **settings) as first,  # type: ignore[arg-type]
            Program(openai, PYTHONWARNINGS=None, **settings) as second,  # type: ignore[arg-type]
        ):
            crowd = harness.start("bench.crowd", "pages", str(first.port), str(second.port), str(pages))
            assert crowd.stdin
            assert crowd.stdout
            line = await asyncio.to_thread(crowd.stdout.readline)
            assert line == "ready\n", line
            wish = {"head_start": 2.0, "seconds": SECONDS}
            victim = asyncio.create_task(asyncio.to_thread(harness.measure, "victim", second, **wish))
            await asyncio.sleep(3)
            began = time.monotonic()
            first.terminate()
            await first.stopped(60)
            gone = time.monotonic() - began
            latencies = await victim
            crowd.stdin.write("\n")
            crowd.stdin.flush()
            found = json.loads(await asyncio.to_thread(crowd.stdout.readline))
            crowd.communicate()
            report(pages, began, gone, latencies, found)


def report(pages: int, began: float, gone: float, victim: dict[str, float], found: dict[str, object]) -> None:
    back = sorted(moment - began for moment in found["back"])  # type: ignore[attr-defined]
    seconds = Counter(int(moment) for moment in back)
    print(f"{pages} pages on a worker that gets SIGTERM; {pages // PARTS_READING} of them read replies.")
    print(f"back on the other worker: {len(back)}, closed with {found['codes']}, failed tries {found['failed']}")
    if back:
        print(f"the first after {back[0]:.2f} s, half after {back[len(back) // 2]:.2f} s, all after {back[-1]:.2f} s")
    print("back in each second:", " ".join(str(seconds[each]) for each in range(max(seconds, default=0) + 1)))
    print(f"the worker was gone after {gone:.2f} s")
    print("the victim: " + ", ".join(f"{name} {value:.0f} ms" for name, value in victim.items()))


def main() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if sys.argv[1:2] == ["pages"]:
        asyncio.run(Crowd(*map(int, sys.argv[2:])).run())
        return
    with Harness() as harness:
        pages, kind = (*sys.argv[1:], *DEFAULTS[len(sys.argv) - 1 :])
        asyncio.run(measure(harness, int(pages), kind))


if __name__ == "__main__":
    main()
