"""The log for one machine: an SQLite file. Several processes may share it.

One thread owns the connection: a cancelled task cannot leave a transaction open. Calls that come while it is busy go
together next, in few statements: after each the thread waits for the interpreter, 5 ms if the event loop is busy.
"""

import asyncio
import json
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Self

from utils.conversation import Event
from utils.log import Gap

LOOK_SECONDS = 0.04  # between looks whether another process has written
REST_SECONDS = 0.002  # between two transactions; it takes 15 % off the work for 40 streams, and one stream never waits

SCHEMA = """
    PRAGMA busy_timeout = 5000;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;  -- outlives the process; a power cut may take back the last moments
    CREATE TABLE IF NOT EXISTS event (
        id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given out twice: a reader's place stays unmistakable
        conversation TEXT NOT NULL,
        body TEXT NOT NULL
    );
    CREATE INDEX IF NOT EXISTS event_of_conversation ON event (conversation);
    CREATE TABLE IF NOT EXISTS worker (name TEXT PRIMARY KEY, seen REAL NOT NULL);
    DELETE FROM worker WHERE seen < unixepoch() - 86400;
"""
APPEND = "INSERT INTO event (conversation, body) SELECT value ->> 0, value -> 1 FROM json_each(?)"
BEFORE = """SELECT json_group_array((SELECT max(id) FROM event
    WHERE conversation = place.value ->> 0 AND id < place.value ->> 1)) FROM json_each(?) AS place"""
READ = "SELECT id, body FROM event WHERE conversation = ? AND id >= ? ORDER BY id"
FORGET = "DELETE FROM event WHERE id IN (SELECT value FROM json_each(?))"
SIGN = "INSERT OR REPLACE INTO worker VALUES (?, ?)"


class SqliteLog:
    """`async with SqliteLog("chat.db", lease=10) as log`; what it does, utils.log.Log tells."""

    def __init__(self, path: str, lease: float) -> None:
        self.worker, self._path, self._lease = secrets.token_hex(8), path, lease
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite")
        self._append = Together(lambda calls: self._in_thread(self._append_all, calls))
        self._read = Together(lambda calls: self._in_thread(self._read_all, calls))
        self._watchers: set[asyncio.Event] = set()

    async def __aenter__(self) -> Self:
        self._db = await self._in_thread(partial(sqlite3.connect, self._path, isolation_level=None))
        await self._in_thread(self._db.executescript, SCHEMA)
        await self._execute(SIGN, self.worker, time.time())
        self._tasks = [asyncio.create_task(self._give_signs()), asyncio.create_task(self._look())]
        return self

    async def __aexit__(self, *error: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._execute("DELETE FROM worker WHERE name = ?", self.worker)
        await self._in_thread(self._db.close)
        self._thread.shutdown()

    async def append(self, conversation: str, event: Event) -> tuple[int | None, int]:
        return await self._append((json.dumps(conversation), json.dumps(event)))  # type: ignore[no-any-return]

    async def read(self, conversation: str, after: int | None) -> list[tuple[int, Event]]:
        found: list[tuple[int, Event]] = await self._read((conversation, after or 0))
        if after is not None and (not found or found[0][0] != after):
            raise Gap
        return found if after is None else found[1:]

    async def forget(self, conversation: str, ids: list[int]) -> None:
        await self._execute(FORGET, json.dumps(ids))

    async def alive(self, worker: str) -> bool:
        rows = await self._execute("SELECT seen FROM worker WHERE name = ?", worker)
        return bool(rows) and time.time() - rows[0][0] < self._lease

    @asynccontextmanager
    async def watch(self, conversation: str) -> AsyncIterator[asyncio.Event]:
        event = asyncio.Event()
        self._watchers.add(event)
        try:
            yield event
        finally:
            self._watchers.discard(event)

    async def _give_signs(self) -> None:
        while True:
            with suppress(sqlite3.Error):  # A full disk, say: tried again soon.
                await self._execute(SIGN, self.worker, time.time())
            await asyncio.sleep(self._lease / 5)

    async def _look(self) -> None:
        before = None
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            with suppress(sqlite3.Error):
                if (now := await self._execute("PRAGMA data_version")) != before:
                    before = now
                    for event in self._watchers:
                        event.set()

    def _in_thread(self, function: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        return asyncio.get_running_loop().run_in_executor(self._thread, function, *args)

    def _execute(self, sql: str, *values: Any) -> asyncio.Future[Any]:
        return self._in_thread(lambda: self._db.execute(sql, values).fetchall())

    def _append_all(self, calls: list[tuple[str, str]]) -> list[tuple[int | None, int]]:
        rows = ",".join(f"[{conversation},{event}]" for conversation, event in calls)
        last = self._db.execute(APPEND, (f"[{rows}]",)).lastrowid or 0  # One statement is one transaction.
        ids = range(last - len(calls) + 1, last + 1)  # Without a hole: there is one writer at a time.
        places = ",".join(f"[{conversation},{id}]" for (conversation, _), id in zip(calls, ids, strict=True))
        ((before,),) = self._db.execute(BEFORE, (f"[{places}]",))
        return list(zip(json.loads(before), ids, strict=True))

    def _read_all(self, calls: list[tuple[str, int]]) -> list[list[tuple[int, Event]]]:
        return [[(id, json.loads(body)) for id, body in self._db.execute(READ, call)] for call in calls]


class Together:
    """A function of many calls, for callers with one: those that come while it works, or rests, go together next."""

    def __init__(self, function: Callable[[list[Any]], asyncio.Future[list[Any]]]) -> None:
        self._function = function
        self._task: asyncio.Task[None] | None = None
        self._calls: list[tuple[Any, asyncio.Future[Any]]] = []

    def __call__(self, call: Any) -> asyncio.Future[Any]:
        result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._calls.append((call, result))
        if len(self._calls) == 1 and not self._task:
            self._task = asyncio.create_task(self._work())
        return result

    async def _work(self) -> None:
        while self._calls:
            # Nobody waits for one that was cancelled, and it would come after a deletion.
            calls, self._calls = [call for call in self._calls if not call[1].done()], []
            try:
                values = await self._function([call for call, _ in calls])
            except Exception as error:
                values = [error] * len(calls)
            for (_, result), value in zip(calls, values, strict=True):
                if not result.done():
                    (result.set_exception if isinstance(value, Exception) else result.set_result)(value)
            await asyncio.sleep(REST_SECONDS)
        self._task = None
