"""Worker processes inside the test's event loop: what each of them starts is known, so that it can be killed."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar

T = TypeVar("T")

LIMIT = 10.0  # seconds that a killed process may take to be gone


class Process:
    """Every task that is started by one of its tasks is one of its tasks. Only inside `with processes()`."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        context = copy_context()
        context.run(_process.set, self)
        return asyncio.create_task(coroutine, context=context)

    @property
    def tasks(self) -> set[asyncio.Task[Any]]:
        """What it is doing."""
        return {task for task in self._tasks if not task.done()}

    async def kill(self) -> None:
        """Cancel all that it does; what it can no longer reach is up to the test."""
        tasks = self.tasks
        for task in tasks:
            task.cancel()
        if tasks:
            _, left = await asyncio.wait(tasks, timeout=LIMIT)
            assert not left, f"cannot be killed: {left}"


@contextmanager
def processes() -> Iterator[None]:
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()
    loop.set_task_factory(_start)
    try:
        yield
    finally:
        loop.set_task_factory(before)


_process: ContextVar[Process | None] = ContextVar("process", default=None)


def _start(loop: asyncio.AbstractEventLoop, coroutine: Any, context: Context | None = None) -> asyncio.Task[Any]:
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, context=context)
    process = context.get(_process) if context else _process.get()
    if process:
        process._tasks.add(task)
        task.add_done_callback(process._tasks.discard)
    return task
