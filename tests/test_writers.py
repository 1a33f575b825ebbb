"""Rooms, their writers and views, where a random world comes by too rarely."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import Any

import pytest

import chat.log
import nodes
from chat.client import show
from chat.conversation import Conversation, Event
from chat.frames import Frame
from chat.reply import Reply
from chat.sqlite_file import SqliteFile
from chat.sqlite_log import SqliteLog
from tests.support import eventually
from tests.support.fake_model import FakeModel, Script
from tests.support.logs import chunk, question
from tests.support.rooms import LEASE, SETTINGS, OpenedRooms, app_rooms, ended, stored
from utils.pieces import Reasoning
from utils.settings import Settings


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> FakeModel:
    model = FakeModel()
    monkeypatch.setattr(nodes, "stream_llm", model)
    return model


async def forget_last(log: SqliteLog, count: int, kind: str = "chunk") -> None:
    places = [place for place, event in await log.read("c", None) if event["type"] == kind]
    await log.forget("c", places[len(places) - count :])


async def test_a_conversation_deleted_elsewhere_leaves_nothing_behind(
    model: FakeModel, ann: SqliteLog, bob: SqliteLog
) -> None:
    """Neither in the file, nor a reply that waits for its turn for ever."""
    before = asyncio.all_tasks()
    async with app_rooms(bob).enter("c") as (room, there):
        async with app_rooms(ann).enter("c") as (_, here):
            await here.ask("t0", "Why?")
            await here.ask("t1", "Why?")
        async with asyncio.timeout(5):
            await room.until(lambda: room.conversation.turn("t1") is not None)
        await there.delete()
    model.may_go_on.set()
    assert await eventually(lambda: not asyncio.all_tasks() - before, 2), asyncio.all_tasks() - before
    assert await ann.read("c", None) == []


async def test_a_writer_notices_a_deletion_while_it_appends(
    ann: SqliteLog, bob: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = asyncio.all_tasks()

    async def endless(messages: Any) -> AsyncIterator[str]:
        while True:
            yield "x"

    monkeypatch.setattr(nodes, "stream_llm", endless)
    async with app_rooms(bob).enter("c") as (_, there), app_rooms(ann).enter("c") as (room, here):
        await here.ask("t0", "Why?")
        async with asyncio.timeout(5):
            await room.until(lambda: len(room.conversation.turns[0].pieces) > 5)
        await there.delete()
    assert await eventually(lambda: not asyncio.all_tasks() - before, 5)
    assert await ann.read("c", None) == []


async def test_a_client_that_leaves_does_not_undo_its_deletion(model: FakeModel, ann: SqliteLog) -> None:
    before = asyncio.all_tasks()
    async with app_rooms(ann).enter("c") as (_, writers):
        await writers.ask("t0", "Why?")
        deleting = asyncio.create_task(writers.delete())
        await asyncio.sleep(0)
        deleting.cancel()
    assert await eventually(lambda: not asyncio.all_tasks() - before, 5)
    assert await ann.read("c", None) == []


class Away(SqliteLog):
    """It can be away: then appends fail, perhaps `although` they were carried out, and reads, if `blind`."""

    away = although = blind = False

    async def append(self, conversation: str, event: Event) -> tuple[int | None, int]:
        if self.away:
            if self.although:
                await super().append(conversation, event)
            raise sqlite3.OperationalError("locked")
        return await super().append(conversation, event)

    async def read(self, conversation: str, after: int | None) -> list[tuple[int, Event]]:
        if self.away and self.blind:
            raise sqlite3.OperationalError("locked")
        return await super().read(conversation, after)


@pytest.mark.parametrize("although", [False, True])
async def test_D02_a_reply_outlasts_a_log_that_is_away_for_a_while(
    path: str, model: FakeModel, although: bool, caplog: pytest.LogCaptureFixture
) -> None:
    chat.log.outages.filters[0]._quiet_until = 0.0  # type: ignore[union-attr]
    async with Away(path, LEASE) as log, app_rooms(log).enter("c") as (room, writers):
        await writers.ask("t0", "Why?")
        await room.until(lambda: room.conversation.turns[0].answer == "Once")
        log.away = True
        log.although = although
        model.may_go_on.set()
        assert await eventually(lambda: "cannot be reached" in caplog.text, 5)
        with pytest.raises(sqlite3.OperationalError):
            await writers.ask("t1", "And?") if not although else await writers.stop("t0")
        log.away = False
        status = await ended(room, "t0")
        turn = (await stored(log)).turns[0]
        assert turn.status == status == ("done" if not although else "stopped")
        assert turn.answer == "Once upon" or although
        assert caplog.text.count("cannot be reached") == 1


async def test_a_question_is_answered_even_if_its_append_reported_failure(model: FakeModel, path: str) -> None:
    """Otherwise it would stay open while its worker lives, and every later one would wait for it."""
    model.may_go_on.set()
    async with Away(path, LEASE) as log, app_rooms(log).enter("c") as (room, writers):
        log.away = log.although = True
        await writers.ask("t0", "Why?")
        log.away = False
        await writers.ask("t1", "And?")
        await ended(room, "t1")
        assert [turn.status for turn in room.conversation.turns] == ["done", "done"]


async def test_such_a_question_is_answered_even_if_nobody_stays(model: FakeModel, path: str) -> None:
    model.may_go_on.set()
    async with Away(path, LEASE) as log:
        rooms = app_rooms(log)
        async with rooms.enter("c") as (_, writers):
            log.away = log.although = log.blind = True
            with pytest.raises(sqlite3.OperationalError):
                await writers.ask("t0", "Why?")
        log.away = False
        assert await eventually(lambda: not rooms._open, 5)
        assert [turn.status for turn in (await stored(log)).turns] == ["done"]


@pytest.mark.parametrize("lost", [1, 3, 6])
async def test_D01_a_reply_is_whole_although_the_log_went_back_under_it(
    lost: int, ann: SqliteLog, bob: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Script(6, 3)
    monkeypatch.setattr(nodes, "stream_llm", model)
    async with app_rooms(bob).enter("c") as (other, _), app_rooms(ann).enter("c") as (room, writers):
        await writers.ask("t0", "Why?")
        await room.until(lambda: len(room.conversation.turns[0].pieces) == 6)
        await forget_last(bob, lost)
        async with asyncio.timeout(5):
            await room.until(lambda: room.epoch > 0)
        model.may_go_on.set()
        assert (await ended(room, "t0"), await ended(other, "t0")) == ("done", "done")
        assert (await stored(bob)).turns[0].answer == other.conversation.turns[0].answer == model.whole


async def test_D01_a_reply_whose_end_was_lost_too_is_interrupted(
    ann: SqliteLog, bob: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody writes it any more, and its worker lives: a second answer must not mix with the first."""
    model = Script(6)
    monkeypatch.setattr(nodes, "stream_llm", model)
    async with app_rooms(ann).enter("c") as (room, writers):
        await writers.ask("t0", "Why?")
        await ended(room, "t0")
        await forget_last(bob, 1, "end")
        await forget_last(bob, 2)
        async with asyncio.timeout(5):
            await room.until(lambda: room.conversation.turns[0].status == "interrupted")
        assert room.conversation.turns[0].answer == model.text(4)
        assert model.calls == 1


async def test_D03_events_of_an_unknown_shape_are_passed_over_and_stay(
    model: FakeModel, ann: SqliteLog, caplog: pytest.LogCaptureFixture
) -> None:
    model.may_go_on.set()
    odd: list[Any] = [{"type": "title", "text": "New"}, {"type": "title", "turn": "t9"}, ["x"], {"turn": "t0"}, 7]
    odd += [{"type": "user", "turn": "t0"}, {"type": "chunk", "turn": [], "n": 0, "content": ""}, {"type": []}]
    for event in odd:
        await ann.append("c", event)
    async with app_rooms(ann).enter("c") as (room, writers):
        await writers.ask("t0", "Why?")
        assert await ended(room, "t0") == "done"
    assert [event for _, event in await ann.read("c", None)][: len(odd)] == odd
    assert len(caplog.records) <= 1, "said once"


async def test_D03_a_conversation_that_cannot_be_read_disturbs_no_other(
    path: str, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = SqliteFile._read

    def half_blind(self: SqliteFile, conversation: str, start: int) -> Any:
        return sqlite3.DatabaseError("malformed") if conversation == "bad" else read(self, conversation, start)

    monkeypatch.setattr(SqliteFile, "_read", half_blind)
    model.may_go_on.set()
    async with SqliteLog(path, LEASE) as log:
        rooms = app_rooms(log)

        async def enter_bad() -> None:
            async with rooms.enter("bad"):
                raise AssertionError("it was opened")

        bad = asyncio.create_task(enter_bad())
        async with rooms.enter("c") as (room, writers):
            await writers.ask("t0", "Why?")
            assert await ended(room, "t0") == "done"
        bad.cancel()
        assert await eventually(lambda: not rooms._open, 5)


async def test_a_dead_worker_is_noticed_beside_busy_neighbours(ann: SqliteLog, bob: SqliteLog) -> None:
    await ann.append("c", {"type": "user", "turn": "t0", "worker": "dead", "content": "Why?"})

    async def busy() -> None:
        while True:
            await bob.append("d", {"type": "user", "turn": "t0", "worker": bob.worker, "content": "Why?"})
            await asyncio.sleep(0.01)

    noise = asyncio.create_task(busy())
    async with app_rooms(ann).enter("c") as (room, _):
        assert await ended(room, "t0") == "interrupted"
    noise.cancel()


async def test_a_dead_worker_is_noticed_although_its_readers_are_announced(ann: SqliteLog, bob: SqliteLog) -> None:
    await ann.append("c", {"type": "user", "turn": "t0", "worker": "dead", "content": "Why?"})
    settings = Settings(lease_seconds=LEASE, grace_seconds=0, orphan_seconds=0.1)
    async with app_rooms(ann, settings).enter("c") as (room, _), app_rooms(bob, settings).enter("c"):
        assert await ended(room, "t0") == "interrupted"


async def test_a_reply_that_is_read_elsewhere_goes_on(model: FakeModel, ann: SqliteLog, bob: SqliteLog) -> None:
    settings = Settings(lease_seconds=LEASE, grace_seconds=0, orphan_seconds=0.3)
    async with app_rooms(bob, settings).enter("c") as (other, _):
        async with app_rooms(ann, settings).enter("c") as (_, writers):
            await writers.ask("t0", "Why?")
        announced = 0
        async with asyncio.timeout(10):
            while announced < 6:
                announced = [event["type"] for _, event in await bob.read("c", None)].count("watched")
                await asyncio.sleep(0.01)
        assert other.conversation.is_open("t0")
    async with app_rooms(bob, settings).enter("c", reading=False) as (other, _):
        assert await ended(other, "t0") == "interrupted"


async def test_a_reply_that_nobody_reads_ends_as_interrupted(model: FakeModel, ann: SqliteLog) -> None:
    before = asyncio.all_tasks()
    async with app_rooms(ann, Settings(lease_seconds=LEASE, orphan_seconds=0.2)).enter("c") as (_, writers):
        await writers.ask("t0", "Why?")
    assert await eventually(lambda: not asyncio.all_tasks() - before, 5)
    assert [(turn.status, turn.answer) for turn in (await stored(ann)).turns] == [("interrupted", "Once")]


async def test_a_reply_goes_on_when_its_old_tab_closes(model: FakeModel, ann: SqliteLog) -> None:
    rooms = app_rooms(ann)
    async with rooms.enter("c", reading=False) as (room, _):
        async with rooms.enter("c") as (_, writers):
            await writers.ask("t0", "Why?")
            room.read_at -= 1000  # The tab was opened long ago.
        model.may_go_on.set()
        assert await ended(room, "t0") == "done"


async def test_a_question_takes_the_chunks_of_whole_replies_out_of_the_log(model: FakeModel, ann: SqliteLog) -> None:
    async with app_rooms(ann).enter("c") as (room, writers), asyncio.timeout(5):
        await writers.ask("t0", "Why?")
        await room.until(lambda: room.conversation.turns[0].answer == "Once")
        await writers.stop()
        model.may_go_on.set()
        for turn_id in ("t1", "t2"):
            await writers.ask(turn_id, "Why?")
            await ended(room, turn_id)
        await room.until(lambda: room.is_idle)
    kept = [event["turn"] for _, event in await ann.read("c", None) if event["type"] == "chunk"]
    assert kept == ["t0", "t2", "t2"]
    assert [turn.answer for turn in (await stored(ann)).turns] == ["Once", "Once upon", "Once upon"]


async def test_a_drain_ends_what_runs_waits_and_is_still_asked(model: FakeModel, ann: SqliteLog) -> None:
    rooms = app_rooms(ann)
    async with rooms.enter("c") as (room, writers):
        await writers.ask("t0", "Why?")
        await writers.ask("t1", "Why?")
        await rooms.drain(0)
        await writers.ask("t2", "Why?")
        await ended(room, "t2")
        assert [turn.status for turn in room.conversation.turns] == ["interrupted"] * 3
        async with asyncio.timeout(5):
            await room.until(lambda: room.is_idle)


async def test_an_answer_with_a_defect_is_not_tried_again(ann: SqliteLog) -> None:
    calls = 0

    async def broken(*_: Any) -> Reply:
        nonlocal calls
        calls += 1
        raise ValueError

    rooms = OpenedRooms(ann, broken, lease_seconds=LEASE, orphan_seconds=300, max_replies=9)
    async with rooms.enter("c") as (room, writers):
        await writers.ask("t0", "Why?")
        assert await ended(room, "t0") == "interrupted"
        async with asyncio.timeout(5):
            await room.until(lambda: room.is_idle)
    assert calls == 1


async def test_no_work_for_a_chunk_grows_with_the_number_of_turns(
    ann: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(300):
        await ann.append("c", {"type": "user", "turn": f"o{n}", "worker": "x", "content": "?"})
        await ann.append("c", {"type": "end", "turn": f"o{n}", "status": "stopped"})
    looks = 0
    find: Any = Conversation.current.fget  # type: ignore[attr-defined]

    def counted(self: Conversation) -> Any:
        nonlocal looks
        looks += 1
        return find(self)

    monkeypatch.setattr(Conversation, "current", property(counted))

    async def many_chunks(messages: Any) -> AsyncIterator[str]:
        for _ in range(200):
            yield "x"
            yield Reasoning("y")

    monkeypatch.setattr(nodes, "stream_llm", many_chunks)
    async with app_rooms(ann).enter("c") as (room, writers):
        await writers.ask("t0", "Why?")
        await ended(room, "t0")
        assert len(room.conversation.turns[-1].pieces) == 400
    assert looks < 40, looks


class SlowToRead(SqliteLog):
    """Its reading waits for the test, before and after it looks into the file."""

    def __init__(self, path: str, lease: float) -> None:
        super().__init__(path, lease)
        self.begun, self.may_look, self.has_looked, self.may_tell = (asyncio.Event() for _ in range(4))

    async def read(self, conversation: str, after: int | None) -> list[tuple[int, Event]]:
        self.begun.set()
        await self.may_look.wait()
        found = await super().read(conversation, after)
        self.has_looked.set()
        await self.may_tell.wait()
        return found


async def test_an_append_during_a_read_does_not_lose_the_place(path: str) -> None:
    """A room that stood at an old chunk would fold all of it again, once that chunk is dropped."""
    async with SlowToRead(path, LEASE) as log, asyncio.timeout(10):
        log.may_look.set()
        log.may_tell.set()
        async with app_rooms(log, Settings()).enter("c", reading=False) as (room, _):
            log._watchers.clear()  # Another read would find the place again.
            await room.append(question("t0", "elsewhere"))
            for event in (log.begun, log.may_look, log.has_looked, log.may_tell):
                event.clear()
            reading = asyncio.create_task(room.catch_up())
            await log.begun.wait()
            await room.append(chunk("t0", 0, "Once"))
            log.may_look.set()
            await log.has_looked.wait()
            await room.append(chunk("t0", 1, " upon"))
            log.may_tell.set()
            await reading
            await log.forget("c", [place for place, event in await log.read("c", None) if event.get("n") == 0])
            epoch = room.epoch
            await room.catch_up()
            assert room.epoch == epoch


async def test_catching_up_is_not_content_with_a_read_that_began_before(path: str) -> None:
    async with SlowToRead(path, LEASE) as log, asyncio.timeout(10):
        log.may_look.set()
        log.may_tell.set()
        async with app_rooms(log).enter("c") as (room, _):
            log.has_looked.clear()
            log.may_tell.clear()
            reading = asyncio.create_task(room.catch_up())
            await log.has_looked.wait()
            await log.append("c", question("t0"))
            catching_up = asyncio.create_task(room.catch_up())
            log.may_tell.set()
            await catching_up
            assert room.conversation.turn("t0")
            await reading


async def test_an_edit_during_a_slow_history_is_shown(model: FakeModel, ann: SqliteLog) -> None:
    frames: list[Frame] = []
    taking = asyncio.Event()
    go_on = asyncio.Event()

    async def slow(frame: Frame) -> None:
        taking.set()
        await go_on.wait()
        frames.append(frame)

    async with app_rooms(ann).enter("c") as (room, writers):
        model.may_go_on.set()
        await writers.ask("t0", "Why?")
        await ended(room, "t0")
        showing = asyncio.create_task(show(room, slow, resuming=True))
        await taking.wait()
        await writers.ask("t1", "Why?", replaces="t0")
        await ended(room, "t1")
        go_on.set()
        assert await eventually(lambda: [frame["type"] for frame in frames].count("history") == 2), frames
        assert [turn["id"] for turn in frames[-1]["turns"]] == ["t1"]
        showing.cancel()
        with suppress(asyncio.CancelledError):
            await showing


async def test_a_burst_of_questions_does_not_pass_the_limit_of_replies(model: FakeModel, ann: SqliteLog) -> None:
    rooms = app_rooms(ann, replace(SETTINGS, max_replies=5))
    async with AsyncExitStack() as stack:
        entered = [await stack.enter_async_context(rooms.enter(f"c{n}")) for n in range(20)]
        asking = []
        for _, writers in entered:
            if rooms.make_room():
                asking.append(asyncio.create_task(writers.ask("t0", "Why?")))
                await asyncio.sleep(0)
        await asyncio.gather(*asking)
        assert len(asking) == 5
        model.may_go_on.set()


async def test_a_deletion_is_not_retried_on_a_log_that_was_closed(model: FakeModel, path: str) -> None:
    before = asyncio.all_tasks()
    model.may_go_on.set()
    async with Away(path, LEASE) as log:
        async with app_rooms(log).enter("c") as (room, writers):
            await writers.ask("t0", "Why?")
            await ended(room, "t0")
            log.away = log.blind = True
            writers.surely_delete()
        await asyncio.sleep(0)
    log.away = False
    assert await eventually(lambda: not asyncio.all_tasks() - before, 5), asyncio.all_tasks() - before
