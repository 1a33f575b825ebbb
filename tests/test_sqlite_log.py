"""What is SQLite's alone in the log; the promises of every store are in test_log.py."""

import asyncio
import json
import os
import shutil
import sqlite3
import subprocess
import time
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from chat.log import Unusable
from chat.sqlite_file import SCHEMA_VERSION
from chat.sqlite_log import SqliteLog
from tests.conftest import LEASE
from tests.support import eventually
from tests.test_log import contents, event, write


def traced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All statements that are executed from now on."""
    statements: list[str] = []
    connect = sqlite3.connect

    def connect_traced(*args: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **options)
        connection.set_trace_callback(statements.append)
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect_traced)
    return statements


async def test_calls_made_together_go_into_one_transaction(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    statements = traced(monkeypatch)
    async with SqliteLog(path, LEASE) as log:
        await asyncio.gather(*(write(log, n) for n in range(100)))
        writes = [statement for statement in statements if "INSERT INTO event" in statement]
        assert 1 <= len(writes) <= 2  # The first goes at once, and the others while it is on its way.
        assert await contents(log) == list(range(100))


async def test_what_others_write_wakes_only_who_watches_that_conversation(
    path: str,
) -> None:
    async with AsyncExitStack() as stack:
        ann, bob = [await stack.enter_async_context(SqliteLog(path, LEASE)) for _ in range(2)]
        async with bob.watch("mine") as mine, bob.watch("theirs") as theirs:
            await bob.append("mine", event(0))
            for n in range(3):
                _, place = await ann.append("theirs", event(n))
                await bob.append("mine", event(n + 1))
                await woken(theirs)
            await ann.forget("theirs", [place])
            await woken(theirs)
            assert not mine.is_set()


async def woken(watcher: asyncio.Event) -> None:
    async with asyncio.timeout(5):
        await watcher.wait()
    watcher.clear()


async def test_what_only_takes_space_is_deleted_together_and_deletions_do_not_wait(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements = traced(monkeypatch)
    async with SqliteLog(path, LEASE) as log:
        places = await write(log, *range(40))
        await log.drop("c", places[:1])
        dropping = [asyncio.create_task(log.drop("c", [place])) for place in places[1:20]]
        await log.forget("c", places[20:])
        assert not any(drop.done() for drop in dropping)
        assert await contents(log) == list(range(1, 20))
        async with asyncio.timeout(5):
            await asyncio.gather(*dropping)
        assert await contents(log) == []
    deletions = [statement for statement in statements if "DELETE FROM event" in statement]
    assert len(deletions) == 3


async def test_a_file_that_fails_for_a_while_is_used_again(path: str) -> None:
    async with SqliteLog(path, LEASE) as log:
        await write(log, 0)
        with closing(sqlite3.connect(path)) as other:
            other.execute("ALTER TABLE event RENAME TO elsewhere")
            async with asyncio.timeout(5):
                failures = await asyncio.gather(write(log, 1), write(log, 2), contents(log), return_exceptions=True)
            assert [type(failure) for failure in failures] == [sqlite3.OperationalError] * 3
            other.execute("ALTER TABLE elsewhere RENAME TO event")
        await write(log, 3)
        assert await contents(log) == [0, 3]


async def test_the_sqlite3_command_reads_the_file(path: str) -> None:
    if not (command := shutil.which("sqlite3")):
        assert os.environ.get("CI") != "true", "this machine has no sqlite3 command"
        pytest.skip("this machine has no sqlite3 command")
    async with SqliteLog(path, LEASE) as log:
        await log.append("c", event(0, "Once \N{GRINNING FACE}"))
        sql = "SELECT conversation, body FROM event"
        done = subprocess.run([command, "-json", path, sql], capture_output=True, timeout=10, check=True)
    (row,) = json.loads(done.stdout)
    assert row["conversation"] == "c"
    assert json.loads(row["body"]) == event(0, "Once \N{GRINNING FACE}")


def files_hold(text: str, path: str) -> bool:
    """Whether the bytes of a text are in the file or its write-ahead log."""
    files = (Path(f"{path}{ending}") for ending in ("", "-wal"))
    return any(text.encode() in file.read_bytes() for file in files if file.exists())


async def test_A04_deleted_text_leaves_the_disk_and_the_file_shrinks(path: str) -> None:
    async with SqliteLog(path, LEASE) as log:
        await write(log, 0, conversation="another")
        small = Path(path).stat().st_size
        places = [(await log.append("c", event(n, "secret " * 2000)))[1] for n in range(100)]
        assert files_hold("secret", path)
        await log.forget("c", places)
        assert await eventually(lambda: not files_hold("secret", path), 5)
        assert Path(path).stat().st_size <= small + 8 * 4096
        # All but a renewal of the lease, which may have come since.
        assert Path(f"{path}-wal").stat().st_size < 4 * 4096


async def test_A04_a_file_of_version_1_shrinks_too(path: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE event (id INTEGER PRIMARY KEY AUTOINCREMENT, conversation TEXT NOT NULL, body TEXT)")
        db.execute("INSERT INTO event (conversation, body) VALUES ('c', ?)", (json.dumps(event(0)),))
        db.commit()
    async with SqliteLog(path, LEASE) as log:
        assert await contents(log) == [0]
        assert await log._execute("PRAGMA auto_vacuum") == [(2,)]
        assert await log._execute("PRAGMA user_version") == [(SCHEMA_VERSION,)]


async def test_text_is_stored_as_utf_8(path: str) -> None:
    async with SqliteLog(path, LEASE) as log:
        await write(log, 0)
        await log.append("c", event(1, "\N{GRINNING FACE}" * 100))
        assert await log._execute("SELECT max(length(CAST(body AS BLOB))) < 500 FROM event") == [(1,)]


async def test_conversations_that_nobody_touches_are_removed_after_a_while(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chat.sqlite_log.SWEEP_SECONDS", 0.02)
    async with SqliteLog(path, LEASE) as log:
        for n in range(500):
            await log.append(f"old {n % 7}", event(n))
    async with SqliteLog(path, LEASE, keep_days=0.3 / 86_400) as log, asyncio.timeout(20):
        n = 0
        while await log._execute("SELECT count(*) FROM event WHERE conversation LIKE 'old%'") != [(0,)]:
            await write(log, n)
            n += 1
        assert await contents(log) == list(range(n))


async def test_D05_a_dead_worker_is_noticed_although_the_clock_was_set_back(path: str) -> None:
    async with SqliteLog(path, LEASE) as log:
        await log._execute("INSERT INTO worker VALUES ('dead', ?)", time.time() + 3600)
        began = asyncio.get_running_loop().time()
        async with asyncio.timeout(10):
            while await log.alive("dead"):
                await asyncio.sleep(0.01)
        assert asyncio.get_running_loop().time() - began >= LEASE / 2, "it may only have been suspended"


@pytest.mark.parametrize("how", ["deleted", "replaced"])
async def test_D06_a_file_that_vanished_is_reported_with_the_next_append(how: str, path: str) -> None:
    async with SqliteLog(path, LEASE) as log:
        await write(log, 0)
        Path(path).rename(f"{path}.old")
        if how == "replaced":
            shutil.copy(f"{path}.old", path)
        with pytest.raises(Unusable, match="was deleted or replaced"):
            await write(log, 1)
