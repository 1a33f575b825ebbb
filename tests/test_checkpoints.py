"""Checkpoints of the SQLite file hold up no reply, keep the write-ahead log small, and meet no other checkpoint."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from chat.sqlite_checkpoints import Checkpoints
from chat.sqlite_log import SqliteLog
from tests.conftest import LEASE
from tests.support import eventually
from tests.test_log import contents, event, write
from tests.test_sqlite_log import traced

CHECKPOINT = "PRAGMA wal_checkpoint"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log of some pages is large here."""
    monkeypatch.setattr("chat.sqlite_checkpoints.LOOK_SECONDS", 0.01)
    monkeypatch.setattr("chat.sqlite_checkpoints.COPY_BYTES", 50_000)


def log_bytes(path: str) -> int:
    return Path(f"{path}-wal").stat().st_size


@contextmanager
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Checkpoints take as long as this block; the event is set once one has begun."""
    began = threading.Event()
    ended = threading.Event()
    copy_now = Checkpoints._copy_now

    def copy_slowly(checkpoints: Checkpoints) -> None:
        began.set()
        ended.wait(60)
        copy_now(checkpoints)

    monkeypatch.setattr(Checkpoints, "_copy_now", copy_slowly)
    try:
        yield began
    finally:
        ended.set()


async def write_until(done: Callable[[], bool], log: SqliteLog) -> list[int]:
    """Append one event after the other, without any pause, until it is done: their numbers."""
    numbers: list[int] = []
    async with asyncio.timeout(20):
        while not done():
            await log.append("c", event(len(numbers), "x" * 500))
            numbers.append(len(numbers))
    return numbers


async def test_a_slow_checkpoint_holds_up_no_reply(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with SqliteLog(path, LEASE) as log:
        with slow_disk(monkeypatch) as began:
            before = await write_until(began.is_set, log)
            # Not its bytes: closing it here would drop SQLite's locks.
            unchanged = Path(path).stat().st_mtime_ns
            # More than SQLite lets the log grow on its own, before it runs a checkpoint in a commit.
            during = await write_until(lambda: log_bytes(path) > 3_000_000, log)
            assert Path(path).stat().st_mtime_ns == unchanged
            assert await contents(log) == [*before, *during]
        assert await eventually(lambda: Path(path).stat().st_mtime_ns != unchanged, 5)


@pytest.mark.parametrize("limit", ["COPIES_PER_EMPTYING", "MOST_BYTES"])
async def test_the_log_stays_small_although_replies_never_pause(
    limit: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is emptied when there has been time enough, and if the disk is too slow for that, when it is too large."""
    monkeypatch.setattr("chat.sqlite_checkpoints.COPIES_PER_EMPTYING", 1e9)
    monkeypatch.setattr(f"chat.sqlite_checkpoints.{limit}", 0)
    # No copy ever catches up with the replies.
    monkeypatch.setattr(Checkpoints, "_copy_now", lambda _: None)
    async with SqliteLog(path, LEASE) as log:
        numbers = await write_until(lambda: Path(path).stat().st_size > 2_000_000, log)
        assert log_bytes(path) < 1_000_000
        assert await contents(log) == numbers


async def test_each_checkpoint_follows_a_commit_of_its_own(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise SQLite before 3.51.3 could damage the file."""
    statements = traced(monkeypatch)
    async with SqliteLog(path, LEASE) as log:
        await write_until(lambda: any(CHECKPOINT in statement for statement in statements), log)
        await write(log, 0)
        # The first one may still be running.
        async with asyncio.timeout(5):
            while not await log._checkpoints.empty():
                await asyncio.sleep(0.01)
    places = [n for n, statement in enumerate(statements) if CHECKPOINT in statement]
    assert len(places) >= 2
    for place, before in zip(places, [0, *places], strict=False):
        assert any("REPLACE INTO worker" in statement for statement in statements[before:place])


async def test_only_one_process_runs_a_checkpoint(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with SqliteLog(path, LEASE) as ann, SqliteLog(path, LEASE) as bob:
        with slow_disk(monkeypatch) as began:
            await write_until(began.is_set, ann)
            async with asyncio.timeout(5):
                assert not await ann._checkpoints.empty()
                assert not await bob._checkpoints.empty()
        async with asyncio.timeout(5):
            while not await bob._checkpoints.empty():
                await asyncio.sleep(0.01)


async def test_a_backup_is_whole_and_delays_only_the_emptying(path: str) -> None:
    async with SqliteLog(path, LEASE) as log:
        await write(log, 0)
        with closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            assert reader.execute("SELECT count(*) FROM event").fetchall() == [(1,)]
            numbers = await write_until(lambda: log_bytes(path) > 500_000, log)
            assert not await log._checkpoints.empty()
            assert reader.execute("SELECT count(*) FROM event").fetchall() == [(1,)]
        async with asyncio.timeout(5):
            while not await log._checkpoints.empty():
                await asyncio.sleep(0.01)
        assert await contents(log) == [0, *numbers]


async def test_D06_a_file_put_in_place_of_ours_is_left_alone(path: str) -> None:
    async with SqliteLog(path, LEASE) as log:
        await write(log, 0)
        Path(path).rename(f"{path}.old")
        Path(path).write_bytes(b"something else")
        assert await log._checkpoints.empty()
        assert Path(path).read_bytes() == b"something else"
