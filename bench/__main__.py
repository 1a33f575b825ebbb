"""`python -m bench`: measures the naive program and ours in turn, and writes docs/benchmarks.md. Linux, 5 minutes."""

import asyncio
import os
import resource
import sys
import time
from pathlib import Path

if not Path("/proc/self/stat").exists():
    sys.exit("The measurements read /proc: they need Linux.")

from bench import plot, report
from bench.harness import Harness
from bench.process import LOAD_CORE, SERVER_CORE
from bench.rounds import measure_all
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
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # for hundreds of connections
    say("the page")
    rows = page_rows()
    with Harness() as harness:
        results = asyncio.run(measure_all(harness, say))
    rows = report.rows(results) + rows
    docs = ROOT / "docs"
    docs.mkdir(exist_ok=True)
    report.write(docs, results, rows)
    plot.write(docs, results)
    print(report.table(rows))
    say("written: docs/benchmarks.md, docs/benchmarks.svg")


def page_rows() -> list[report.Row]:
    """What bench.page measures; nothing where there is no browser."""
    try:
        from bench import page

        return asyncio.run(page.measure())
    except (ImportError, SystemExit) as missing:
        print(f"without the page: {missing}", file=sys.stderr)
        return []


if __name__ == "__main__":
    main()
