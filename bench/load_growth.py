"""More that bench.load measures: what grows with the number of pages, the length of a reply and of a conversation."""

import asyncio
from typing import Any

from bench import stored
from bench.page_socket import Page
from bench.streams import SETTLE, Streams, close, cpu_of
from bench.websocket import Socket

# Idle pages that come in a second, at most, and how many of them at the same time.
PAGES_PER_SECOND = 500
AT_A_TIME = 10

# How often a long reply's progress is looked at, in seconds.
LOOK = 0.005


async def beside_idle_pages(port: int, pid: int, streams: int, pages: list[int], seconds: float) -> dict[str, Any]:
    """Paced streams beside so many idle pages, which come little by little: three windows for each number.

    Each page resumes a stored conversation.
    """
    found: dict[str, Any] = {}
    idle: list[Socket] = []
    async with Streams(port, pid, streams) as running:
        for count in pages:
            while len(idle) < count:
                more = [Page(port, stored.name(1, len(idle) + n)) for n in range(AT_A_TIME)]
                await asyncio.gather(*(page.open() for page in more))
                idle += more
                await asyncio.sleep(AT_A_TIME / PAGES_PER_SECOND)
            await asyncio.sleep(SETTLE)
            found[str(count)] = [await running.window(seconds) for _ in range(3)]
    await close(idle, pid)
    return found


async def long_replies(port: int, pid: int, streams: int, places: list[int], length: int) -> dict[str, Any]:
    """CPU time per token (us), from each of these places in the replies on, for so many tokens of each reply."""
    open_sockets = [await Socket(port).connect() for _ in range(streams)]
    for socket in open_sockets:
        socket.say(f"burst {places[-1] + 2 * length}")
    found = {}
    for place in places:
        await _written(open_sockets, place)
        tokens = -_tokens(open_sockets)
        cpu = -cpu_of(pid)
        await _written(open_sockets, place + length)
        tokens += _tokens(open_sockets)
        cpu += cpu_of(pid)
        found[str(place)] = cpu / tokens * 1e6
    await close(open_sockets, pid)
    return found


async def resumes(
    port: int, pid: int, turns: int, first: int, count: int, after: bool, times: int = 1
) -> dict[str, Any]:
    """Bytes and CPU time (ms) of a page that resumes a stored conversation of so many turns.

    `count` of them, one after the other; all of them so many times.
    """
    pages: list[Socket] = []
    cpu = -cpu_of(pid)
    received = 0
    for _ in range(times):
        for number in range(first, first + count):
            page = Page(port, stored.name(turns, number), stored.last_turn(turns) if after else None)
            await page.open()
            received += page.received
            pages.append(page)
    cpu += cpu_of(pid)
    await close(pages, pid)
    return {"cpu": cpu / count / times * 1e3, "bytes": received / count / times}


async def _written(open_sockets: list[Socket], place: int) -> None:
    """Wait until the replies have so many tokens on average."""
    while _tokens(open_sockets) < place * len(open_sockets):
        if any(socket.closed for socket in open_sockets):
            raise TimeoutError
        await asyncio.sleep(LOOK)


def _tokens(open_sockets: list[Socket]) -> int:
    return sum(socket.tokens for socket in open_sockets)


MEASUREMENTS = (beside_idle_pages, long_replies, resumes)
