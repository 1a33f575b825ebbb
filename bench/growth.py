"""What must not grow, however much there is: pages, events, chunks, turns. And what must: two workers against one."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import slow_disk, stored
from bench.harness import Harness
from bench.process import Program, Roaming
from bench.rounds import ROUNDS, STREAMS, Results, capacity

SECONDS = 1.5

# Idle pages beside the streams.
PAGES = [0, 1000, 5000]

# Places in a long reply, in tokens, and how many tokens are measured from there on.
PLACES = [1000, 50_000]
LENGTH = 12_000
LONG_STREAMS = 8

# Conversations of a hundred turns, which have two events each: a million.
MANY = 5000
TURNS = 100

# A short and a long conversation, in turns, and how many of them are resumed in each round.
SHORT, LONG = 10, 1000
RESUMES = {SHORT: 60, LONG: 8}
# How many when they are in memory.
AGAIN = 120

# Seconds on a slow disk, three times: a checkpoint takes half a second.
SLOW_SECONDS = 2

# Tokens.
LONGEST = 400_000

# Each takes 20 s.
CAPACITY_ROUNDS = 1


async def measure_growth(harness: Harness, results: Results, say: Callable[[str], None]) -> None:
    """Fills in `results.values["plain"]` and `["grown"]`, under the same names."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        say("idle pages")
        await _idle_pages(harness, results, folder)
        say("long replies")
        await _long_replies(harness, results)
        say("a million events")
        await _many_events(harness, results, folder)
        say("long conversations")
        await _resumes(harness, results, folder)
        say("a slow disk")
        await _slow_disk(harness, results, folder)
        say("two workers")
        await _workers(harness, results)


def program(harness: Harness, kind: type[Program] = Program, file: Path | None = None, **settings: str) -> Program:
    """The server, with whatever is in this file."""
    url = f"http://127.0.0.1:{harness.openai_port}/v1"
    settings |= {"MAX_CONNECTIONS": "100000", "MAX_REPLIES": "100000"}
    if file:
        settings["STORE_URL"] = f"sqlite:///{file}"
    return kind(url, PYTHONWARNINGS=None, **settings)  # type: ignore[arg-type]


def _note(results: Results, name: str, plain: float | None, grown: float) -> None:
    if plain is not None:
        results.values["plain"][name].append(plain)
    results.values["grown"][name].append(grown)


async def _idle_pages(harness: Harness, results: Results, folder: Path) -> None:
    file = folder / "pages.db"
    stored.write(file, PAGES[-1], 1)
    async with program(harness, file=file) as server:
        wish = {"streams": STREAMS, "pages": PAGES, "seconds": SECONDS}
        found = harness.measure("beside_idle_pages", server, **wish)
    for count in PAGES[1:]:
        for alone, beside in zip(found["0"], found[str(count)], strict=True):
            for figure in ("p99", "cpu"):
                _note(results, f"{figure}_{count}_pages", alone[figure], beside[figure])


async def _long_replies(harness: Harness, results: Results) -> None:
    async with program(harness, MAX_REPLY_CHARS="10000000", MAX_CONVERSATION_CHARS="100000000") as server:
        for _ in range(ROUNDS):
            found = harness.measure("long_replies", server, streams=LONG_STREAMS, places=PLACES, length=LENGTH)
            _note(results, "cpu_long_reply", *(found[str(place)] for place in PLACES))


async def _many_events(harness: Harness, results: Results, folder: Path) -> None:
    file = folder / "many.db"
    stored.write(file, MANY, TURNS)
    async with program(harness) as plain, program(harness, file=file) as full:
        for _ in range(ROUNDS):
            wish = {"streams": STREAMS, "seconds": SECONDS}
            cpu = [harness.measure("paced", each, **wish)["cpu"] for each in (plain, full)]
            _note(results, "cpu_many_events", *cpu)


async def _resumes(harness: Harness, results: Results, folder: Path) -> None:
    file = folder / "long.db"
    for turns, count in RESUMES.items():
        stored.write(file, 2 * ROUNDS * count, turns)
    async with program(harness, file=file) as server:
        # What is made with the first conversation has been made.
        harness.measure("turns", server, turns=10)
        for number in range(2 * ROUNDS):
            # Others each time: a server that has just had a conversation need not read it again.
            is_continued = number < ROUNDS
            short, long = (
                harness.measure("resumes", server, turns=turns, first=number * count, count=count, after=is_continued)
                for turns, count in RESUMES.items()
            )
            name = "after" if is_continued else "fresh"
            _note(results, f"resume_{name}_cpu", short["cpu"], long["cpu"])
            _note(results, f"resume_{name}_kib", short["bytes"] / 1024, long["bytes"] / 1024)
            # Now it has them in memory.
            if is_continued:
                short, long = (
                    harness.measure(
                        "resumes",
                        server,
                        turns=turns,
                        first=number * count,
                        count=count,
                        after=True,
                        times=AGAIN // count,
                    )
                    for turns, count in RESUMES.items()
                )
                _note(results, "resume_again_cpu", short["cpu"], long["cpu"])


async def _slow_disk(harness: Harness, results: Results, folder: Path) -> None:
    library = slow_disk.library(folder)
    if not library:
        return
    async with program(harness, LD_PRELOAD=str(library)) as server:
        wish = {"streams": STREAMS, "pages": [0], "seconds": SLOW_SECONDS}
        for window in harness.measure("beside_idle_pages", server, **wish)["0"]:
            _note(results, "p99_slow_disk", None, window["p99"])


async def _workers(harness: Harness, results: Results) -> None:
    for number in range(ROUNDS):
        for workers, side in (("1", "plain"), ("2", "grown")):
            # By chance a worker has few of the streams: they must not end before the others.
            async with program(harness, Roaming, WORKERS=workers, MAX_REPLY_CHARS="10000000") as server:
                rate = harness.measure("burst", server, streams=16, seconds=1.5, tokens=LONGEST)["rate"]
                results.values[side]["burst"].append(rate)
                if number < CAPACITY_ROUNDS:
                    capacity(harness, results, side, server)
