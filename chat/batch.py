"""Group commit: many small calls become few large ones."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from chat import measures


class Batch:
    """Batches calls: those made during a batch, or the pause after it, form the next batch.

    There is no pause after a call that was alone, unless `always_pauses`: a lone reply never waits, and
    being woken from a pause for nothing takes as much CPU as the rest of a short reply.

    `run(calls)` returns a result for each call, in order; a result that is an exception is
    raised for that caller alone. If `run` itself raises, every caller of the batch gets its
    error.
    """

    def __init__(
        self,
        run: Callable[[list[Any]], Awaitable[Sequence[Any]]],
        *,
        rest_seconds: float,
        always_pauses: bool = False,
    ) -> None:
        self._run = run
        self._rest_seconds = rest_seconds
        self._always_pauses = always_pauses
        self._task: asyncio.Task[None] | None = None
        self._waiting: list[tuple[Any, asyncio.Future[Any]]] = []

    def __call__(self, call: Any) -> asyncio.Future[Any]:
        result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((call, result))
        if self._task is None:
            self._task = asyncio.create_task(self._work())
        return result

    async def finish(self, timeout: float) -> None:
        """Wait for the calls that are under way, at most `timeout` seconds."""
        if self._task:
            await asyncio.wait({self._task}, timeout=timeout)

    async def _work(self) -> None:
        batch: list[tuple[Any, asyncio.Future[Any]]] = []
        try:
            while self._waiting:
                # Skip cancelled calls: nobody awaits the result, and a late append could follow a
                # deletion.
                batch = [(call, result) for call, result in self._waiting if not result.done()]
                self._waiting = []
                await self._run_batch(batch)
                if len(batch) > 1 or self._waiting or self._always_pauses:
                    await asyncio.sleep(self._rest_seconds)
        finally:
            self._task = None
            # If this task was cancelled, nobody else would answer these. The next call starts
            # another task.
            for _, result in [*batch, *self._waiting]:
                result.cancel()
            self._waiting = []

    async def _run_batch(self, batch: list[tuple[Any, asyncio.Future[Any]]]) -> None:
        measures.batch_calls.record(len(batch))
        values: Sequence[Any]
        try:
            values = await self._run([call for call, _ in batch])
        except Exception as error:
            values = [error] * len(batch)
        for (_, result), value in zip(batch, values, strict=True):
            if result.done():
                continue
            if isinstance(value, Exception):
                result.set_exception(value)
            else:
                result.set_result(value)
