"""Simulated pages, in a process of their own: they read, sleep, lose their sockets and come back.

`python -m bench.pages 2000 8000 8001` opens 2,000 on one port, and opens those that lose their socket again on the
other. `python -m bench.pages victim 8000` is one page that reads on and on. Both print "ready", and at the next line
of their input what they saw, as JSON. What a page does in docs/protocol.md and static/chat/connection.js, these do.
"""

import asyncio
import gc
import json
import random
import sys
import time
from contextlib import suppress
from typing import Any

from bench.page_socket import Page, WatchedPage
from bench.websocket import Failed

RESTARTING = 1012

# Seconds of random wait: after 1012, and after other losses, doubled by each failure. For a minute after 1012
# no wait is longer than the first.
RESTART_WAIT = 5.0
FIRST_WAIT = 0.5
LONGEST_WAIT = 30.0
RESTART_SECONDS = 60.0

# One page of so many reads replies, one after the other.
PARTS_READING = 100

# How many open their first socket at a time.
CONNECTING = 50

# A lid is closed about every 100 s for each page, for so many seconds.
LIDS_PER_SECOND = 0.01
ASLEEP_SECONDS = (2.0, 8.0)


class Life:
    """One page from its first socket to the end of the measurement. `kind` is the class of its sockets."""

    kind: type[Page] = Page

    def __init__(self, port: int, next_port: int, *, reads: bool, sleeps: bool) -> None:
        self.seen: list[tuple[float, float, str]] = []
        self.moves: list[tuple[float, int]] = []
        self.failed = 0
        self.told_again = 0
        self._reads = reads
        self._sleeps = sleeps
        self._next_port = next_port
        self._restart_ends = 0.0
        self._page = self.kind(port)
        # Sockets of a machine that slept: the server learns only from its pings that they are gone.
        self._vanished: list[Page] = []

    async def begin(self) -> None:
        """The first socket, and a conversation with one reply."""
        await self._page.open()
        await self._page.ask("burst", 20)

    async def live(self) -> None:
        self._count(+1)
        while True:
            how = await self._stay()
            lost_at = time.monotonic()
            await self._come_back(is_restart=how == str(RESTARTING))
            self.seen.append((lost_at, time.monotonic(), how))
            self._count(+1)

    async def _stay(self) -> str:
        """Until the socket is lost; how: a close code, or "asleep"."""
        reading = asyncio.create_task(self._read()) if self._reads else None
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(random.expovariate(LIDS_PER_SECOND) if self._sleeps else None):
                        await self._page.left()
                        self._count(-1)
                        return str(self._page.close_code)
                self._count(-1)
                self._page.close_lid()
                await asyncio.sleep(random.uniform(*ASLEEP_SECONDS))
                # Half of them find another network when they wake.
                if random.random() < 0.5:
                    self._vanished.append(self._page)
                    return "asleep"
                self._page.open_lid()
                self._count(+1)
        finally:
            if reading:
                reading.cancel()

    async def _come_back(self, *, is_restart: bool) -> None:
        if is_restart:
            self._restart_ends = time.monotonic() + RESTART_SECONDS
        longest = RESTART_WAIT if is_restart else FIRST_WAIT
        pause = FIRST_WAIT
        while True:
            await asyncio.sleep(random.uniform(0, longest))
            again = self.kind(self._next_port, self._page.conversation, self._page.after)
            try:
                await again.open()
            except (Failed, OSError, TimeoutError):
                self.failed += 1
                pause *= 2
                longest = min(pause, RESTART_WAIT if time.monotonic() < self._restart_ends else LONGEST_WAIT)
                continue
            self.told_again += not again.is_continued
            self._page = again
            return

    async def _read(self) -> None:
        """One reply after the other, until the page is gone. A reply that was cut off is waited for."""
        with suppress(Failed, TimeoutError):
            if self._page.is_writing:
                self._page.ended = False
                await self._page.end()
            while True:
                await self._page.ask("paced", 100)

    def _count(self, change: int) -> None:
        self.moves.append((time.monotonic(), change))


class Victim(Life):
    """A page that reads on and on. If its reply was cut off, it asks in another conversation: after `kill -9`
    the old one waits until the dead worker's lease has run out, however few pages there are."""

    kind = WatchedPage

    async def _come_back(self, *, is_restart: bool) -> None:
        await super()._come_back(is_restart=is_restart)
        if self._page.is_writing:
            await self._page.close()
            self._page = self.kind(self._next_port)
            await self._page.open()


async def crowd(count: int, port: int, next_port: int) -> dict[str, Any]:
    lives = [Life(port, next_port, reads=n % PARTS_READING == 0, sleeps=True) for n in range(count)]
    connecting = asyncio.Semaphore(CONNECTING)

    async def begin(life: Life) -> None:
        async with connecting:
            await life.begin()

    await asyncio.gather(*map(begin, lives))
    await run(lives)
    return {
        "losses": [loss for life in lives for loss in life.seen],
        "moves": sorted(move for life in lives for move in life.moves),
        "failed": sum(life.failed for life in lives),
        "told_again": sum(life.told_again for life in lives),
    }


async def victim(port: int) -> dict[str, Any]:
    WatchedPage.tokens_seen = []
    life = Victim(port, port, reads=True, sleeps=False)
    await life.begin()
    await run([life])
    return {"losses": life.seen, "tokens": WatchedPage.tokens_seen}


async def run(lives: list[Life]) -> None:
    """All of them live until there is a line of input."""
    living = [asyncio.create_task(life.live()) for life in lives]
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    for task in living:
        task.cancel()
    for ended in await asyncio.gather(*living, return_exceptions=True):
        if isinstance(ended, Exception):
            raise ended


def main() -> None:
    gc.disable()
    who, *ports = sys.argv[1:]
    found = asyncio.run(victim(int(ports[0])) if who == "victim" else crowd(int(who), *map(int, ports)))
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
