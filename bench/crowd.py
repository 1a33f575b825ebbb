"""`python -m bench.crowd restarts 2000 SQLite`: thousands of pages sleep, wake and come back; a victim reads on.

restarts   one server; it is restarted with SIGTERM, and later killed and started again, on the same port
move       two workers on one store; all pages are on the first, which gets SIGTERM, the victim is on the second

A page in a hundred reads replies, one after the other. Each page's lid is closed now and then (bench/pages.py). With
`restarts` the victim is on the server too: it comes back like the others, and what counts is how late its tokens are
while it has a socket, and how long it had none. Prints what was found; `restarts` also draws docs/crowd.svg.
"""

import asyncio
import json
import resource
import sys
import time
from contextlib import AsyncExitStack
from typing import Any

from bench import crowd_plot
from bench.crowd_report import CPU_SECONDS, Fault, Found, table
from bench.harness import Harness
from bench.process import Program
from bench.stores import store
from tests.support.proc import cpu_seconds
from tests.support.server import ROOT

# Seconds with nothing but lids, and seconds after each fault.
CALM = 8.0
AFTER = 16.0

DEFAULTS = ("restarts", "2000", "SQLite")


class Watched:
    """A process of bench.pages. It is ready when this is made; `finish()` returns what it saw."""

    def __init__(self, harness: Harness, *arguments: object) -> None:
        self._process = harness.start("bench.pages", *map(str, arguments))
        assert self._process.stdin
        assert self._process.stdout
        self.pid = self._process.pid
        line = self._process.stdout.readline()
        assert line == "ready\n", line

    def finish(self) -> dict[str, Any]:
        found, _ = self._process.communicate("\n")
        return dict(json.loads(found))


async def measure(harness: Harness, scenario: str, pages: int, kind: str) -> Found:
    openai = f"http://127.0.0.1:{harness.openai_port}/v1"
    async with AsyncExitStack() as stack:
        url, _ = stack.enter_context(store(kind))
        settings: dict[str, Any] = {"STORE_URL": url, "MAX_CONNECTIONS": "100000", "PYTHONWARNINGS": None}
        first = await stack.enter_async_context(Program(openai, **settings))
        second = first
        if scenario == "move":
            second = await stack.enter_async_context(Program(openai, **settings))
        crowd = await asyncio.to_thread(Watched, harness, pages, first.port, second.port)
        victim = await asyncio.to_thread(Watched, harness, "victim", second.port)
        began = time.monotonic()
        await asyncio.sleep(CALM)
        load = [crowd.pid, victim.pid, harness.openai_pid]
        faults = [await move(first, second, load)] if scenario == "move" else await restarts(first, load)
        return Found(pages, began, time.monotonic(), faults, await asyncio.to_thread(crowd.finish), victim.finish())


async def move(first: Program, second: Program, load: list[int]) -> Fault:
    """The other worker is there all the time. The first one goes when its sockets are closed."""
    fault = Fault("SIGTERM", time.monotonic())
    first.terminate()
    fault.ready_at = fault.at
    await watch(fault, second, load)
    await first.stopped()
    return fault


async def restarts(server: Program, load: list[int]) -> list[Fault]:
    faults = []
    for name, signal in (("SIGTERM", server.terminate), ("kill -9", server.kill)):
        fault = Fault(name, time.monotonic())
        signal()
        await server.stopped(60)
        await server.__aenter__()
        fault.ready_at = time.monotonic()
        await watch(fault, server, load)
        faults.append(fault)
    return faults


async def watch(fault: Fault, server: Program, load: list[int]) -> None:
    """Wait until all should be back, and note how busy the server and the load are at first."""
    server_cpu = -cpu_seconds(server.pid)
    load_cpu = -sum(map(cpu_seconds, load))
    await asyncio.sleep(CPU_SECONDS)
    fault.server_share = (server_cpu + cpu_seconds(server.pid)) / CPU_SECONDS
    fault.load_share = (load_cpu + sum(map(cpu_seconds, load))) / CPU_SECONDS
    await asyncio.sleep(AFTER - CPU_SECONDS)


def main() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    scenario, pages, kind = (*sys.argv[1:], *DEFAULTS[len(sys.argv) - 1 :])
    with Harness() as harness:
        found = asyncio.run(measure(harness, scenario, int(pages), kind))
    print(f"{scenario}, {pages} pages, {kind}")
    print(table(found))
    if scenario == "restarts":
        crowd_plot.write(ROOT / "docs", found)


if __name__ == "__main__":
    main()
