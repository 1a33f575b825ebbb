"""The interface of a log: each conversation's events, in one order, stored durably."""

import asyncio
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from chat import measures
from chat.conversation import Event

# The place of an event in its conversation. Compare only for equality: places have no order.
Id = Any

# At most one line about an outage in this time.
OUTAGE_SECONDS = 10.0

# Pause between retries while the log is unreachable.
RETRY_SECONDS = 0.5

# Only version 1 wrote characters like this, and only whole ones, as pairs.
ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class Gap(Exception):
    """The event to read on from is no longer in the log: read again from the beginning."""


class Closed(Exception):
    """The log has been closed by this process: it will not answer any more."""


class Unusable(Exception):
    """The store cannot be used. The message is for the operator, and contains no secrets."""


class Log(Protocol):
    """Where conversations are stored.

    Each call finishes within seconds, and may report failure although it succeeded. So a retry may
    store an event twice; `chat.conversation` ignores duplicates.
    """

    # The unique name of this process, which no other process ever has.
    worker: str

    async def append(self, conversation: str, event: Event) -> tuple[Id | None, Id]:
        """Append an event. Once this returns, the event survives the death of the process.

        Returns the place of the preceding event in this conversation (None: this is the first),
        and its own.
        """

    async def read(self, conversation: str, after: Id | None) -> list[tuple[Id, Event]]:
        """The events after a place (None: all), each with its own place.

        An event that cannot be decoded is `{}`. Raises Gap if the event at `after` is gone.
        """

    async def forget(self, conversation: str, ids: list[Id]) -> None:
        """Delete the events at these places; those already deleted are ignored."""

    async def drop(self, conversation: str, ids: list[Id]) -> None:
        """Like forget(), for events that only take space: it may wait for others of their kind."""

    async def alive(self, worker: str) -> bool:
        """Whether this worker has renewed its lease in time."""

    async def bury(self, worker: str) -> None:
        """End the lease of a worker that is known to be dead."""

    def watch(self, conversation: str) -> AbstractAsyncContextManager[asyncio.Event]:
        """An asyncio.Event, set (perhaps late) when another process may have appended."""


def open_log(url: str, lease: float, keep_days: float = 0) -> AbstractAsyncContextManager[Log]:
    """Open the log for a STORE_URL: sqlite:///chat.db, redis://host or rediss://host.

    To add another, return it here, and accept its URL in utils/settings.py. `lease` is in seconds.
    Conversations unchanged for `keep_days` are deleted (0: never). Raises Unusable, at the latest
    on entering the context manager, if the store cannot be used.
    """
    if url.startswith("sqlite:///"):
        from chat.sqlite_log import SqliteLog

        return SqliteLog(url.removeprefix("sqlite:///"), lease, keep_days)
    try:
        from chat.redis_log import RedisLog
    except ModuleNotFoundError as error:
        package = error.name
        expected = "pip install -r requirements-redis.txt"
        raise Unusable(f"the package {package} is not installed: {expected}") from None
    return RedisLog(url, lease, keep_days)


def decoded(body: bytes) -> Event:
    """The event in a stored body; `{}` if it cannot be decoded."""
    try:
        event: Event = json.loads(body)
        if ESCAPED_SURROGATE.search(body):
            # Half a character could not be sent to anybody: this raises a ValueError.
            json.dumps(event, ensure_ascii=False).encode()
    except (ValueError, TypeError, RecursionError):
        return {}
    return event


class AtMostEvery(logging.Filter):
    """Passes one record, then suppresses others for `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds
        self._quiet_until = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        if now < self._quiet_until:
            return False
        self._quiet_until = now + self._seconds
        return True


# While the log is unreachable, every room fails twice a second: one line is enough.
outages = logging.getLogger("chat.outages")
outages.addFilter(AtMostEvery(OUTAGE_SECONDS))


class Away:
    """Measures how long the log is away: from a failure to the next failure or append."""

    def __init__(self) -> None:
        self._failed_at: float | None = None

    def note_failure(self) -> None:
        now = time.monotonic()
        self._count(now)
        self._failed_at = now

    def note_append(self) -> None:
        if self._failed_at is not None:
            self._count(time.monotonic())
            self._failed_at = None

    def _count(self, now: float) -> None:
        # Nothing is known of a longer time: nobody wanted anything of the log.
        if self._failed_at is not None and now - self._failed_at < OUTAGE_SECONDS:
            measures.away_seconds.add(now - self._failed_at)


away = Away()


def note_append(started_at: float) -> None:
    """Measure an append that has succeeded; `started_at` is by `time.monotonic()`."""
    measures.append_seconds.record(time.monotonic() - started_at)
    away.note_append()


def report_outage(error: Exception) -> None:
    """Report in the server's log that the log is unreachable, without the error's text."""
    name = type(error).__name__
    measures.log_failures.add(1, {"error.type": name})
    away.note_failure()
    reason = error if isinstance(error, Unusable) else name
    outages.error("the log of conversations cannot be reached: %s", reason)


async def retry(attempt: Callable[[], Awaitable[None]]) -> None:
    """Await `attempt()` until it does not raise: the log may be unreachable for a while."""
    while True:
        try:
            await attempt()
            return
        except Closed:
            return
        except Exception as error:
            report_outage(error)
            await asyncio.sleep(RETRY_SECONDS)
