"""`python -m bench.deploys [SQLite|Valkey]`: ten deploys by SIGHUP, then three dead workers, under load. 4 minutes.

Two workers behind one address; 40 pages read one reply after the other, and 500 are open. Each token has the time at
which it left the model: its latency counts wherever the page was meanwhile. A reply that is `done` with a token too
few, or that has one twice, fails the run, and so does a text that was shown and is gone.
"""

import asyncio
import json
import os
import random
import resource
import secrets
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from bench.harness import Harness
from bench.process import Program
from bench.stores import store
from bench.websocket import STAMP, Failed, Socket
from tests.support import eventually
from tests.support.frames import TEXT
from tests.support.proc import children

READERS = 40
OPEN = 500
DEPLOYS = 10
DEATHS = 3
TOKENS = 100
# Seconds.
CALM = 2.0
LIMIT = 60.0
# Seconds, as in static/chat/connection.js.
FIRST_WAIT = 0.5
READER_WAIT = 0.1
RESTART_WAIT = 5.0
RESTARTING = 1012


@dataclass
class Run:
    """What the pages saw. Latencies are in ns."""

    latencies: list[int] = field(default_factory=list)
    replies: int = 0
    interrupted: int = 0
    losses: int = 0
    over: bool = False


class Link(Socket):
    """A socket whose frames are `page`'s."""

    close_code = 0

    def __init__(self, page: "Page") -> None:
        super().__init__(page.port)
        self._page = page

    def _take(self, first: int, payload: bytes, now: int) -> None:
        if first & 0xF == 8:
            self.close_code = int.from_bytes(payload[:2])
            self._transport.close()
        elif first & 0xF == TEXT:
            self._page.read(json.loads(payload), now)
            self.changed.set()
        else:
            super()._take(first, payload, now)


class Page:
    """A page that comes back after each loss, and asks one question after the other if it `asks`."""

    def __init__(self, port: int, run: Run, *, asks: bool) -> None:
        self.port = port
        self.is_open = False
        self._run = run
        self._asks = asks
        self._conversation: str | None = None
        self._turn: dict[str, Any] = {}
        # When the newest token that it has shown left the model.
        self._shown = 0

    async def live(self) -> None:
        failures = 0
        while not self._run.over:
            self.is_open = False
            link = Link(self)
            with suppress(Failed, OSError):
                await link.connect()
                link.send({"type": "resume", "conversation": self._conversation})
                await link.until(lambda: self.is_open)
                failures = 0
                await self._ask(link)
            if self._run.over:
                break
            self._run.losses += 1
            longest = FIRST_WAIT * 2**failures
            if link.close_code == RESTARTING:
                longest = READER_WAIT if self._asks else RESTART_WAIT
            failures += 1
            await asyncio.sleep(random.random() * longest)

    async def _ask(self, link: Link) -> None:
        """Ask until the link breaks or the run is over. A question that is not there is sent again."""
        while self._asks:
            if self._turn.get("status") not in (None, "open", "asked"):
                self._check()
                if self._run.over:
                    return
                self._turn = {}
            if not self._turn:
                self._turn = {"id": secrets.token_urlsafe(8), "answer": "", "status": "asked"}
            if self._turn["status"] == "asked":
                link.send({"type": "message", "id": self._turn["id"], "content": f"paced {TOKENS}"})
            await link.until(lambda: self._turn["status"] not in ("open", "asked"))
        await link.until(lambda: self._run.over)

    def _check(self) -> None:
        stamps = STAMP.findall(self._turn["answer"].encode())
        assert len(set(stamps)) == len(stamps), "a token came twice"
        assert stamps == sorted(stamps)
        if self._turn["status"] == "interrupted":
            self._run.interrupted += 1
        else:
            assert (self._turn["status"], len(stamps)) == ("done", TOKENS), self._turn
            self._run.replies += 1

    def read(self, frame: dict[str, Any], now: int) -> None:
        match frame["type"]:
            case "conversation":
                self._conversation = frame["id"]
            case "history":
                self.is_open = True
                for turn in frame["turns"]:
                    if turn["id"] == self._turn.get("id"):
                        assert turn["answer"].startswith(self._turn["answer"]), "what was shown is gone"
                        self._turn = turn
                        self._note(turn["answer"], now)
            case "start":
                self._turn["status"] = "open"
            case "chunk":
                self._turn["answer"] += frame["content"]
                self._note(frame["content"], now)
            case "end":
                self._turn["status"] = frame["status"]

    def _note(self, text: str, now: int) -> None:
        for stamp in map(int, STAMP.findall(text.encode())):
            if stamp > self._shown:
                self._shown = stamp
                self._run.latencies.append(now - stamp)


class Pages:
    """All pages, in a process of their own. Prints its figures as JSON for each line that it gets."""

    def __init__(self, port: int) -> None:
        self._run = Run()
        self._pages = [Page(port, self._run, asks=number < READERS) for number in range(READERS + OPEN)]

    async def live(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            living = []
            for page in self._pages:
                living.append(tasks.create_task(page.live()))
                await asyncio.sleep(0.01)
            while not self._run.over:
                line = await asyncio.to_thread(sys.stdin.readline)
                self._run.over = line == "over\n"
                if self._run.over:
                    await asyncio.wait(living[:READERS])
                print(json.dumps(asdict(self._run)), flush=True)
                self._run.latencies = []
            for task in living[READERS:]:
                task.cancel()


async def measure(harness: Harness, kind: str) -> None:
    with store(kind) as (url, _):
        openai = f"http://127.0.0.1:{harness.openai_port}/v1"
        settings: dict[str, Any] = {"STORE_URL": url, "WORKERS": "2", "MESSAGES_PER_MINUTE": "100000"}
        async with Program(openai, PYTHONWARNINGS=None, **settings) as program:
            await on_all_cores(program)
            pages = harness.start("bench.deploys", "pages", str(program.port))

            async def ask(line: str) -> dict[str, Any]:
                return await asyncio.to_thread(ask_pages, pages, line)

            await asyncio.sleep((READERS + OPEN) * 0.01 + CALM)
            await ask("begin")
            await asyncio.sleep(5 * CALM)
            report("without a deploy", await ask("next"))
            took = []
            for number in range(1, DEPLOYS + 1):
                began = time.monotonic()
                os.kill(program.pid, signal.SIGHUP)
                assert await eventually(lambda: program.log.count("All workers are new") == number, LIMIT)  # noqa: B023
                took.append(time.monotonic() - began)
                await asyncio.sleep(CALM)
            report(f"{DEPLOYS} deploys, each {median(took):.1f} s (at most {max(took):.1f} s)", await ask("next"))
            took = []
            for _ in range(DEATHS):
                started = program.log.count("startup complete")
                began = time.monotonic()
                os.kill(children(program.pid)[0], signal.SIGKILL)
                assert await eventually(lambda: program.log.count("startup complete") > started, LIMIT)  # noqa: B023
                took.append(time.monotonic() - began)
                await asyncio.sleep(5 * CALM)
            report(f"{DEATHS} dead workers, replaced after {max(took):.2f} s at most", await ask("over"))
            assert await asyncio.to_thread(pages.wait, LIMIT) == 0


def ask_pages(pages: subprocess.Popen[str], line: str) -> dict[str, Any]:
    """What the pages saw since they were last asked; "over" lets their last replies end."""
    assert pages.stdin
    assert pages.stdout
    pages.stdin.write(line + "\n")
    pages.stdin.flush()
    found: dict[str, Any] = json.loads(pages.stdout.readline())
    return found


async def on_all_cores(program: Program) -> None:
    """Wait until both workers serve, and let them and the supervisor use all cores."""
    assert await eventually(lambda: "Pocket Chat: " in program.log, LIMIT)
    for pid in (program.pid, *children(program.pid)):
        for thread in os.listdir(f"/proc/{pid}/task"):
            os.sched_setaffinity(int(thread), range(os.cpu_count() or 1))


def report(title: str, found: dict[str, Any]) -> None:
    latencies = sorted(found.pop("latencies"))
    ranks = {"p50": 0.5, "p99": 0.99, "worst": 1 - 1e-9}
    shown = ", ".join(f"{name} {latencies[int(len(latencies) * rank)] / 1e6:.0f} ms" for name, rank in ranks.items())
    seen = f"{found['replies']} replies, {found['interrupted']} interrupted, {found['losses']} lost sockets"
    print(f"{title}: {len(latencies)} tokens, {shown}; so far {seen}", flush=True)


def main() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if sys.argv[1:2] == ["pages"]:
        asyncio.run(Pages(int(sys.argv[2])).live())
        return
    with Harness() as harness:
        asyncio.run(measure(harness, (*sys.argv[1:], "SQLite")[0]))


if __name__ == "__main__":
    main()
