"""A time limit for waits that are short and many: one timer watches over all of them.

asyncio.timeout() makes a timer for each wait, and cancels it: three for each token.
"""

import asyncio
from types import TracebackType


class TimeLimit:
    """`async with limit: await ...` raises TimeoutError after `seconds`. Several tasks may wait at a time."""

    # Every connection has two.
    __slots__ = ("_late", "_seconds", "_timer", "_waits")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        # By task that waits: when its time is up, and how often it had been cancelled before. The one
        # that began first is the first, and its time is up first.
        self._waits: dict[asyncio.Task[object], tuple[float, int]] = {}
        # How often those had been cancelled before whose time was up.
        self._late: dict[asyncio.Task[object], int] = {}
        # It stays when a wait ends in time: most do, and most are followed by another.
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task
        loop = task.get_loop()
        due_at = loop.time() + self._seconds
        self._waits[task] = (due_at, task.cancelling())
        if self._timer is None:
            self._timer = loop.call_at(due_at, self._cancel_late)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        task = asyncio.current_task()
        assert task
        if self._waits.pop(task, None):
            return
        cancelled_before = self._late.pop(task)
        # Otherwise somebody else has cancelled it too.
        if task.uncancel() <= cancelled_before and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _cancel_late(self) -> None:
        self._timer = None
        for task, (due_at, cancelled_before) in list(self._waits.items()):
            loop = task.get_loop()
            if due_at > loop.time():
                self._timer = loop.call_at(due_at, self._cancel_late)
                return
            del self._waits[task]
            self._late[task] = cancelled_before
            task.cancel()
