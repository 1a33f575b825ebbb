"""The tables, and docs/benchmarks.md around them."""

import os
import platform
import re
import sqlite3
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from bench.growth import LONG_STREAMS, SECONDS
from bench.rounds import HARNESS_STREAMS, ROUNDS, Results
from bench.rows import Row, growth, number, speed
from bench.slow_disk import SYNC_MS

PACKAGES = ("fastapi", "starlette", "uvicorn", "websockets", "openai", "aiohttp")


# Begins what bench.stores and bench.crowd have measured.
OTHERS = "## Stores and workers"

# The names of the two columns that are compared.
SPEED_COLUMNS = ("naive", "ours")
GROWTH_COLUMNS = ("without", "with")
PAGE_COLUMNS = ("obvious", "ours")

TEXT = """# Benchmarks

`make bench` writes this file. Absolute times vary by machine: take the ratios. A figure is the median of {rounds}
rounds, in which the programs take turns; the least and the most of them are in brackets.

## Against the program that one writes first

{speed}

![Latency added to a token against the number of streams](benchmarks.svg)

{limit}

## What must not grow, and what must

{growth}

{missing}## The page

{page}

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
- *CPU per message*: one question after the other, each with a reply of one token; clean-up after the reply included.
- *Memory per idle connection*: what 500 connections add to the RSS. *After 500 turns*: what it has grown by since turn
  100, all connections closed.
- *Start-up*: not bound to a core, files in the page cache.
- *Ratio*: ours divided by the other. A target with an "x" is for the ratio, the others are for our figure.

In the second table both columns are ours, measured in the same way: *without* much of something and *with* it.

- *Idle pages* have resumed a conversation with one turn. They come little by little while the streams run; nothing is
  measured until all are there. Three windows of {seconds} s each, in one process.
- *A million events*: 5,000 conversations of 100 finished turns are in the file before the server opens it. The server
  with an empty file runs at the same time, idle while the other is measured.
- *A long reply*: {long_streams} replies of 74,000 tokens in bursts; CPU per token from token 1,000 on, and from token
  50,000 on.
- *Checkpoints take 0.5 s*: each `fsync` takes {sync_ms} ms longer (`bench/slow_disk.py`), and a checkpoint needs two.
- *Resume*: pages that open conversations one after the other, the handshake included. With `after` they have
  everything, and the server has to confirm that. After a restart it reads and applies the whole conversation first.
- *Two workers*: `WORKERS=2 python main.py`, not bound to a core. The load takes its part of both cores, so two cannot
  be twice as fast as one.

The page: seconds of the main thread, measured in Chromium. The replies come in chunks of 4 characters; the *obvious*
page draws the whole reply for each. Opening ends when the main thread is quiet.

The harness alone, its client directly at its fake server, reaches {harness_burst} tokens a second in bursts, and with
{harness_streams} paced streams has a p99 of {harness_p99} ms: it is not what limits the figures above.

## Machine and versions

{machine}
"""

# Said below the first table. The parts are those of a profile (py-spy) of the server with 100 paced streams.
LIMIT = """One process stops where its core is full: with {capacity} streams {budget} us are left for a token, of which
reading it from the model (SDK, HTTP transport, JSON) takes a third, the commit that comes before it is shown a quarter,
the conversation and its frames a sixth, and the event loop, the node and the WebSocket's writes the rest; nothing is
left whose removal would double the capacity. From there on only cores help: `WORKERS=2` shares the pages out to two
processes on one store, and the last two rows of the next table say what that brings."""

NO_COMPILER = "Without a C compiler a slow disk was not simulated.\n\n"


def table(rows: Iterable[Row], other: str, ours: str) -> str:
    lines = [f"| figure | {other} | {ours} | ratio | target | holds |", "|---|---:|---:|---:|---|---|"]
    lines += ["| " + " | ".join(row.cells) + " |" for row in rows]
    return "\n".join(lines)


def tables(results: Results, page: list[Row]) -> dict[str, str]:
    return {
        "speed": table(speed(results), *SPEED_COLUMNS),
        "growth": table(growth(results), *GROWTH_COLUMNS),
        "page": table(page, *PAGE_COLUMNS) if page else "Without Chromium the page was not measured.",
    }


def write(folder: Path, results: Results, tables: dict[str, str]) -> None:
    """Write benchmarks.md; what other measurements have found stays at its end."""
    path = folder / "benchmarks.md"
    _, heading, others = path.read_text().partition(OTHERS)
    capacity = results.figure("ours", "capacity")[0]
    text = TEXT.format(
        **tables,
        rounds=ROUNDS,
        limit=LIMIT.format(capacity=number(capacity), budget=number(1e6 / (capacity * 50))),
        missing="" if results.figure("grown", "p99_slow_disk") else NO_COMPILER,
        seconds=SECONDS,
        long_streams=LONG_STREAMS,
        sync_ms=SYNC_MS,
        harness_burst=number(results.figure("harness", "burst")[0]),
        harness_streams=HARNESS_STREAMS,
        harness_p99=number(results.figure("harness", "p99")[0]),
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
