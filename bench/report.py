"""The table with its targets, and docs/benchmarks.md around it."""

import os
import platform
import re
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from bench.rounds import ROUNDS, Results

PACKAGES = ("fastapi", "starlette", "uvicorn", "websockets", "openai", "aiohttp")


@dataclass(frozen=True)
class Row:
    """A figure. The target: `least` and `most` bound ours, `times` and `share` bound ours divided by naive."""

    name: str
    title: str
    unit: str = ""
    least: float | None = None
    most: float | None = None
    times: float | None = None
    share: float | None = None
    naive: float | None = None
    ours: float | None = None

    @property
    def ratio(self) -> float | None:
        return self.ours / self.naive if self.ours is not None and self.naive else None

    @property
    def target(self) -> str:
        bounds = (
            (self.least, f">= {self.least}{self.unit}"),
            (self.most, f"<= {self.most}{self.unit}"),
            (self.times, f">= {self.times} x naive"),
            (self.share, f"<= {self.share} x naive"),
        )
        return ", ".join(text for bound, text in bounds if bound is not None)

    @property
    def verdict(self) -> str:
        if not self.target or self.ours is None:
            return ""
        missed = (
            (self.least is not None and self.ours < self.least)
            or (self.most is not None and self.ours > self.most)
            or (self.times is not None and self.ratio is not None and self.ratio < self.times)
            or (self.share is not None and self.ratio is not None and self.ratio > self.share)
        )
        return "**no**" if missed else "yes"


ROWS = (
    Row("capacity", "capacity: paced streams until p99 of the added latency passes 50 ms", least=100, times=25),
    Row("cpu_40", "CPU per token, 40 paced streams", " us", share=0.45),
    Row("burst", "burst, 16 streams: tokens per second", times=10),
    Row("p50_1", "latency added to a token, 1 stream: p50", " ms", most=2),
    Row("p99_1", "latency added to a token, 1 stream: p99", " ms", most=10),
    Row("first", "latency added to the first token, 1 stream", " ms", most=5, share=0.2),
    Row("p50_40", "latency added to a token, 40 paced streams: p50", " ms"),
    Row("p99_40", "latency added to a token, 40 paced streams: p99", " ms"),
    Row("first_40", "latency added to the first token, 40 paced streams", " ms"),
    Row("idle", "memory per idle connection: nothing said yet", " KiB", most=40),
    Row("idle_resuming", "memory per idle connection: of a page, conversation begun", " KiB", most=40),
    Row("idle_after", "memory per idle connection: after one reply", " KiB"),
    Row("turns_memory", "memory after 500 turns: more than before", " KiB", most=1024),
    Row("turns_sockets", "sockets after 500 turns: more than before", most=0),
    Row("start", "start-up to the first HTTP 200, with a key", " s", most=1),
    Row("start_local", "start-up to the first HTTP 200, with the model on this machine", " s", most=4),
)

# Begins what bench.stores and bench.crowd have measured.
OTHERS = "## Stores and workers"

TEXT = """# Benchmarks

`make bench` writes this file. Absolute times vary by machine: take the ratios.

{table}

![Latency added to a token against the number of streams](benchmarks.svg)

## What is compared

*Naive* is the program that one writes first (`bench/naive.py`): a new `AsyncOpenAI` for each message, the SDK's typed
chunks, `send_text(json.dumps(...))` in the loop that receives, plain `uvicorn`. *Ours* is `python main.py` as it is,
with each token in the log before it is shown.

Both talk to a fake OpenAI server (`bench/fake_openai.py`) that writes one token per server-sent event, and are asked by
a load client (`bench/load.py`) that speaks WebSocket by hand and offers compression as browsers do. The server has one
core, these two share another. A token holds the time at which it left the fake server; what is missing to the time at
which the client has it is the *added latency*.

- *Paced*: 50 tokens a second per stream, spread evenly. A reply has 100 tokens; then the stream asks again at once.
- *Burst*: tokens come as fast as the server takes them.
- *Capacity*: the highest number of paced streams with a p99 of the added latency of at most 50 ms, in steps of a fifth.
- *First token*: from sending the message to its first token; the fake server sends that at once.
- *Memory per idle connection*: what 500 connections add to the RSS. *After 500 turns*: what it has grown by since turn
  100, all connections closed.
- *Start-up*: not bound to a core, files in the page cache.
- *The page*: seconds of the main thread for one reply in chunks of 4 characters; naive draws the whole reply for each.

Speeds are medians of {rounds} rounds, in which the programs take turns.

The harness alone, its client directly at its fake server, reaches {harness_burst} tokens a second in bursts and
carries {harness_capacity} paced streams: it is not what limits the figures above.

## Machine and versions

{machine}
"""


def rows(results: Results) -> list[Row]:
    """The figures of the servers."""
    figure = results.figure
    filled = [replace(row, naive=figure("naive", row.name), ours=figure("ours", row.name)) for row in ROWS]
    return [row for row in filled if row.ours is not None]


def table(rows: Iterable[Row]) -> str:
    lines = ["| figure | naive | ours | ours / naive | target | holds |", "|---|---:|---:|---:|---|---|"]
    for row in rows:
        cells = (row.title, _text(row.naive, row.unit), _text(row.ours, row.unit), _text(row.ratio))
        lines.append("| " + " | ".join((*cells, row.target, row.verdict)) + " |")
    return "\n".join(lines)


def write(folder: Path, results: Results, rows: list[Row]) -> None:
    """Write benchmarks.md; what other measurements have found stays at its end."""
    path = folder / "benchmarks.md"
    _, heading, others = path.read_text().partition(OTHERS)
    text = TEXT.format(
        table=table(rows),
        rounds=ROUNDS,
        harness_burst=_text(results.figure("harness", "burst")),
        harness_capacity=_text(results.figure("harness", "capacity")),
        machine=machine(),
    )
    path.write_text(text.rstrip() + "\n\n" + heading + others)


def machine() -> str:
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    assert memory
    cores = f"{os.cpu_count()} cores ({model[1].strip() if model else platform.machine()})"
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    return (
        f"{cores}, {int(memory[1]) / 2**20:.0f} GiB of memory, {platform.system()}.\n\n"
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {versions}."
    )


def _text(value: float | None, unit: str = "") -> str:
    if value is None:
        return ""
    return (f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}") + unit
