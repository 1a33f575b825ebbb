"""The log for one machine: an SQLite file, which several processes may share.

One thread owns the connection, so a cancelled task cannot leave a transaction open. Calls made
while the thread is busy are batched into few statements: after each statement the thread must
reacquire the GIL, which takes up to 5 ms when the event loop is busy.
"""

import asyncio
import json
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any, Self

from chat.batch import Batch
from chat.conversation import Event
from chat.log import Closed, Gap
from chat.sqlite_checkpoints import Checkpoints
from chat.sqlite_file import SqliteFile
from chat.sqlite_news import mark_of

# How often to check whether another process has written.
LOOK_SECONDS = 0.04

# Pause between transactions. It saves 15 % of CPU with 40 streams; a single stream never waits.
REST_SECONDS = 0.002

# Pause between the deletions of events that only take space. Replies write their chunks in turn, so
# a page of the file has chunks of many replies: together their deletion writes each page once.
DROP_REST_SECONDS = 0.25

# From the deletion of a conversation to the clean-up of the file, and between its steps. Other
# events that were deleted only take space: a clean-up for each of them would disturb the streams.
SHRINK_SECONDS = 0.5
STEP_SECONDS = 0.05
IDLE_SHRINK_SECONDS = 60.0

# How often to look for conversations unchanged for KEEP_DAYS.
SWEEP_SECONDS = 3600.0

RENEW_LEASE = "INSERT OR REPLACE INTO worker VALUES (?, ?)"
END_LEASE = "DELETE FROM worker WHERE name = ?"
LAST_RENEWAL = "SELECT seen FROM worker WHERE name = ?"


class SqliteLog:
    """`async with SqliteLog("chat.db", lease=10) as log`. chat.log.Log documents the methods.

    Conversations unchanged for `keep_days` are deleted (0: never).
    """

    def __init__(self, path: str, lease: float, keep_days: float = 0) -> None:
        self.worker = secrets.token_hex(8)
        self._path = path
        self._lease = lease
        self._keep_seconds = keep_days * 86_400
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite")
        self._append = Batch(self._append_all, rest_seconds=REST_SECONDS)
        self._read = Batch(self._read_all, rest_seconds=REST_SECONDS)
        self._drop = Batch(self._drop_all, rest_seconds=DROP_REST_SECONDS, always_pauses=True)
        # Those who watch each conversation, by its mark.
        self._watchers: dict[str, list[asyncio.Event]] = {}
        # By worker: the time of its last renewal, and when that was first seen here.
        self._renewals: dict[str, tuple[float, float]] = {}
        self._deleted = asyncio.Event()
        self._closed = False
        # When this worker last renewed its own lease, by the system clock.
        self._renewed_at = time.time()
        # After an outage the others' leases say nothing for a while.
        self._judges_from = 0.0

    async def __aenter__(self) -> Self:
        try:
            self._file = await self._in_thread(SqliteFile, self._path)
            await self._execute(RENEW_LEASE, self.worker, time.time())
            self._renewed_at = time.time()
            self._checkpoints = Checkpoints(
                self._path,
                is_there=self._file.is_there,
                commit=self._renew,
                truncate=lambda: self._in_thread(self._file.truncate),
            )
        except BaseException:
            self._thread.shutdown()
            raise
        self._tasks = [
            asyncio.create_task(self._renew_lease()),
            asyncio.create_task(self._watch_file()),
            asyncio.create_task(self._shrink_file()),
            asyncio.create_task(self._checkpoints.run()),
        ]
        if self._keep_seconds:
            self._tasks.append(asyncio.create_task(self._forget_old()))
        return self

    async def __aexit__(self, *error: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._checkpoints.close()
        with suppress(sqlite3.Error):
            await self.bury(self.worker)
        await self._in_thread(self._file.close)
        self._closed = True
        self._thread.shutdown()

    async def append(self, conversation: str, event: Event) -> tuple[int | None, int]:
        body = json.dumps(event, ensure_ascii=False)
        # Raise now for a lone surrogate, so that it does not fail the whole batch.
        body.encode()
        places: tuple[int | None, int] = await self._append((json.dumps(conversation), body))
        return places

    async def read(self, conversation: str, after: int | None) -> list[tuple[int, Event]]:
        found: list[tuple[int, Event]] = await self._read((conversation, after or 0))
        if after is None:
            return found
        if not found or found[0][0] != after:
            raise Gap
        return found[1:]

    async def forget(self, conversation: str, ids: list[int]) -> None:
        if await self._in_thread(self._file.forget, conversation, json.dumps(ids)):
            self._deleted.set()

    async def drop(self, conversation: str, ids: list[int]) -> None:
        await self._drop(ids)

    async def alive(self, worker: str) -> bool:
        is_late = time.time() - self._renewed_at > self._lease / 2
        if is_late or time.monotonic() < self._judges_from:
            return True
        rows = await self._execute(LAST_RENEWAL, worker)
        if not rows:
            return False
        now = time.monotonic()
        renewed_at = rows[0][0]
        known, since = self._renewals.get(worker, (0.0, now))
        if known != renewed_at:
            since = now
        self._renewals[worker] = (renewed_at, since)
        # If the clock was set back, renewed_at is in the future, and only the second check works.
        return time.time() - renewed_at < self._lease and now - since < self._lease

    async def bury(self, worker: str) -> None:
        await self._execute(END_LEASE, worker)

    @asynccontextmanager
    async def watch(self, conversation: str) -> AsyncIterator[asyncio.Event]:
        event = asyncio.Event()
        mark = mark_of(conversation)
        watchers = self._watchers.setdefault(mark, [])
        watchers.append(event)
        try:
            yield event
        finally:
            watchers.remove(event)
            if not watchers:
                del self._watchers[mark]

    async def _renew_lease(self) -> None:
        while True:
            # The disk may be full: retry at the next renewal.
            with suppress(sqlite3.Error):
                await self._renew()
            await asyncio.sleep(self._lease / 5)

    async def _renew(self) -> None:
        await self._execute(RENEW_LEASE, self.worker, time.time())
        now = time.time()
        if abs(now - self._renewed_at) > self._lease / 2:
            # The file was locked, the machine slept or the clock was set: so it was for all.
            self._judges_from = time.monotonic() + self._lease
        self._renewed_at = now

    async def _watch_file(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            with suppress(sqlite3.Error):
                for mark in await self._in_thread(self._file.look):
                    for event in self._watchers.get(mark, ()):
                        event.set()

    async def _shrink_file(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(IDLE_SHRINK_SECONDS):
                    await self._deleted.wait()
            await asyncio.sleep(SHRINK_SECONDS)
            is_deletion = self._deleted.is_set()
            self._deleted.clear()
            more = True
            try:
                while more:
                    more = await self._in_thread(self._file.shrink)
                    await asyncio.sleep(STEP_SECONDS)
                while is_deletion:
                    is_deletion = not await self._checkpoints.empty()
                    await asyncio.sleep(SHRINK_SECONDS)
            except (sqlite3.Error, OSError):
                self._deleted.set()

    async def _forget_old(self) -> None:
        while True:
            more = True
            with suppress(sqlite3.Error):
                while more:
                    more = await self._in_thread(self._file.forget_old, self._keep_seconds)
                    self._deleted.set()
                    await asyncio.sleep(STEP_SECONDS)
            await asyncio.sleep(SWEEP_SECONDS)

    def _in_thread(self, function: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        if self._closed:
            raise Closed
        return asyncio.get_running_loop().run_in_executor(self._thread, function, *args)

    def _execute(self, sql: str, *values: Any) -> asyncio.Future[Any]:
        return self._in_thread(self._file.execute, sql, *values)

    def _append_all(self, calls: list[Any]) -> asyncio.Future[Any]:
        return self._in_thread(self._file.append_all, calls)

    def _read_all(self, calls: list[Any]) -> asyncio.Future[Any]:
        return self._in_thread(self._file.read_all, calls)

    def _drop_all(self, calls: list[Any]) -> asyncio.Future[Any]:
        return self._in_thread(self._file.drop_all, calls)
