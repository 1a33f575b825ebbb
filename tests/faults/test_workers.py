"""Several workers behind one address (WORKERS=2): L12-L17 of the fault list."""

import asyncio
import os
import signal
import socket
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.support import DidNotStart, FakeOpenAI, Server, echo, eventually
from tests.support.proc import children, descriptors
from tests.support.resuming import Tab, on_sqlite, tabs
from tests.support.returning import Returning
from tests.support.server import ROOT
from tests.support.telling import begin, questions, telling, text

START = 20.0  # seconds for workers to start, and to leave
# A dead worker's lease expires after this time. Nobody has to wait for that: the supervisor knows of the death.
LEASE = 20.0
SOON = LEASE / 2
PIECES = 40
PACE = 0.05
PAGES = 8
MANY = 48
READY = "Pocket Chat: http://127.0.0.1"


class Workers(Server):
    """`async with Workers(openai.url) as server`: returns when both workers serve. `pids` are theirs."""

    def __init__(self, base_url: str | None, **options: Any) -> None:
        super().__init__(base_url, WORKERS="2", LEASE_SECONDS=str(LEASE), **options)

    @property
    def pids(self) -> list[int]:
        return children(self.pid)

    async def says(self, line: str, times: int = 1) -> None:
        """Wait until its log has this line so many times."""
        assert await eventually(lambda: self.log.count(line) >= times, START), self.log

    async def renewed(self) -> None:
        """Send SIGHUP, and wait until all workers are new."""
        os.kill(self.pid, signal.SIGHUP)
        await self.says("All workers are new.")


def runs(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def test_connections_are_shared_out_to_all_workers(openai: FakeOpenAI) -> None:
    async with Workers(openai.url) as server:
        await server.says(READY)
        before = {pid: descriptors(pid, "socket:") for pid in server.pids}
        async with tabs(server, [None] * MANY):
            # By chance one of them has fewer in one of a million runs.
            assert all(descriptors(pid, "socket:") - before[pid] >= MANY // 8 for pid in before)


async def test_an_address_that_is_taken_is_not_shared(openai: FakeOpenAI) -> None:
    async with Workers(openai.url) as server:
        await server.says(READY)
        for workers in ("1", "2"):
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "main.py",
                cwd=ROOT,
                env=server.environment | {"WORKERS": workers},
                stderr=asyncio.subprocess.PIPE,
            )
            async with asyncio.timeout(START):
                _, error = await process.communicate()
            assert process.returncode == 1
            assert b"Cannot start" in error


@on_sqlite
async def test_L12_a_dead_worker_is_replaced_and_its_replies_end(openai: FakeOpenAI, store: str) -> None:
    async with Workers(openai.url, STORE_URL=store) as server:
        await server.says(READY)
        both = server.pids
        idle = {pid: descriptors(pid, "socket:") for pid in both}
        async with Tab(server) as tab:
            id, _ = await begin(openai, tab, 5)
            writing = max(both, key=lambda pid: descriptors(pid, "socket:") - idle[pid])
            os.kill(writing, signal.SIGKILL)
            # A connection that it was given in its last moment would be reset.
            assert await eventually(lambda: writing not in server.pids, START)
            async with Tab(server, tab.conversation) as again:
                turn = await again.ended(id, SOON)
                assert (turn.status, turn.answer) == ("interrupted", text(0, 5))
        assert await eventually(lambda: len(server.pids) == 2 and writing not in server.pids, START)
        await server.says("Application startup complete.", times=3)
        openai.answers(echo)
        async with Tab(server) as tab:
            assert (await tab.answered("hi")).whole == "You said: hi"


@on_sqlite
async def test_L13_a_deploy_loses_no_character_of_any_reply(openai: FakeOpenAI, store: str) -> None:
    openai.answers(telling(PIECES, PACE))
    before = len(openai.calls)
    over = asyncio.Event()
    asked: Counter[str] = Counter()

    async def read(page: Returning, number: int) -> None:
        while not over.is_set():
            question = f"Question {asked.total()} of page {number}"
            asked[question] += 1
            assert (await page.answered(question)).turn.whole == text(0, PIECES)
        await page.leave()

    async with Workers(openai.url, STORE_URL=store) as server:
        await server.says(READY)
        first = set(server.pids)
        pages = [Returning(server) for _ in range(PAGES)]
        async with asyncio.TaskGroup() as tasks:
            for number, page in enumerate(pages):
                tasks.create_task(read(page, number))
            await server.renewed()
            over.set()
        assert first.isdisjoint(server.pids)
        assert len(server.pids) == 2
    assert all(page.losses for page in pages)
    assert Counter(questions(openai, before)) == asked


@on_sqlite
async def test_L14_if_the_new_worker_cannot_start_the_old_ones_continue(
    openai: FakeOpenAI, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The workers read this file, in the folder where the supervisor was started, anew.
    settings = tmp_path / ".env"
    settings.write_text("MAX_REPLIES=100")
    monkeypatch.setattr("tests.support.server.ROOT", tmp_path)
    openai.answers(echo)
    async with Workers(openai.url, STORE_URL=store, program=str(ROOT / "main.py")) as server:
        await server.says(READY)
        old = server.pids
        settings.write_text("MAX_REPLIES=none")
        os.kill(server.pid, signal.SIGHUP)
        await server.says("The new worker could not start. The old ones continue.")
        assert server.log.count("MAX_REPLIES='none'") == 1
        assert server.pids == old
        settings.write_text("MAX_REPLIES=200")
        await server.renewed()
        assert set(old).isdisjoint(server.pids)
        async with Tab(server) as tab:
            assert (await tab.answered("hi")).whole == "You said: hi"


async def test_L14_a_start_that_fails_is_reported_once() -> None:
    with pytest.raises(DidNotStart) as failure:
        await Workers("http://127.0.0.1:1", STORE_URL="sqlite:////no/such/folder/chat.db").__aenter__()
    assert str(failure.value).count("Cannot start") == 1


@on_sqlite
async def test_L15_sigterm_drains_all_workers(openai: FakeOpenAI, store: str) -> None:
    async with Workers(openai.url, STORE_URL=store) as server, tabs(server, [None] * PAGES) as pages:
        openai.answers(telling(PIECES, PACE))
        ids = [await page.ask("Tell me a story.") for page in pages]
        for page, id in zip(pages, ids, strict=True):
            await page.sees(id, text(0, 1))
        server.terminate()
        for page in pages:
            assert await page.close_code(SOON) == 1012
        assert await server.stopped(START) == 0
    async with Server(openai.url, STORE_URL=store) as later:
        for page, id in zip(pages, ids, strict=True):
            async with Tab(later, page.conversation) as again:
                assert (await again.ended(id)).whole == text(0, PIECES)


async def test_L16_without_its_supervisor_no_worker_stays(openai: FakeOpenAI) -> None:
    async with Workers(openai.url) as server, Tab(server) as tab:
        await server.says(READY)
        both = server.pids
        server.kill()
        assert await tab.close_code(SOON) == 1012
        assert await eventually(lambda: not any(map(runs, both)), START)


# Starts the program in a terminal of its own, and closes it at SIGTERM.
IN_A_TERMINAL = """
import os, pty, signal, sys
pid, terminal = pty.fork()
if not pid:
    os.execv(sys.executable, [sys.executable, "main.py"])
signal.signal(signal.SIGTERM, lambda *_: os.close(terminal))
os.waitpid(pid, 0)
"""


async def test_L17_when_its_terminal_is_closed_all_of_it_ends(openai: FakeOpenAI, tmp_path: Path) -> None:
    program = tmp_path / "terminal.py"
    program.write_text(IN_A_TERMINAL)
    async with Workers(openai.url, program=str(program)) as server:
        server.terminate()
        assert await server.stopped(START) == 0
        assert not listens(server)


def listens(server: Server) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", server.port)) == 0
