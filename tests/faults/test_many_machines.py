"""What can happen to a Redis or Valkey server, while ten replies stream: M01-M09 of the fault list.

Two workers reach it through a proxy. Each reply is read through both, and in the end it is done and whole.
OUTAGE=10 makes each outage last ten seconds.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis

from tests.support import Call, FakeOpenAI, Server, echo, eventually
from tests.support.proxy import Proxy
from tests.support.resuming import Tab, tabs, worker
from tests.support.store import rows_with
from tests.support.telling import tell, telling, text
from tests.support.valkey import Valkey

OUTAGE = float(os.environ.get("OUTAGE", "2.5"))  # seconds; longer than a call waits for its answer
REPLIES = 10
PACE = 0.05  # seconds between the pieces of a reply
AT_ONCE = 1.0  # seconds
BACK = 10.0  # seconds in which a reply catches up with its model


@dataclass
class Machines:
    """Two workers, and the way to their store."""

    valkey: Valkey
    proxy: Proxy
    workers: list[Server]


@asynccontextmanager
async def started(openai: FakeOpenAI, valkey: Valkey) -> AsyncIterator[Machines]:
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(Proxy(valkey.port))
        both = (worker(openai, f"redis://127.0.0.1:{proxy.port}") for _ in range(2))
        workers = await asyncio.gather(*(stack.enter_async_context(each) for each in both))
        yield Machines(valkey, proxy, workers)


@pytest.fixture(scope="module")
async def machines(openai: FakeOpenAI, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Machines]:
    with Valkey(tmp_path_factory.mktemp("valkey")) as valkey:
        async with started(openai, valkey) as machines:
            yield machines


@asynccontextmanager
async def streaming(openai: FakeOpenAI, workers: list[Server]) -> AsyncIterator[list[Tab]]:
    """Ten replies, which grow until the end of the block; the tabs that watch them through the first worker."""
    over = asyncio.Event()
    told: dict[str, int] = {}

    async def tells(call: Call) -> None:
        number = 0
        while not over.is_set():
            await tell(call, number, number + 1)
            await asyncio.sleep(PACE)
            number += 1
        await call.finish()
        told[call.question] = number

    openai.answers(tells)
    async with tabs(workers[0], [None] * REPLIES) as writing:
        ids = [await tab.ask(str(at)) for at, tab in enumerate(writing)]
        await asyncio.gather(*(tab.sees(id, text(0, 3)) for tab, id in zip(writing, ids, strict=True)))
        async with tabs(workers[1], [tab.conversation for tab in writing]) as reading:
            try:
                yield writing
            finally:
                over.set()
            for seen in (writing, reading):
                ended = await asyncio.gather(*(tab.ended(id, BACK) for tab, id in zip(seen, ids, strict=True)))
                for at, turn in enumerate(ended):
                    assert turn.whole == text(0, told[str(at)])


async def killed_for_a_second(machines: Machines) -> None:
    machines.valkey.kill()
    await asyncio.sleep(1)
    await asyncio.to_thread(machines.valkey.start)


async def killed(machines: Machines) -> None:
    machines.valkey.kill()
    await asyncio.sleep(OUTAGE)
    await asyncio.to_thread(machines.valkey.start)


async def paused(machines: Machines) -> None:
    machines.valkey.command("CLIENT", "PAUSE", int(OUTAGE * 1000))
    await asyncio.sleep(OUTAGE)


async def stalled(machines: Machines) -> None:
    machines.proxy.stall()
    await asyncio.sleep(OUTAGE)
    machines.proxy.go_on()


async def unanswered(machines: Machines) -> None:
    machines.proxy.swallows = True
    await asyncio.sleep(OUTAGE)
    machines.proxy.swallows = False


async def cut_ten_times(machines: Machines) -> None:
    for _ in range(10):
        machines.proxy.cut()
        await asyncio.sleep(0.1)


async def full(machines: Machines) -> None:
    """Reading goes on. A question is refused at once, as the page offers to send it again."""
    machines.valkey.command("CONFIG", "SET", "maxmemory", 1)
    async with Tab(machines.workers[0]) as tab:
        id = await tab.ask("Is there any room left?")
        await tab.until(lambda: id in tab.refused, AT_ONCE)
        assert tab.refused[id] == "not_kept"
        await asyncio.sleep(OUTAGE / 2)
        machines.valkey.command("CONFIG", "SET", "maxmemory", 0)


async def read_only(machines: Machines) -> None:
    """A replica of a primary that is not there."""
    machines.valkey.command("REPLICAOF", "127.0.0.1", 1)
    await asyncio.sleep(OUTAGE / 2)
    machines.valkey.command("REPLICAOF", "NO", "ONE")


Outage = Callable[[Machines], Awaitable[None]]
OUTAGES: dict[str, Outage] = {
    "M01 killed, back after a second": killed_for_a_second,
    "M01 killed, back later": killed,
    "M02 paused": paused,
    "M03 the network stalls": stalled,
    "M03 answers get lost": unanswered,
    "M04 all connections are reset ten times": cut_ten_times,
    "M05 the memory is full": full,
    "M06 read-only": read_only,
}


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES)
async def test_ten_replies_outlast(openai: FakeOpenAI, machines: Machines, outage: Outage) -> None:
    async with streaming(openai, machines.workers):
        await outage(machines)


async def test_M07_ten_replies_outlast_a_failover_that_loses_two_seconds(
    openai: FakeOpenAI, machines: Machines, tmp_path: Path
) -> None:
    primary = machines.valkey
    with Valkey(tmp_path, repl_diskless_sync_delay="0") as replica:
        async with Proxy(primary.port) as link, streaming(openai, machines.workers):
            replica.command("REPLICAOF", "127.0.0.1", link.port)
            await in_step(replica)
            link.stall()
            await asyncio.sleep(2)
            assert len(rows_with("", replica.url)) < len(rows_with("", primary.url)) - REPLIES
            primary.kill()
            replica.command("REPLICAOF", "NO", "ONE")
            machines.proxy.target = replica.port
            machines.proxy.cut()
        machines.proxy.target = primary.port
        machines.proxy.cut()
        await asyncio.to_thread(primary.start)


async def in_step(replica: Valkey) -> None:
    """Wait until the replica has what its primary has."""

    def is_in_step() -> bool:
        return bool(replica.command("INFO", "replication")["master_link_status"] == "up")

    assert await eventually(is_in_step, 10)


async def test_M08_a_store_that_comes_back_empty_empties_every_page(openai: FakeOpenAI, machines: Machines) -> None:
    """What the page then says: tests/page/conversation.test.mjs."""
    one, other = machines.workers
    openai.answers(telling(10_000, PACE))
    async with tabs(one, [None] * REPLIES) as writing:
        ids = [await tab.ask("Tell me a story.") for tab in writing]
        await asyncio.gather(*(tab.sees(id, text(0, 3)) for tab, id in zip(writing, ids, strict=True)))
        calls = openai.calls[-REPLIES:]
        async with tabs(other, [tab.conversation for tab in writing]) as reading:
            machines.valkey.kill()
            machines.valkey.forget_everything()
            await asyncio.to_thread(machines.valkey.start)
            for tab in (*writing, *reading):
                await tab.until(lambda: tab.histories > 1 and not tab.turns, BACK)  # noqa: B023
            await asyncio.gather(*(call.closed(AT_ONCE) for call in calls))
            openai.answers(echo)
            assert (await reading[0].answered("Are you there?")).whole == "You said: Are you there?"


async def test_M09_a_changed_password_is_an_error_for_new_pages(openai: FakeOpenAI, machines: Machines) -> None:
    one, other = machines.workers
    valkey = machines.valkey
    before = [outages(worker) for worker in machines.workers]
    async with tabs(one, [None] * REPLIES), tabs(other, [None] * REPLIES), one.client() as newcomer:
        with Redis(port=valkey.port, single_connection_client=True) as operator:
            operator.config_set("requirepass", "another")
            try:
                operator.client_kill_filter(_type="normal", skipme=True)
                operator.client_kill_filter(_type="pubsub")
                await newcomer.send({"type": "resume", "conversation": None})
                refusal = await newcomer.frame(5 + AT_ONCE)
                assert (refusal["type"], refusal["code"]) == ("error", "unavailable")
                assert await newcomer.close_code() == 1013
            finally:
                operator.config_set("requirepass", "")
        for worker, count in zip(machines.workers, before, strict=True):
            assert 1 <= outages(worker) <= count + 1
            assert "another" not in worker.log
        openai.answers(echo)
        async with Tab(one) as tab:
            assert (await tab.answered("Hello again.")).whole == "You said: Hello again."


def outages(worker: Server) -> int:
    """How often its log says that the store is away: at most one line in ten seconds."""
    return worker.log.count("the log of conversations cannot be reached")
