"""Calls to a Redis or Valkey server: batched, each with a time limit, retried while it is away.

The other half of `chat.redis_log`: it knows commands and connections, but nothing of conversations.
"""

import asyncio
import hashlib
import random
import time
from contextlib import suppress
from functools import partial
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ClusterDownError,
    ConnectionError,
    NoScriptError,
    ReadOnlyError,
    TimeoutError,
    TryAgainError,
)

from chat.batch import Batch
from chat.log import Closed

# For one round trip, connecting included.
ATTEMPT_SECONDS = 2.0

# Counted from the first failure. After that each call is tried once, until one succeeds.
PATIENCE_SECONDS = 5.0

# The first pause before a retry, and the longest.
PAUSE_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 0.5

# Calls in one round trip. A thousand histories at once would exceed ATTEMPT_SECONDS.
TOGETHER = 100

# The server may be back, or another may have taken over, at the next attempt.
PASSING = (
    ConnectionError,
    TimeoutError,
    ClusterDownError,
    NoScriptError,
    ReadOnlyError,
    TryAgainError,
)
# These are ConnectionErrors too, but no retry changes them.
FINAL = (AuthenticationError, AuthorizationError)

Call = tuple[Any, ...]


class Script:
    """A Lua script that uses one key, so that it runs on a cluster too."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._hash = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def call(self, key: str, *values: Any) -> Call:
        """The call that runs this script."""
        return ("EVALSHA", self._hash, 1, key, *values)


class RedisCalls:
    """`await calls.write(call)`, `await calls.read(call)`: a call is a tuple of a command's parts.

    Each uses a connection of its own, so that no long read delays a write. A call ends within about
    PATIENCE_SECONDS + ATTEMPT_SECONDS, and may report failure although it was carried out. A call
    that is repeated may be carried out twice. Raises redis.exceptions.RedisError, OSError,
    TimeoutError, or Closed.
    """

    def __init__(self, url: str, scripts: list[Script]) -> None:
        # No socket_timeout: asyncio.timeout() limits the whole round trip.
        self._redis = Redis.from_url(
            url,
            protocol=2,
            socket_timeout=None,
            socket_connect_timeout=ATTEMPT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._scripts = scripts
        self._scripts_are_loaded = False
        self.write = Batch(partial(self._send, "write"), rest_seconds=0)
        self.read = Batch(partial(self._send, "read"), rest_seconds=0)
        self._closed = False
        # By batch: since when its calls have failed. A server that is read-only answers the reads.
        self._away_since: dict[str, float] = {}
        # When the server last answered after it had been away, or had been slow.
        self.back_at = float("-inf")

    @property
    def is_away(self) -> bool:
        """Whether the last write failed."""
        return "write" in self._away_since

    def new_connection(self) -> AbstractConnection:
        """A connection outside the pool, not connected yet."""
        connection: AbstractConnection = (
            self._redis.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        )
        return connection

    async def close(self) -> None:
        """Wait shortly for the calls on their way, then disconnect. Later calls raise Closed."""
        self._closed = True
        for batch in (self.write, self.read):
            await batch.finish(ATTEMPT_SECONDS)
        await self._redis.aclose()

    async def _send(self, batch: str, calls: list[Call]) -> list[Any]:
        results: list[Any] = []
        for start in range(0, len(calls), TOGETHER):
            results += await self._send_surely(batch, calls[start : start + TOGETHER])
        return results

    async def _send_surely(self, batch: str, calls: list[Call]) -> list[Any]:
        """Send calls in one round trip, and again if that failed for a passing reason."""
        pause = PAUSE_SECONDS
        while True:
            if self._closed:
                raise Closed
            started = time.monotonic()
            try:
                async with asyncio.timeout(ATTEMPT_SECONDS):
                    results = await self._send_once(calls)
            except (*PASSING, OSError) as error:
                await self._note_failure(batch)
                if self._is_final(batch, error, pause):
                    raise
            else:
                self._note_success(batch, started)
                return results
            # At random, so that the processes do not all come back at the same moment.
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _send_once(self, calls: list[Call]) -> list[Any]:
        if not self._scripts_are_loaded:
            for script in self._scripts:
                await self._redis.script_load(script.text)
            self._scripts_are_loaded = True
        async with self._redis.pipeline(transaction=False) as pipeline:
            for call in calls:
                pipeline.execute_command(*call)
            results: list[Any] = await pipeline.execute(raise_on_error=False)
        # Whatever is wrong with one call is raised for its caller alone.
        for result in results:
            if isinstance(result, PASSING):
                raise result
        return results

    async def _note_failure(self, batch: str) -> None:
        self._away_since.setdefault(batch, time.monotonic())
        # A restarted server, or another one, does not have them.
        self._scripts_are_loaded = False
        # A new connection may lead to the new primary. Those in use belong to the other batch.
        with suppress(*PASSING, OSError):
            await self._redis.connection_pool.disconnect(inuse_connections=False)

    def _note_success(self, batch: str, started: float) -> None:
        now = time.monotonic()
        was_away = self._away_since.pop(batch, None) is not None
        if was_away or now - started > ATTEMPT_SECONDS / 4:
            self.back_at = now

    def _is_final(self, batch: str, error: Exception, pause: float) -> bool:
        if isinstance(error, FINAL):
            return True
        return time.monotonic() + pause > self._away_since[batch] + PATIENCE_SECONDS
