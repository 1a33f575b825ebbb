"""The log's promises, kept by SQLite. Two logs on one file are two processes: they share nothing else."""

import asyncio
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import LEASE
from utils.conversation import Event
from utils.log import Gap, Log, open_log
from utils.sqlite_log import SqliteLog

NOTICED = 2.0  # seconds: the limit for hearing of another process's event
QUIET = 0.06  # seconds: longer than between two looks at the file, shorter than between two signs of life
PROJECT = Path(__file__).parent.parent


def event(n: int, turn: str = "t") -> Event:
    return {"type": "chunk", "turn": turn, "n": n, "content": f"<{n}>"}


async def contents(log: Log, conversation: str = "c") -> list[int]:
    return [event["n"] for _, event in await log.read(conversation, None)]


async def test_an_event_comes_back_as_it_was(ann: SqliteLog) -> None:
    odd = {"type": "user", "turn": "t", "content": 'é "\\\n\0\u2028 \N{GRINNING FACE}', "n": 0, "error": None}
    _, id = await ann.append("'c'; \N{GRINNING FACE}", odd)
    assert await ann.read("'c'; \N{GRINNING FACE}", None) == [(id, odd)]
    assert await ann.read("c", None) == []


async def test_a_store_url_opens_the_file(path: str) -> None:
    async with open_log(f"sqlite:///{path}", LEASE) as log:
        await log.append("c", event(0))
    async with open_log(f"sqlite:///{path}", LEASE) as log:
        assert await contents(log) == [0]


async def test_two_processes_see_one_order(ann: SqliteLog, bob: SqliteLog) -> None:
    async def write(log: SqliteLog, numbers: range) -> None:
        for n in numbers:
            await log.append("c", event(n))

    await asyncio.gather(write(ann, range(0, 50)), write(bob, range(100, 150)))
    seen = await contents(ann)
    assert seen == await contents(bob)
    assert [n for n in seen if n < 100] == list(range(50))
    assert [n for n in seen if n >= 100] == list(range(100, 150))


async def test_an_append_tells_its_own_place_and_the_one_before(ann: SqliteLog, bob: SqliteLog) -> None:
    before, first = await ann.append("c", event(0))
    assert before is None
    _, elsewhere = await bob.append("another", event(1))
    before, between = await bob.append("c", event(2))
    assert before == first
    before, last = await ann.append("c", event(3))
    assert before == between
    assert len({first, elsewhere, between, last}) == 4
    assert [id for id, _ in await bob.read("c", None)] == [first, between, last]


async def test_calls_that_go_together_each_get_their_own_places(ann: SqliteLog, bob: SqliteLog) -> None:
    async def write(log: SqliteLog, conversation: str, n: int) -> tuple[str, Any, Any, int]:
        before, id = await log.append(conversation, event(n))
        return conversation, before, id, n

    places = await asyncio.gather(*(write(ann if n % 3 else bob, "ab"[n % 2], n) for n in range(60)))
    for conversation in "ab":
        log = await ann.read(conversation, None)
        expected = {(before, id, event["n"]) for (before, _), (id, event) in zip([(None, {}), *log], log, strict=False)}
        assert {(before, id, n) for name, before, id, n in places if name == conversation} == expected


async def test_reading_goes_on_after_a_place(ann: SqliteLog) -> None:
    ids = [(await ann.append("c", event(n)))[1] for n in range(3)]
    assert await ann.read("c", ids[0]) == [(ids[1], event(1)), (ids[2], event(2))]
    assert await ann.read("c", ids[2]) == []


async def test_reading_after_a_forgotten_event_is_a_gap(ann: SqliteLog, bob: SqliteLog) -> None:
    ids = [(await ann.append("c", event(n)))[1] for n in range(3)]
    await bob.forget("c", ids[1:2])
    with pytest.raises(Gap):
        await ann.read("c", ids[1])
    assert await contents(ann) == [0, 2]
    assert await ann.read("c", ids[0]) == [(ids[2], event(2))]
    await bob.forget("c", [ids[2]])
    with pytest.raises(Gap):
        await ann.read("c", ids[2])  # The last one, too.


async def test_an_id_is_never_given_out_twice(path: str) -> None:
    """Else a reader whose place was forgotten would take another event for it, and miss what is before."""
    async with SqliteLog(path, LEASE) as log:
        ids = [(await log.append("c", event(n)))[1] for n in range(3)]
        await log.forget("c", ids)
        before, new = await log.append("c", event(3))
        assert before is None
    async with SqliteLog(path, LEASE) as log:
        await log.forget("c", [new])
        _, newer = await log.append("c", event(4))
    assert len({*ids, new, newer}) == 5


async def test_calls_that_come_together_go_in_one_transaction(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    statements: list[str] = []
    connect = sqlite3.connect

    def traced(*args: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **options)
        connection.set_trace_callback(statements.append)
        return connection

    monkeypatch.setattr(sqlite3, "connect", traced)
    async with SqliteLog(path, LEASE) as log:
        await asyncio.gather(*(log.append("c", event(n)) for n in range(100)))
        writes = [statement for statement in statements if statement.startswith("INSERT INTO event")]
        assert 1 <= len(writes) <= 2  # The first goes at once, and the others while it is on its way.
        assert await contents(log) == list(range(100))


@pytest.mark.parametrize("change", ["append", "forget"])
async def test_a_watcher_hears_of_another_process(change: str, ann: SqliteLog, bob: SqliteLog) -> None:
    _, id = await ann.append("c", event(0))
    async with ann.watch("c") as changed:
        await quiet(changed)
        await (bob.append("c", event(1)) if change == "append" else bob.forget("c", [id]))
        async with asyncio.timeout(NOTICED):
            await changed.wait()
        assert await contents(ann) == ([0, 1] if change == "append" else [])


async def quiet(changed: asyncio.Event) -> None:
    """Until nothing is left to hear of, for a moment."""
    async with asyncio.timeout(10):
        while True:
            changed.clear()
            try:
                async with asyncio.timeout(QUIET):
                    await changed.wait()
            except TimeoutError:
                return


async def test_a_worker_is_alive_while_it_gives_signs(ann: SqliteLog, bob: SqliteLog) -> None:
    assert ann.worker != bob.worker
    assert not await ann.alive("nobody")
    for _ in range(8):  # twice the lease
        assert await ann.alive(bob.worker)
        assert await bob.alive(ann.worker)
        await asyncio.sleep(LEASE / 4)


async def test_a_worker_that_left_is_not_alive(ann: SqliteLog, path: str) -> None:
    async with SqliteLog(path, LEASE) as bob:
        assert await ann.alive(bob.worker)
    assert not await ann.alive(bob.worker)


KILLED = """
import asyncio, sys
from utils.sqlite_log import SqliteLog

async def main():
    log = await SqliteLog(sys.argv[1], float(sys.argv[2])).__aenter__()
    await log.append("c", {"type": "chunk", "turn": "t", "n": 0, "content": "kept"})
    print(log.worker, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_killed_worker_is_dead_after_the_lease_and_what_it_wrote_is_there(ann: SqliteLog, path: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, path, str(LEASE), cwd=PROJECT, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout
        async with asyncio.timeout(20):
            worker = (await process.stdout.readline()).decode().strip()
        assert await ann.alive(worker)
        process.kill()
        assert await contents(ann) == [0]
        async with asyncio.timeout(LEASE + 2):
            while await ann.alive(worker):
                await asyncio.sleep(0.02)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.parametrize("steps", range(6))
async def test_a_cancelled_append_leaves_the_log_usable(steps: int, ann: SqliteLog, bob: SqliteLog) -> None:
    """Wherever it is cancelled: the event is there whole or not at all, and nothing stays locked."""
    others = [asyncio.create_task(ann.append("c", event(n))) for n in range(3)]
    cancelled = asyncio.create_task(ann.append("c", event(3)))
    for _ in range(steps):
        await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.wait([cancelled])
    await asyncio.gather(*others)
    async with asyncio.timeout(5):
        await ann.append("c", event(4))
        await bob.append("c", event(5))
    seen = await contents(ann)
    assert [n for n in seen if n != 3] == [0, 1, 2, 4, 5]
    assert seen.count(3) <= 1


@pytest.mark.parametrize(
    "call",
    [
        lambda log: log.append("c", {"type": "chunk", "turn": "t", "n": 0, "content": b"bytes"}),
        lambda log: log.append("c", {"type": "chunk", "turn": "t", "n": 0, "content": "\ud800"}),
    ],
    ids=["bytes", "half a character"],
)
async def test_one_bad_event_does_not_take_the_others_with_it(call: Callable[[Log], Any], ann: SqliteLog) -> None:
    _, *others = await asyncio.gather(
        call(ann), *(ann.append("c", event(n, "good")) for n in range(3)), return_exceptions=True
    )
    assert not [error for error in others if isinstance(error, BaseException)]
    assert [event["n"] for _, event in await ann.read("c", None) if event["turn"] == "good"] == [0, 1, 2]


async def test_a_file_that_fails_for_a_while_is_told_to_all_and_used_again(ann: SqliteLog, path: str) -> None:
    await ann.append("c", event(0))
    with closing(sqlite3.connect(path)) as other:
        other.execute("ALTER TABLE event RENAME TO elsewhere")
        calls = [ann.append("c", event(1)), ann.append("c", event(2)), ann.read("c", None)]
        async with asyncio.timeout(5):
            failures = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(failure) for failure in failures] == [sqlite3.OperationalError] * 3
        other.execute("ALTER TABLE elsewhere RENAME TO event")
    await ann.append("c", event(3))
    assert await contents(ann) == [0, 3]


async def test_a_log_can_be_left_while_calls_are_on_their_way(path: str) -> None:
    async with AsyncExitStack() as stack:
        log = await stack.enter_async_context(SqliteLog(path, LEASE))
        calls = [asyncio.create_task(log.append("c", event(n))) for n in range(20)]
        await asyncio.sleep(0)
    _, hanging = await asyncio.wait(calls, timeout=2)
    assert not hanging
    for call in calls:
        call.exception()  # It may fail, and it has said so.


async def test_the_sqlite3_command_reads_the_file(ann: SqliteLog, path: str) -> None:
    if not (command := shutil.which("sqlite3")):
        assert os.environ.get("CI") != "true", "this machine has no sqlite3 command"
        pytest.skip("this machine has no sqlite3 command")
    await ann.append("c", event(0) | {"content": "Once \N{GRINNING FACE}"})
    sql = "SELECT conversation, body FROM event"
    done = subprocess.run([command, "-json", path, sql], capture_output=True, timeout=10, check=True)
    (row,) = json.loads(done.stdout)
    assert row["conversation"] == "c"
    assert json.loads(row["body"]) == event(0) | {"content": "Once \N{GRINNING FACE}"}


async def test_an_append_that_is_cancelled_while_it_waits_is_never_written(ann: SqliteLog) -> None:
    """Else it could come after a deletion, and stay."""
    first = asyncio.create_task(ann.append("c", event(0)))
    await asyncio.sleep(0)
    cancelled = asyncio.create_task(ann.append("c", event(1)))
    await asyncio.sleep(0)
    cancelled.cancel()
    await first
    await ann.append("c", event(2))
    assert await contents(ann) == [0, 2]
