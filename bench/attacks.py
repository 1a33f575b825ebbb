"""The attacks, in a process of their own: `python -m bench.attacks A01-32 PORT PID STORE SECONDS`.

It prints "ready", waits for a line, attacks for so long, and prints what is worth a note.
"""

import asyncio
import resource
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import attacks_door as door
from bench import attacks_talk as talk
from bench.attacker import Target

FILE = "/vendor/markdown-it/markdown-it.esm.min.mjs.map"
GZIP = "Accept-Encoding: gzip\r\n"


@dataclass(frozen=True)
class Attack:
    """`run` returns what is worth a note."""

    what: str
    run: Callable[[Target], Awaitable[str]]


async def quiet(target: Target) -> str:
    await target.begin()
    await asyncio.sleep(target.seconds)
    return ""


def frames(what: str, sockets: int, data: bytes, first: bytes = b"") -> Attack:
    return Attack(what, partial(door.frames, sockets=sockets, data=data, first=first))


def flood(what: str, name: str) -> Attack:
    return Attack(f"4 replies: {what}", partial(talk.flooding_model, name=name))


ATTACKS = {
    "quiet": Attack("nothing else", quiet),
    "A01-4": frames("4 sockets send `stop` as fast as they can, and come again", 4, door.STOP),
    "A01-32": frames("32 sockets do", 32, door.STOP),
    "A01-100": frames("100 sockets do", 100, door.STOP),
    "A01-pings": frames("32 sockets send pings", 32, door.PINGS),
    "A01-fragments": frames("32 sockets send empty fragments", 32, door.FRAGMENT, door.BEGUN),
    "A02-repeats": Attack("8 sockets repeat a message of 64 kB", door.repeats),
    "A02-resumes": Attack("8 at a time resume new ids", door.newcomers),
    "A02-404s": Attack("16 connections ask for what is not there", partial(door.requests, path="/nothing")),
    "A02-files": Attack("16 connections fetch a file of 450 kB", partial(door.requests, path=FILE)),
    "A02-gzip": Attack("the same, compressed", partial(door.requests, path=FILE, headers=GZIP)),
    "A03-again": Attack("a full conversation is resumed again and again", partial(talk.readers, at_a_time=1)),
    "A03-slow": Attack("by 12 that read 2 kB/s", partial(talk.readers, at_a_time=12, bytes_per_second=2000)),
    "A03-walks": Attack("8 read it back to its first turn", talk.walks),
    "A04": Attack("one turn is edited 800 times", talk.edits),
    "A05": Attack("1,100 questions to a model that hangs, each left at once", talk.hangs),
    "A06": Attack("1,000 WebSockets that say nothing", door.silent_sockets),
    "A07-silent": Attack("1,500 TCP connections that say nothing", partial(door.half_requests, sent=b"")),
    "A07-half": Attack("1,500 with half a request", partial(door.half_requests, sent=door.HALF_A_REQUEST)),
    "A08": Attack("16 connections with forged addresses", door.forged_addresses),
    "A09-large": Attack("8 sockets send frames of 8 MB", partial(door.large_frames, deflated=False)),
    "A09-bomb": Attack("8 sockets send such frames, deflated 1,000 to 1", partial(door.large_frames, deflated=True)),
    "U55": flood("data lines without an event", "U55"),
    "U55-line": flood("one line without an end", "U55-line"),
    "U56": flood("an error without an end", "U56"),
    "U57": flood("gzip, 1,000 to 1", "U57"),
    "U58-large": flood("events of 4 MB", "U58-large"),
    "U58-empty": flood("empty events without end", "U58-empty"),
    "U58-comments": flood("comments without end", "U58-comments"),
}


async def main(name: str, port: str, pid: str, store: str, seconds: str) -> None:
    print(await ATTACKS[name].run(Target(int(port), int(pid), Path(store), float(seconds))))


if __name__ == "__main__":
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(main(*sys.argv[1:]))
