"""What is Redis's or Valkey's alone in the log; the promises of every store are in test_log.py."""

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ReadOnlyError, ResponseError

from chat import redis_calls, redis_log
from chat.conversation import Event
from chat.log import Closed, Gap
from chat.redis_log import RedisLog
from tests.conftest import LEASE
from tests.support import eventually
from tests.support.proxy import Proxy
from tests.support.valkey import Valkey, free_port
from tests.test_log import NOTICED, contents, event, quiet, write

QUESTION: Event = {"type": "user", "turn": "t", "worker": "w", "content": "Why?"}
KEY = "chat:{c}"
DAY = 86_400


@pytest.fixture
def url(valkey: Valkey) -> str:
    valkey.command("FLUSHDB")
    return valkey.url


@pytest.fixture
async def ann(url: str) -> AsyncIterator[RedisLog]:
    async with RedisLog(url, LEASE) as log:
        yield log


@pytest.fixture
async def bob(url: str, ann: RedisLog) -> AsyncIterator[RedisLog]:
    async with RedisLog(url, LEASE) as log:
        yield log


def calls(valkey: Valkey, command: str) -> int:
    """How often the server ran a command, also for a script."""
    stats: dict[str, Any] = valkey.command("INFO", "commandstats")
    return int(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"])


async def test_a_question_sets_how_long_a_conversation_stays(url: str, valkey: Valkey) -> None:
    async with RedisLog(url, LEASE, keep_days=2) as log:
        await log.append("c", QUESTION)
        assert 0 <= 2 * DAY - valkey.command("TTL", KEY) <= 10
        valkey.command("EXPIRE", KEY, 100)
        await log.append("c", event(0))
        assert valkey.command("TTL", KEY) <= 100
        await log.append("c", QUESTION)
        assert valkey.command("TTL", KEY) > DAY
    async with RedisLog(url, LEASE, keep_days=0) as log:
        await log.append("c", QUESTION)
        assert valkey.command("TTL", KEY) == -1


async def test_a_deleted_conversation_leaves_no_key_and_may_begin_again(ann: RedisLog, valkey: Valkey) -> None:
    await ann.forget("c", await write(ann, 0, 1))
    assert 0 < valkey.command("PTTL", KEY) <= redis_log.EMPTY_MS
    await ann.append("c", event(2))
    assert valkey.command("PTTL", KEY) == -1
    await ann.forget("c", [place for place, _ in await ann.read("c", None)])
    assert await eventually(lambda: not valkey.command("EXISTS", KEY), 2)


async def test_appends_made_together_share_few_round_trips(ann: RedisLog, valkey: Valkey) -> None:
    await write(ann, 0)
    before = valkey.command("INFO", "stats")["total_reads_processed"]
    await asyncio.gather(*(write(ann, n) for n in range(1, 100)))
    # One read is that of INFO, and a renewal of the lease may have come between.
    assert valkey.command("INFO", "stats")["total_reads_processed"] - before <= 10
    assert await contents(ann) == list(range(100))


async def test_news_is_published_only_if_another_process_listens(ann: RedisLog, bob: RedisLog, valkey: Valkey) -> None:
    valkey.command("CONFIG", "RESETSTAT")
    await write(ann, 0)
    async with ann.watch("c") as changed:
        await quiet(changed)
        await write(ann, 1)
        assert calls(valkey, "publish") == 0
        async with bob.watch("c") as heard:
            await quiet(heard)
            await write(ann, 2)
            async with asyncio.timeout(NOTICED):
                await heard.wait()
        assert calls(valkey, "publish") == 1
        assert not changed.is_set()


async def test_news_is_published_though_the_server_has_dropped_ones_own_subscription(
    ann: RedisLog, bob: RedisLog, valkey: Valkey
) -> None:
    """Otherwise the one subscriber who is left would be mistaken for oneself."""
    async with ann.watch("c") as changed, bob.watch("c") as heard, bob.watch("d"):
        await quiet(changed)
        await quiet(heard)
        (subscription,) = re.findall(r"id=(\d+) .* sub=2 ", valkey.command("CLIENT", "LIST", "TYPE", "pubsub"))
        valkey.command("CLIENT", "KILL", "ID", subscription)
        await write(ann, 0)
        async with asyncio.timeout(NOTICED):
            await heard.wait()


async def test_a_watcher_is_woken_by_each_new_connection(ann: RedisLog, valkey: Valkey) -> None:
    """What was published meanwhile is lost."""
    async with ann.watch("c") as changed:
        await quiet(changed)
        valkey.command("CLIENT", "KILL", "TYPE", "pubsub")
        async with asyncio.timeout(NOTICED):
            await changed.wait()


async def test_news_goes_on_after_whatever_the_server_answered(ann: RedisLog, bob: RedisLog, valkey: Valkey) -> None:
    async with ann.watch("c") as changed:
        await quiet(changed)
        valkey.command("ACL", "SETUSER", "default", "resetchannels")
        valkey.command("CLIENT", "KILL", "TYPE", "pubsub")
        await asyncio.sleep(0.3)
        valkey.command("ACL", "SETUSER", "default", "allchannels")
        await quiet(changed)
        await write(bob, 0)
        async with asyncio.timeout(NOTICED):
            await changed.wait()


async def test_the_lease_and_the_news_outlive_an_error_that_nobody_expected(
    ann: RedisLog, bob: RedisLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its lease this process would be taken for dead."""
    failures: list[str] = []

    def fail_once(owner: object, name: str) -> None:
        method = getattr(owner, name)

        def failing(*args: object) -> Any:
            if name in failures:
                return method(*args)
            failures.append(name)
            raise ValueError("expected by nobody")

        monkeypatch.setattr(owner, name, failing)

    async with ann.watch("c") as changed:
        await quiet(changed)
        fail_once(ann, "_renew_lease")
        fail_once(ann._news, "_handle")
        await write(bob, 0)
        assert await eventually(lambda: len(failures) == 2, NOTICED)
        # A new connection wakes its watchers.
        async with asyncio.timeout(NOTICED):
            await changed.wait()
        await asyncio.sleep(LEASE * 2)
        assert await bob.alive(ann.worker)


async def test_what_is_watched_before_there_is_a_connection_is_known_to_be_subscribed(
    ann: RedisLog, valkey: Valkey
) -> None:
    """Otherwise this process would publish each event to itself."""
    async with ann.watch("c"):
        assert await eventually(lambda: ann._news.hears(KEY), NOTICED)
        valkey.command("CLIENT", "KILL", "TYPE", "pubsub")
        assert await eventually(lambda: not ann._news.hears(KEY), NOTICED)
        async with ann.watch("d"):
            assert await eventually(lambda: ann._news.hears("chat:{d}") and ann._news.hears(KEY), NOTICED)


async def test_a_conversation_that_was_watched_leaves_nothing_behind(ann: RedisLog) -> None:
    for name in "cde":
        async with ann.watch(name):
            assert await eventually(lambda name=name: ann._news.hears(f"chat:{{{name}}}"), NOTICED)  # type: ignore[misc]
    left = (ann._news._watchers, ann._news._heard, ann._news._unconfirmed)
    assert not any(left), left


async def test_an_append_is_given_up_in_time_though_reads_succeed(
    ann: RedisLog, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server is the replica of a primary that is not there."""
    monkeypatch.setattr(redis_calls, "PATIENCE_SECONDS", 1)
    await write(ann, 0)
    valkey.command("REPLICAOF", "127.0.0.1", 1)
    start = time.monotonic()
    try:
        async with asyncio.timeout(5):
            appending = asyncio.create_task(write(ann, 1))
            while not appending.done():
                assert await contents(ann) == [0]
                await asyncio.sleep(0.1)
        with pytest.raises(ReadOnlyError):
            await appending
        # Nor is it given up at once.
        assert time.monotonic() - start > 0.4
    finally:
        valkey.command("REPLICAOF", "NO", "ONE")
    await write(ann, 2)
    assert await contents(ann) == [0, 2]


async def test_a_lease_is_renewed_while_the_memory_is_full(ann: RedisLog, bob: RedisLog, valkey: Valkey) -> None:
    valkey.command("CONFIG", "SET", "maxmemory", 1)
    try:
        with pytest.raises(ResponseError, match="maxmemory"):
            await write(ann, 0)
        await asyncio.sleep(LEASE * 2)
        assert await ann.alive(bob.worker)
    finally:
        valkey.command("CONFIG", "SET", "maxmemory", 0)


async def test_nobody_is_called_dead_for_one_lease_after_an_outage(url: str, valkey: Valkey) -> None:
    async with Proxy(valkey.port) as proxy, RedisLog(f"redis://127.0.0.1:{proxy.port}", LEASE) as log:
        assert not await log.alive("somebody")
        proxy.target = free_port()
        proxy.cut()
        away = asyncio.create_task(log.alive("somebody"))
        await asyncio.sleep(LEASE)
        proxy.target = valkey.port
        assert await away
        assert await log.alive("somebody")
        start = time.monotonic()
        while await log.alive("somebody"):
            assert time.monotonic() - start < LEASE + 2
            await asyncio.sleep(0.02)


BROKEN: dict[str, tuple[str, bytes]] = {
    "another field": ("x", b"{}"),
    "not JSON": ("e", b"{"),
    "not UTF-8": ("e", b'{"content": "\xff"}'),
    "half a character": ("e", rb'{"content": "\ud83d"}'),
}


@pytest.mark.parametrize(("field", "value"), BROKEN.values(), ids=BROKEN)
async def test_an_entry_that_cannot_be_decoded_is_empty(
    ann: RedisLog, valkey: Valkey, field: str, value: bytes
) -> None:
    await write(ann, 0)
    valkey.command("XADD", KEY, "*", field, value)
    await write(ann, 1)
    assert [found for _, found in await ann.read("c", None)] == [event(0), {}, event(1)]


async def test_a_key_of_another_type_fails_for_its_readers_alone(ann: RedisLog, valkey: Valkey) -> None:
    valkey.command("SET", KEY, "no stream")
    await write(ann, 0, conversation="d")
    results = await asyncio.gather(ann.read("c", None), contents(ann, "d"), write(ann, 1), return_exceptions=True)
    assert [type(result) for result in results] == [ResponseError, list, ResponseError]
    assert results[1] == [0]


async def test_a_closed_log_says_so_and_leaves_no_connection(url: str, valkey: Valkey) -> None:
    def is_left_alone() -> bool:
        """Whether the connection that asks is the only one."""
        return bool(valkey.command("INFO", "clients")["connected_clients"] == 1)

    assert await eventually(is_left_alone)
    async with RedisLog(url, LEASE) as log:
        async with log.watch("c") as changed:
            await asyncio.gather(write(log, 0), contents(log), quiet(changed))
        assert not is_left_alone()
        assert valkey.command("EXISTS", f"chat-worker:{log.worker}")
    assert await eventually(is_left_alone)
    assert not valkey.command("EXISTS", f"chat-worker:{log.worker}")
    for call in (write(log, 1), contents(log), log.alive(log.worker)):
        with pytest.raises(Closed):
            await call


@pytest.mark.parametrize("count", [9, 10, 11, 25])
async def test_a_long_conversation_is_read_in_pages(
    ann: RedisLog, valkey: Valkey, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(redis_log, "PAGE", 10)
    places = await write(ann, *range(count))
    valkey.command("CONFIG", "RESETSTAT")
    assert await contents(ann) == list(range(count))
    # If there is more than one page, one more to see that the first has not been deleted meanwhile.
    assert calls(valkey, "xrange") == count // 10 + 1 + (count >= 10)
    assert [found["n"] for _, found in await ann.read("c", places[3])] == list(range(4, count))
    await ann.forget("c", places)
    assert await contents(ann) == []


@pytest.mark.parametrize("after", [None, 0])
async def test_no_page_of_a_deleted_conversation_is_mixed_with_what_begins_in_its_place(
    ann: RedisLog, bob: RedisLog, monkeypatch: pytest.MonkeyPatch, after: int | None
) -> None:
    monkeypatch.setattr(redis_log, "PAGE", 10)
    places = await write(bob, *range(15))
    read = ann._calls.read

    async def read_slowly(call: Any) -> Any:
        rows = await read(call)
        if places:
            await bob.forget("c", places)
            places.clear()
            await write(bob, 100)
        return rows

    monkeypatch.setattr(ann._calls, "read", read_slowly)
    if after is None:
        assert await contents(ann) == [100]
    else:
        with pytest.raises(Gap):
            await ann.read("c", places[after])


async def test_a_server_that_may_lose_conversations_is_warned_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "chat.redis_log")
    with Valkey(tmp_path, appendonly="no", maxmemory_policy="allkeys-lru") as valkey:
        async with RedisLog(valkey.url, LEASE):
            pass
    assert [record.getMessage() for record in caplog.records] == [
        "maxmemory-policy is allkeys-lru: conversations may be evicted",
        "appendonly is off: a restart of the store loses conversations",
    ]
