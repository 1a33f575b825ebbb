"""The log for many machines, in Redis or Valkey: each conversation is a stream.

Any number of processes share it. `chat.redis_calls` sends the commands, `chat.redis_news` receives
what other processes have changed.
"""

import asyncio
import json
import logging
import math
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Self

from redis.exceptions import RedisError

from chat.conversation import Event, is_known
from chat.log import Gap, Unusable, decoded, report_outage
from chat.redis_calls import ATTEMPT_SECONDS, RedisCalls, Script
from chat.redis_news import RedisNews

logger = logging.getLogger(__name__)

# Events in one read, and places in one deletion: Lua can unpack about 8,000 values.
PAGE = 1000

# An empty stream remembers which places it has given out. Two of the same millisecond would be
# equal if a deleted stream were created again within it.
EMPTY_MS = 500

# Renewals of the lease while the server is away, so that it counts again at once.
AWAY_RENEWAL_SECONDS = 0.25

# One script, so that no other event can come between: its readers would never see it.
# PUBLISH costs more than the rest, so it is left out if nobody else is subscribed. `own` is what
# this process believes of its own subscription. The server knows better: it may have dropped the
# connection, and with it the subscription to the channel of this process.
APPEND = Script("""
    local body, keep, is_question, channel, own = unpack(ARGV)
    local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
    local place = redis.call('XADD', KEYS[1], '*', 'e', body)
    if not last or is_question == '1' then
        if keep == '0' then
            redis.call('PERSIST', KEYS[1])
        else
            redis.call('EXPIRE', KEYS[1], keep)
        end
    end
    local subscribers = redis.call('PUBSUB', 'NUMSUB', KEYS[1], channel)
    if subscribers[2] > math.min(own, subscribers[4]) then
        redis.call('PUBLISH', KEYS[1], channel)
    end
    return {last and last[1] or false, place}
""")
FORGET = Script(f"""
    redis.call('XDEL', KEYS[1], unpack(ARGV, 2))
    if redis.call('XLEN', KEYS[1]) == 0 then
        redis.call('PEXPIRE', KEYS[1], {EMPTY_MS})
    end
    redis.call('PUBLISH', KEYS[1], ARGV[1])
""")
# SET is refused when the memory is full, PEXPIRE is not.
RENEW_LEASE = Script("""
    if redis.call('PEXPIRE', KEYS[1], ARGV[1]) == 0 then
        redis.call('SET', KEYS[1], 1, 'PX', ARGV[1])
    end
""")


class RedisLog:
    """`async with RedisLog("redis://host", lease=10) as log`. chat.log.Log documents the methods.

    Conversations without a question for `keep_days` are deleted (0: never).
    """

    def __init__(self, url: str, lease: float, keep_days: float = 0) -> None:
        self.worker = secrets.token_hex(8)
        self._lease = lease
        # Whole seconds, and 0 only if conversations are never deleted.
        self._keep_seconds = math.ceil(keep_days * 86_400)
        try:
            self._calls = RedisCalls(url, [APPEND, FORGET, RENEW_LEASE])
            self._calls.new_connection()
        except (ValueError, TypeError):
            # An unknown option raises TypeError. The error's text may contain the password.
            raise Unusable("expected redis://[[user]:password@]host[:port][/database]") from None
        self._news = RedisNews(self._calls, _lease_key(self.worker))

    async def __aenter__(self) -> Self:
        try:
            await self._check_server()
            await self._renew_lease()
            # Fails if this user may not use channels: then no news would ever arrive.
            await self._calls.write(("PUBLISH", self._news.own_channel, ""))
        except (RedisError, OSError) as error:
            await self._calls.close()
            # The text of a TimeoutError is empty.
            raise Unusable(str(error) or "no answer") from error
        except BaseException:
            await self._calls.close()
            raise
        self._tasks = [
            asyncio.create_task(self._keep_lease()),
            asyncio.create_task(self._news.listen()),
        ]
        return self

    async def __aexit__(self, *error: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(RedisError, OSError):
            async with asyncio.timeout(ATTEMPT_SECONDS):
                await self.bury(self.worker)
        await self._calls.close()

    async def append(self, conversation: str, event: Event) -> tuple[bytes | None, bytes]:
        key = _key(conversation)
        # encode() raises for a lone surrogate.
        body = json.dumps(event, ensure_ascii=False).encode()
        is_question = int(is_known(event) and event["type"] == "user")
        own = int(self._news.hears(key))
        values = (body, self._keep_seconds, is_question, self._news.own_channel, own)
        before, place = await self._calls.write(APPEND.call(key, *values))
        return before, place

    async def read(self, conversation: str, after: bytes | None) -> list[tuple[bytes, Event]]:
        key = _key(conversation)
        rows = await self._calls.read(("XRANGE", key, after or "-", "+", "COUNT", PAGE))
        if after is not None and (not rows or rows[0][0] != after):
            raise Gap
        events = _events(rows[after is not None :])
        if len(rows) < PAGE:
            return events
        first = rows[0][0]
        # In pages, because one long reply for everybody would block the server and this process.
        while len(rows) == PAGE:
            start = b"(" + rows[-1][0]
            rows = await self._calls.read(("XRANGE", key, start, "+", "COUNT", PAGE))
            events += _events(rows)
        if await self._calls.read(("XRANGE", key, first, first)):
            return events
        # Deleted between two pages: the later ones may be of what has begun in its place.
        return await self.read(conversation, after)

    async def forget(self, conversation: str, ids: list[bytes]) -> None:
        for start in range(0, len(ids), PAGE):
            some = ids[start : start + PAGE]
            call = FORGET.call(_key(conversation), self._news.own_channel, *some)
            await self._calls.write(call)

    async def drop(self, conversation: str, ids: list[bytes]) -> None:
        # The calls of a moment travel together anyway.
        await self.forget(conversation, ids)

    async def alive(self, worker: str) -> bool:
        if await self._calls.write(("EXISTS", _lease_key(worker))):
            return True
        # While the server was away nobody could renew a lease, and an empty one has none.
        return self._calls.is_away or time.monotonic() - self._calls.back_at < self._lease

    async def bury(self, worker: str) -> None:
        await self._calls.write(("DEL", _lease_key(worker)))

    @asynccontextmanager
    async def watch(self, conversation: str) -> AsyncIterator[asyncio.Event]:
        async with self._news.watch(_key(conversation)) as changed:
            yield changed

    async def _keep_lease(self) -> None:
        while True:
            try:
                await self._renew_lease()
            except Exception as error:
                # Whatever it is, this task must not end: others would take this process for dead.
                # A process without open conversations has no other occasion to notice an outage.
                report_outage(error)
            pause = self._lease / 5
            await asyncio.sleep(min(pause, AWAY_RENEWAL_SECONDS) if self._calls.is_away else pause)

    async def _renew_lease(self) -> None:
        milliseconds = int(self._lease * 1000)
        await self._calls.write(RENEW_LEASE.call(_lease_key(self.worker), milliseconds))

    async def _check_server(self) -> None:
        """Warn if the server is configured to lose conversations. Raises Unusable for a cluster."""
        # A hosted server may refuse to tell.
        with suppress(RedisError):
            info: dict[str, Any] = await self._calls.read(("INFO",))
            if info.get("cluster_enabled"):
                raise Unusable("is a node of a cluster, which is not supported")
            policy = info.get("maxmemory_policy", "noeviction")
            if policy != "noeviction":
                logger.warning("maxmemory-policy is %s: conversations may be evicted", policy)
            if not info.get("aof_enabled", 1):
                logger.warning("appendonly is off: a restart of the store loses conversations")


def _key(conversation: str) -> str:
    # The braces keep whatever may be added for a conversation on one node of a cluster.
    return f"chat:{{{conversation}}}"


def _lease_key(worker: str) -> str:
    return f"chat-worker:{worker}"


def _events(rows: list[tuple[bytes, dict[bytes, bytes]]]) -> list[tuple[bytes, Event]]:
    return [(place, decoded(fields.get(b"e", b""))) for place, fields in rows]
