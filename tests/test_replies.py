"""Replies, rooms and views, where a random world comes by too rarely."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

import nodes
from tests.conftest import LEASE
from tests.support import eventually
from utils.connection import Connection
from utils.conversation import Conversation, Event
from utils.frames import BadFrame, Command, Frame, read_frame
from utils.replies import Replies
from utils.room import Room
from utils.settings import Settings
from utils.sqlite_log import SqliteLog
from utils.view import show

SETTINGS = Settings(lease_seconds=LEASE, grace_seconds=0)


class FakeModel:
    """Says "Once" and goes on when it may."""

    def __init__(self) -> None:
        self.may_go_on = asyncio.Event()

    async def __call__(self, messages: list[dict[str, str]]) -> AsyncIterator[str]:
        yield "Once"
        await self.may_go_on.wait()
        yield " upon"


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> FakeModel:
    model = FakeModel()
    monkeypatch.setattr(nodes, "stream_llm", model)
    return model


def message(id: str, replaces: str = "") -> Command:
    return read_frame(json.dumps({"type": "message", "id": id, "content": f"{id}?", "replaces": replaces}), 100)


async def ended(room: Room, id: str) -> None:
    async with asyncio.timeout(5):
        await room.until(lambda: room.conversation.turn(id) is not None and not room.is_open(id))


async def test_a_conversation_that_is_deleted_elsewhere_leaves_nothing_behind(
    model: FakeModel, ann: SqliteLog, bob: SqliteLog
) -> None:
    """Neither in the file, nor a reply that waits for its turn for ever."""
    before = asyncio.all_tasks()
    here, there = Replies(ann, SETTINGS), Replies(bob, SETTINGS)
    async with there.room("c") as room:
        async with here.room("c") as own:
            await here.ask(own, message("t0"))
            await here.ask(own, message("t1"))
        async with asyncio.timeout(5):
            await room.until(lambda: room.conversation.turn("t1") is not None)
        await there.delete(room)
    model.may_go_on.set()
    assert await eventually(lambda: not asyncio.all_tasks() - before, 2), asyncio.all_tasks() - before
    assert await ann.read("c", None) == []


class Forgetful(SqliteLog):
    """Its answer to the first question is lost: the event is there, and nobody knows."""

    lost = False

    async def append(self, conversation: str, event: Event) -> tuple[int | None, int]:
        places = await super().append(conversation, event)
        if event["type"] == "user" and not self.lost:
            self.lost = True
            raise OSError
        return places


async def test_a_question_whose_append_failed_although_it_is_there_stays_not_open(model: FakeModel, path: str) -> None:
    """Else it stays open for as long as its worker lives, and every later one waits for it."""
    model.may_go_on.set()
    async with Forgetful(path, LEASE) as log:
        replies = Replies(log, SETTINGS)
        async with replies.room("c") as room:
            with suppress(BadFrame):  # It may be answered, or refused.
                await replies.ask(room, message("t0"))
            await replies.ask(room, message("t1"))
            await ended(room, "t1")
            assert room.conversation.turns[-1].status == "done"


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


async def test_what_is_added_while_the_log_is_read_does_not_lose_the_place_in_it(path: str) -> None:
    """A room that stood at an old chunk would fold all of it again, once that chunk is dropped."""
    chunk = {"type": "chunk", "turn": "t0", "content": "Once"}
    async with SlowToRead(path, LEASE) as log, asyncio.timeout(10):
        log.may_look.set()
        log.may_tell.set()
        async with Replies(log, SETTINGS).room("c") as room:
            await room.append({"type": "user", "turn": "t0", "worker": log.worker, "content": "Why?"})
            for event in (log.begun, log.may_look, log.has_looked, log.may_tell):
                event.clear()
            reading = asyncio.create_task(room.catch_up())
            await log.begun.wait()
            await room.append({**chunk, "n": 0})
            log.may_look.set()
            await log.has_looked.wait()
            await room.append({**chunk, "n": 1})
            log.may_tell.set()
            await reading
            await log.forget("c", [id for id, event in await log.read("c", None) if event.get("n") == 0])
            epoch = room.epoch
            await room.catch_up()
            assert room.epoch == epoch


async def test_an_edit_while_a_slow_page_takes_the_history_is_shown_to_it(model: FakeModel, ann: SqliteLog) -> None:
    replies, frames = Replies(ann, SETTINGS), []
    taking, go_on = asyncio.Event(), asyncio.Event()

    async def slow(frame: Frame) -> None:
        taking.set()
        await go_on.wait()
        frames.append(frame)

    async with replies.room("c") as room:
        model.may_go_on.set()
        await replies.ask(room, message("t0"))
        await ended(room, "t0")
        showing = asyncio.create_task(show(room, slow, resuming=True))
        await taking.wait()
        await replies.ask(room, message("t1", replaces="t0"))
        await ended(room, "t1")
        go_on.set()
        assert await eventually(lambda: [frame["type"] for frame in frames].count("history") == 2), frames
        assert [turn["id"] for turn in frames[-1]["turns"]] == ["t1"]
        showing.cancel()


class FakeWebSocket:
    """A client that says its next message when it has seen the end of the one before, and then leaves."""

    def __init__(self, *messages: Frame) -> None:
        self.frames: list[Frame] = []
        self._incoming: asyncio.Queue[Frame] = asyncio.Queue()
        self._messages = list(messages)
        self._next()

    async def receive(self) -> Frame:
        return await self._incoming.get()

    async def send_text(self, text: str) -> None:
        self.frames.append(json.loads(text))
        if self.frames[-1]["type"] == "end":
            self._next()

    def _next(self) -> None:
        gone = {"type": "websocket.disconnect", "code": 1000}
        said = [{"type": "websocket.receive", "text": json.dumps(said)} for said in self._messages[:1]]
        del self._messages[:1]
        self._incoming.put_nowait(said[0] if said else gone)


async def test_a_plain_client_gets_an_end_for_each_message_whatever_it_replaces(
    model: FakeModel, ann: SqliteLog
) -> None:
    first = {"type": "message", "content": "Why?", "id": "t0"}
    socket: Any = FakeWebSocket(first, {**first, "id": "t1", "replaces": "t0"})
    model.may_go_on.set()
    async with asyncio.timeout(5):
        await Connection(socket, Replies(ann, SETTINGS), SETTINGS).run()
    assert [frame["type"] for frame in socket.frames if frame["type"] != "chunk"] == ["start", "end"] * 2


async def test_a_page_is_told_that_the_model_is_loading_and_when_it_is_ready(ann: SqliteLog) -> None:
    socket: Any = FakeWebSocket({"type": "resume", "conversation": None})
    model: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(Connection(socket, Replies(ann, SETTINGS), SETTINGS, model).run())
    assert await eventually(lambda: [frame["type"] for frame in socket.frames] == ["conversation", "history"], 5)
    assert socket.frames[0]["loading"]
    model.set_result(None)
    assert await eventually(lambda: len(socket.frames) == 3, 5)
    assert socket.frames[2] == {**socket.frames[0], "loading": False}
    running.cancel()


async def test_a_reply_that_nobody_reads_ends_as_interrupted(model: FakeModel, ann: SqliteLog) -> None:
    replies = Replies(ann, Settings(lease_seconds=LEASE, orphan_seconds=0.2))
    before = asyncio.all_tasks()
    async with replies.room("c") as room:
        await replies.ask(room, message("t0"))
    assert await eventually(lambda: not asyncio.all_tasks() - before, 5)
    conversation = Conversation()
    for id, event in await ann.read("c", None):
        conversation.apply(id, event)
    assert [(turn.status, turn.answer) for turn in conversation.turns] == [("interrupted", "Once")]
