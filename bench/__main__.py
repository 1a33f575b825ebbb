"""`python -m bench`: measures the naive program and ours in turn, and writes docs/benchmarks.md. Linux, 5 minutes."""

import asyncio
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

if not Path("/proc/self/stat").exists():
    sys.exit("The measurements read /proc: they need Linux.")

from bench import plot, report
from bench.growth import measure_growth
from bench.harness import Harness
from bench.process import LOAD_CORE, SERVER_CORE
from bench.rounds import Results, measure_memory, measure_speed
from bench.rows import Row
from tests.support.server import ROOT


def main() -> None:
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:4.0f} s  {text}", file=sys.stderr)

    if SERVER_CORE == LOAD_CORE:
        say("only one core: the load takes from the server")
    if os.getloadavg()[0] > 0.7:
        say(f"this machine is busy (load {os.getloadavg()[0]:.1f}): the figures will be worse than they are")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    # For thousands of connections.
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with Harness() as harness:
        results, rows = asyncio.run(measure(harness, say))
    tables = report.tables(results, rows)
    docs = ROOT / "docs"
    report.write(docs, results, tables)
    plot.write(docs, results)
    print("\n\n".join(tables.values()))
    say("written: docs/benchmarks.md, docs/benchmarks.svg")


async def measure(harness: Harness, say: Callable[[str], None]) -> tuple[Results, list[Row]]:
    results = Results()
    say("the page and, beside it, memory: neither depends on the time that the other takes")
    page = asyncio.create_task(asyncio.to_thread(page_rows))
    # So that the thread begins.
    await asyncio.sleep(0)
    await measure_memory(harness, results)
    rows = await page
    await measure_speed(harness, results, say)
    await measure_growth(harness, results, say)
    return results, rows


def page_rows() -> list[Row]:
    """What bench.page measures; nothing where there is no browser."""
    try:
        from bench import page

        return asyncio.run(page.measure())
    except (ImportError, SystemExit) as missing:
        print(f"without the page: {missing}", file=sys.stderr)
        return []


if __name__ == "__main__":
    main()
