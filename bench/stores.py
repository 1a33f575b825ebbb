"""`python -m bench.stores`: SQLite against Valkey, with one worker and with two, in turn. Prints a table.

One worker has a core of its own; the load, the fake OpenAI server and Valkey share the other. Two workers
and all the rest share both cores, so what two workers carry is told by the CPU time that a token costs them.
"""

import asyncio
import os
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from bench.harness import Harness
from bench.process import LOAD_CORE, Program, pin
from tests.support.proc import cpu_seconds
from tests.support.valkey import Valkey

ROUNDS = 3
STREAMS = 40
BURSTS = 16
SECONDS = 4

Figures = defaultdict[str, dict[str, list[float]]]


@contextmanager
def store(kind: str) -> Iterator[tuple[str, Valkey | None]]:
    """A new store of this kind: its STORE_URL, and the server if it has one."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        if kind == "SQLite":
            yield f"sqlite:///{folder}/chat.db", None
            return
        with Valkey(Path(folder), appendfsync="everysec") as valkey:
            pin(pid_of(valkey), LOAD_CORE)
            yield valkey.url, valkey


def pid_of(valkey: Valkey) -> int:
    return int(valkey.command("INFO", "server")["process_id"])


def events_of(valkey: Valkey) -> int:
    """How many events it has been given so far."""
    return int(valkey.command("INFO", "commandstats").get("cmdstat_xadd", {"calls": 0})["calls"])


@asynccontextmanager
async def workers(url: str, harnesses: list[Harness]) -> AsyncIterator[list[Program]]:
    """A process of ours for each harness, all of them on one store."""
    settings: dict[str, Any] = {"STORE_URL": url, "MAX_CONNECTIONS": "100000", "MAX_REPLIES": "100000"}
    async with AsyncExitStack() as stack:
        programs = []
        for harness in harnesses:
            openai = f"http://127.0.0.1:{harness.openai_port}/v1"
            program = Program(openai, PYTHONWARNINGS=None, **settings)
            programs.append(await stack.enter_async_context(program))
        if len(programs) > 1:
            for program in programs:
                for thread in os.listdir(f"/proc/{program.pid}/task"):
                    os.sched_setaffinity(int(thread), os.sched_getaffinity(0))
        yield programs


async def measure(name: str, harnesses: list[Harness], programs: list[Program], **wish: float) -> list[dict[str, Any]]:
    """The same measurement of all programs, at the same time; the streams are shared out."""
    wish["streams"] //= len(programs)
    calls = (
        asyncio.to_thread(harness.measure, name, program, **wish)
        for harness, program in zip(harnesses, programs, strict=True)
    )
    return list(await asyncio.gather(*calls))


async def one_round(kind: str, harnesses: list[Harness], found: dict[str, list[float]]) -> None:
    def note(figure: str, value: float) -> None:
        found.setdefault(figure, []).append(value)

    count = len(harnesses)
    with store(kind) as (url, valkey):
        async with workers(url, harnesses) as programs:
            await measure("burst", harnesses, programs, streams=count, seconds=1)
            if count == 1:
                (alone,) = await measure("paced", harnesses, programs, streams=1, seconds=SECONDS)
                note("p50, 1 stream (ms)", alone["p50"])
                note("p99, 1 stream (ms)", alone["p99"])
            events = events_of(valkey) if valkey else 0
            cpu = cpu_seconds(pid_of(valkey)) if valkey else 0
            many = await measure("paced", harnesses, programs, streams=STREAMS, seconds=SECONDS)
            note(f"CPU per token, {STREAMS} streams (us)", sum(each["cpu"] for each in many) / count)
            note(f"p50, {STREAMS} streams (ms)", max(each["p50"] for each in many))
            note(f"p99, {STREAMS} streams (ms)", max(each["p99"] for each in many))
            if valkey:
                spent = cpu_seconds(pid_of(valkey)) - cpu
                note("CPU of Valkey per event (us)", spent / (events_of(valkey) - events) * 1e6)
            bursts = await measure("burst", harnesses, programs, streams=BURSTS, seconds=2)
            note(f"burst, {BURSTS} streams (tokens/s)", sum(each["rate"] for each in bursts))


async def main() -> None:
    found: Figures = defaultdict(dict)
    with Harness() as one, Harness() as two:
        for _ in range(ROUNDS):
            for kind in ("SQLite", "Valkey"):
                for harnesses in ([one], [one, two]):
                    await one_round(kind, harnesses, found[f"{kind}, {len(harnesses)}"])
    names = list(found)
    figures = list(dict.fromkeys(figure for each in found.values() for figure in each))
    print(f"| store, workers | {' | '.join(names)} |\n|---|{'---:|' * len(names)}")
    for figure in figures:
        cells = (f"{median(found[name][figure]):.4g}" if figure in found[name] else "" for name in names)
        print(f"| {figure} | {' | '.join(cells)} |")


if __name__ == "__main__":
    asyncio.run(main())
