"""The log's promises, kept by every store. Two logs on one store are two processes: they share nothing else."""

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from chat.batch import Batch
from chat.conversation import Event
from chat.log import Gap, Log, open_log
from tests.conftest import LEASE
from tests.support import eventually

NOTICED = 2.0  # seconds: the limit for hearing of another process's event
QUIET = 0.06  # seconds: longer than between two looks at the store, shorter than between two signs of life
PROJECT = Path(__file__).parent.parent


def event(n: int, content: Any = "") -> Event:
    return {"type": "chunk", "turn": "t", "n": n, "content": content}


async def write(log: Log, *numbers: int, conversation: str = "c") -> list[Any]:
    """Append these events one after the other; their ids."""
    return [(await log.append(conversation, event(n)))[1] for n in numbers]


async def contents(log: Log, conversation: str = "c") -> list[int]:
    return [event["n"] for _, event in await log.read(conversation, None)]


async def test_an_event_comes_back_as_it_was(ann: Log) -> None:
    odd = {"type": "user", "turn": "t", "content": 'é "\\\n\0\u2028 \N{GRINNING FACE}', "n": 0, "error": None}
    _, id = await ann.append("'c'; \N{GRINNING FACE}", odd)
    assert await ann.read("'c'; \N{GRINNING FACE}", None) == [(id, odd)]
    assert await ann.read("c", None) == []


async def test_events_outlive_the_process(store_url: str) -> None:
    async with open_log(store_url, LEASE) as log:
        await write(log, 0)
    async with open_log(store_url, LEASE) as log:
        assert await contents(log) == [0]


async def test_two_processes_see_one_order(ann: Log, bob: Log) -> None:
    await asyncio.gather(write(ann, *range(50)), write(bob, *range(100, 150)))
    seen = await contents(ann)
    assert seen == await contents(bob)
    assert [n for n in seen if n < 100] == list(range(50))
    assert [n for n in seen if n >= 100] == list(range(100, 150))


async def test_an_append_returns_its_own_id_and_the_one_before(ann: Log, bob: Log) -> None:
    before, first = await ann.append("c", event(0))
    assert before is None
    await bob.append("another", event(1))
    before, between = await bob.append("c", event(2))
    assert before == first
    before, last = await ann.append("c", event(3))
    assert before == between
    assert len({first, between, last}) == 3
    assert [id for id, _ in await bob.read("c", None)] == [first, between, last]


async def test_calls_made_together_each_get_their_own_ids(ann: Log, bob: Log) -> None:
    async def place(log: Log, conversation: str, n: int) -> tuple[str, Any, Any, int]:
        before, id = await log.append(conversation, event(n))
        return conversation, before, id, n

    places = await asyncio.gather(*(place(ann if n % 3 else bob, "ab"[n % 2], n) for n in range(60)))
    for conversation in "ab":
        log = await ann.read(conversation, None)
        expected = {(before, id, event["n"]) for (before, _), (id, event) in zip([(None, {}), *log], log, strict=False)}
        assert {(before, id, n) for name, before, id, n in places if name == conversation} == expected


async def test_reading_goes_on_after_an_id(ann: Log) -> None:
    ids = await write(ann, 0, 1, 2)
    assert await ann.read("c", ids[0]) == [(ids[1], event(1)), (ids[2], event(2))]
    assert await ann.read("c", ids[2]) == []


async def test_reading_after_a_forgotten_event_is_a_gap(ann: Log, bob: Log) -> None:
    ids = await write(ann, 0, 1, 2)
    await bob.forget("c", ids[1:2])
    with pytest.raises(Gap):
        await ann.read("c", ids[1])
    assert await contents(ann) == [0, 2]
    assert await ann.read("c", ids[0]) == [(ids[2], event(2))]
    await bob.forget("c", [ids[2]])
    with pytest.raises(Gap):
        await ann.read("c", ids[2])  # The last one, too.


async def test_dropped_events_are_gone_for_everybody(ann: Log, bob: Log) -> None:
    ids = await write(ann, *range(6))
    await asyncio.gather(ann.drop("c", ids[1:3]), ann.drop("c", ids[2:4]), ann.drop("c", []))
    assert await contents(ann) == await contents(bob) == [0, 4, 5]


async def test_an_id_is_never_given_out_twice(store_url: str) -> None:
    """Otherwise a reader whose place was forgotten would mistake another event for it, and miss those before."""
    async with open_log(store_url, LEASE) as log:
        ids = await write(log, 0, 1, 2)
        await log.forget("c", ids)
        before, new = await log.append("c", event(3))
        assert before is None
    async with open_log(store_url, LEASE) as log:
        await log.forget("c", [new])
        ids += await write(log, 4)
    assert len({*ids, new}) == 5


@pytest.mark.parametrize("change", ["append", "forget"])
async def test_a_watcher_is_woken_by_another_process(change: str, ann: Log, bob: Log) -> None:
    ids = await write(ann, 0)
    async with ann.watch("c") as changed:
        await quiet(changed)
        await (write(bob, 1) if change == "append" else bob.forget("c", ids))
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


async def test_a_worker_is_alive_while_it_gives_signs(ann: Log, bob: Log) -> None:
    assert ann.worker != bob.worker
    assert not await ann.alive("nobody")
    for _ in range(8):  # twice the lease
        assert await ann.alive(bob.worker)
        assert await bob.alive(ann.worker)
        await asyncio.sleep(LEASE / 4)


async def test_a_worker_that_left_is_not_alive(ann: Log, store_url: str) -> None:
    async with open_log(store_url, LEASE) as bob:
        assert await ann.alive(bob.worker)
    assert not await ann.alive(bob.worker)


async def test_a_worker_that_was_buried_is_not_alive(ann: Log, bob: Log) -> None:
    assert await ann.alive(bob.worker)
    await ann.bury(bob.worker)
    assert not await ann.alive(bob.worker)


KILLED = """
import asyncio, sys
from chat.log import open_log

async def main():
    async with open_log(sys.argv[1], float(sys.argv[2])) as log:
        await log.append("c", {"type": "chunk", "turn": "t", "n": 0, "content": "kept"})
        print(log.worker, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_killed_worker_is_dead_after_its_lease_and_its_events_stay(ann: Log, store_url: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, store_url, str(LEASE), cwd=PROJECT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    try:
        async with asyncio.timeout(20):
            worker = (await process.stdout.readline()).decode().strip()
        assert await ann.alive(worker)
    finally:
        process.kill()
        await process.wait()
    assert await contents(ann) == [0]
    async with asyncio.timeout(LEASE + 2):
        while await ann.alive(worker):
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("steps", range(6))
async def test_a_cancelled_append_leaves_the_log_usable(steps: int, ann: Log, bob: Log) -> None:
    """Wherever it is cancelled: the event is there whole or not at all, and nothing stays locked."""
    others = [asyncio.create_task(write(ann, n)) for n in range(3)]
    cancelled = asyncio.create_task(write(ann, 3))
    for _ in range(steps):
        await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.wait([cancelled, *others])
    async with asyncio.timeout(5):
        await write(ann, 4)
        await write(bob, 5)
    seen = await contents(ann)
    assert [n for n in seen if n != 3] == [0, 1, 2, 4, 5]
    assert seen.count(3) <= 1


async def test_an_append_that_is_cancelled_while_it_waits_is_never_written(ann: Log) -> None:
    """Otherwise it could land after a deletion, and stay."""
    first = asyncio.create_task(write(ann, 0))
    await asyncio.sleep(0)
    cancelled = asyncio.create_task(write(ann, 1))
    await asyncio.sleep(0)
    cancelled.cancel()
    await first
    await write(ann, 2)
    assert await contents(ann) == [0, 2]


async def test_no_call_waits_for_a_batch_that_was_cancelled() -> None:
    """As every task is when the event loop closes."""

    async def run(calls: list[int]) -> list[int]:
        if 1 in calls:
            await asyncio.Event().wait()
        return calls

    others = asyncio.all_tasks()
    batch = Batch(run, rest_seconds=0)
    under_way = batch(1)
    await asyncio.sleep(0)
    waiting = batch(2)
    (working,) = asyncio.all_tasks() - others
    working.cancel()
    await asyncio.wait({under_way, waiting}, timeout=2)
    assert under_way.cancelled()
    assert waiting.cancelled()
    assert await batch(3) == 3


async def test_a_call_that_is_alone_never_waits_for_a_pause() -> None:
    batch = Batch(returned, rest_seconds=3600)
    async with asyncio.timeout(2):
        assert [await batch(n) for n in range(3)] == [0, 1, 2]


@pytest.mark.parametrize(("calls", "always"), [(2, False), (1, True)])
async def test_under_load_calls_are_gathered_during_the_pause(calls: int, always: bool) -> None:
    batch = Batch(returned, rest_seconds=3600, always_pauses=always)
    await asyncio.gather(*(batch(n) for n in range(calls)))
    waiting = batch(calls)
    await batch.finish(0.05)
    assert not waiting.done()
    waiting.cancel()


async def returned(calls: list[int]) -> list[int]:
    return calls


@pytest.mark.parametrize("bad", [b"bytes", "\ud800"], ids=["bytes", "half a character"])
async def test_one_bad_event_does_not_take_the_others_with_it(bad: str | bytes, ann: Log) -> None:
    calls = [ann.append("c", event(n, bad if n == 3 else "")) for n in (3, 0, 1, 2)]
    _, *others = await asyncio.gather(*calls, return_exceptions=True)
    assert not [error for error in others if isinstance(error, BaseException)]
    assert [n for n in await contents(ann) if n != 3] == [0, 1, 2]


async def test_a_log_can_be_left_while_calls_are_on_their_way(store_url: str) -> None:
    async with AsyncExitStack() as stack:
        log = await stack.enter_async_context(open_log(store_url, LEASE))
        calls = [asyncio.create_task(write(log, n)) for n in range(20)]
        await asyncio.sleep(0)
    assert await eventually(lambda: all(call.done() for call in calls), 2)
    for call in calls:
        call.exception()  # It may fail, and it has said so.
