"""A limit that many waits share, each with its own time."""

import asyncio
from unittest import mock

import pytest

from utils.time_limit import TimeLimit

# Seconds: a limit that is waited for, and what none of these waits reaches.
SHORT = 0.01
LONG = 5.0


async def wait(limit: TimeLimit) -> None:
    async with limit:
        await asyncio.sleep(LONG)


async def test_a_wait_that_takes_too_long_is_a_timeout() -> None:
    with pytest.raises(TimeoutError):
        await wait(TimeLimit(SHORT))


async def test_a_wait_is_a_timeout_again_and_again() -> None:
    limit = TimeLimit(SHORT)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await wait(limit)


async def test_each_of_several_waits_has_its_own_time() -> None:
    limit = TimeLimit(SHORT)
    first = asyncio.create_task(wait(limit))
    await asyncio.sleep(SHORT / 2)
    second = asyncio.create_task(wait(limit))
    done, _ = await asyncio.wait({first, second}, return_when=asyncio.FIRST_COMPLETED, timeout=LONG)
    assert done == {first}
    await asyncio.wait({second}, timeout=LONG)
    assert isinstance(first.exception(), TimeoutError)
    assert isinstance(second.exception(), TimeoutError)


async def test_who_was_in_time_is_left_alone() -> None:
    limit = TimeLimit(SHORT)
    async with limit:
        await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        # Longer than the time of the one before.
        await wait(limit)
    task = asyncio.current_task()
    assert task
    assert not task.cancelling()


async def test_a_thousand_waits_in_a_row_make_one_timer() -> None:
    limit = TimeLimit(LONG)
    loop = asyncio.get_running_loop()
    with mock.patch.object(loop, "call_at", wraps=loop.call_at) as call_at:
        for _ in range(1000):
            async with limit:
                await asyncio.sleep(0)
    assert call_at.call_count == 1


async def test_a_cancellation_is_not_taken_for_a_timeout() -> None:
    limit = TimeLimit(LONG)
    task = asyncio.create_task(wait(limit))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_beside_a_timeout_wins() -> None:
    limit = TimeLimit(SHORT)

    async def cancel_itself() -> None:
        async with limit:
            try:
                await asyncio.sleep(LONG)
            except asyncio.CancelledError:
                # The time is up, and before the task has left, somebody cancels it.
                task.cancel()
                raise

    task = asyncio.create_task(cancel_itself())
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, LONG)


async def test_clean_up_after_a_cancellation_has_a_limit_too() -> None:
    limit = TimeLimit(SHORT)
    ends: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(LONG)
        finally:
            try:
                await wait(limit)
            except TimeoutError:
                ends.append("timeout")

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, LONG)
    assert ends == ["timeout"]
