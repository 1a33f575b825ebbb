"""One client, without a network: what it gets, and that its leaving is noticed."""

import asyncio
import gc
import sqlite3
import weakref
from typing import Any

import pytest

import nodes
from chat import client as client_module
from chat.client import Client
from chat.conversation import Event
from chat.frames import Frame
from chat.sqlite_log import SqliteLog
from tests.support import eventually
from tests.support.fake_model import FakeModel
from tests.support.page import FakeWebSocket
from tests.support.rooms import LEASE, SETTINGS, OpenedRooms, app_rooms


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> FakeModel:
    model = FakeModel()
    monkeypatch.setattr(nodes, "stream_llm", model)
    return model


RESUME: Frame = {"type": "resume", "conversation": None}


async def test_a_plain_client_gets_an_end_for_each_message_whatever_it_replaces(
    model: FakeModel, ann: SqliteLog
) -> None:
    first = {"type": "message", "content": "Why?", "id": "t0"}
    socket: Any = FakeWebSocket(first, {**first, "id": "t1", "replaces": "t0"})
    model.may_go_on.set()
    async with asyncio.timeout(5):
        await Client(socket, app_rooms(ann), SETTINGS).run()
    assert [kind for kind in socket.types() if kind != "chunk"] == ["start", "end"] * 2


async def test_a_page_sees_that_the_model_is_loading_and_when_it_is_ready(ann: SqliteLog) -> None:
    socket: Any = FakeWebSocket(RESUME, stays=True)
    model: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(Client(socket, app_rooms(ann), SETTINGS, model).run())
    assert await eventually(lambda: socket.types() == ["conversation", "history"], 5)
    assert socket.frames[0]["loading"]
    model.set_result(None)
    assert await eventually(lambda: len(socket.frames) == 3, 5)
    assert socket.frames[2] == {**socket.frames[0], "loading": False}
    socket.leave()
    async with asyncio.timeout(5):
        await running


@pytest.mark.parametrize("first", [RESUME, {"type": "message", "content": "Why?", "id": "t0"}])
async def test_a_client_that_left_needs_no_garbage_collector(first: Frame, model: FakeModel, ann: SqliteLog) -> None:
    """A search for garbage stops everybody, the longer the more pages there are."""
    model.may_go_on.set()
    gc.disable()
    try:
        left = await served(first, app_rooms(ann))
        assert await eventually(lambda: left() is None)
    finally:
        gc.enable()


async def served(first: Frame, rooms: OpenedRooms) -> weakref.ref[Client]:
    """A client that asks this, and leaves once it is answered."""
    socket: Any = FakeWebSocket(first, stays=True)
    client = Client(socket, rooms, SETTINGS)
    running = asyncio.create_task(client.run())
    assert await eventually(lambda: not {"history", "end"}.isdisjoint(socket.types()), 5)
    socket.leave()
    async with asyncio.timeout(5):
        await running
    return weakref.ref(client)


class Silent(SqliteLog):
    """Its reads do not return."""

    async def read(self, conversation: str, after: int | None) -> list[tuple[int, Event]]:
        await asyncio.Event().wait()
        raise AssertionError


@pytest.mark.parametrize("first", [RESUME, {"type": "message", "content": "Why?", "id": "t0"}])
async def test_D04_a_client_that_leaves_before_its_history_is_noticed_at_once(first: Frame, path: str) -> None:
    async with Silent(path, LEASE) as log:
        rooms = app_rooms(log)
        socket: Any = FakeWebSocket(first, stays=True)
        running = asyncio.create_task(Client(socket, rooms, SETTINGS).run())
        assert await eventually(lambda: bool(rooms._open))
        socket.leave()
        async with asyncio.timeout(2):
            await running
        assert await eventually(lambda: not rooms._open)


@pytest.mark.parametrize(
    ("first", "seen"),
    [(RESUME, ["error"]), ({"type": "message", "content": "Why?", "id": "t0"}, ["error", "end"])],
    ids=["a page", "a plain client"],
)
async def test_D04_a_history_that_takes_too_long_is_an_error(
    first: Frame, seen: list[str], path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "OPEN_SECONDS", 0.05)
    async with Silent(path, LEASE) as log:
        socket: Any = FakeWebSocket(first, stays=True)
        async with asyncio.timeout(5):
            await Client(socket, app_rooms(log), SETTINGS).run()
        assert (socket.types(), socket.close_code) == (seen, 1013)
        assert socket.frames[0]["code"] == "unavailable"


async def test_D02_what_cannot_be_saved_is_refused_and_the_socket_stays(
    model: FakeModel, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Away(SqliteLog):
        away = False

        async def append(self, conversation: str, event: Event) -> tuple[int | None, int]:
            if self.away:
                raise sqlite3.OperationalError("locked")
            return await super().append(conversation, event)

    async with Away(path, LEASE) as log:
        socket: Any = FakeWebSocket(RESUME, stays=True)
        running = asyncio.create_task(Client(socket, app_rooms(log), SETTINGS).run())
        socket.send({"type": "message", "id": "t0", "content": "Why?"})
        assert await eventually(lambda: "chunk" in socket.types(), 5)
        log.away = True
        for frame in ({"type": "stop"}, {"type": "delete"}, {"type": "message", "id": "t1", "content": "And?"}):
            socket.send(frame)
        assert await eventually(lambda: socket.types().count("error") == 3, 5), socket.frames
        errors = [(frame["code"], frame.get("turn")) for frame in socket.frames if frame["type"] == "error"]
        assert errors == [("not_kept", None), ("not_kept", None), ("not_kept", "t1")]
        log.away = False
        model.may_go_on.set()
        assert await eventually(lambda: socket.frames[-1].get("status") == "done", 5), socket.frames
        socket.leave()
        async with asyncio.timeout(5):
            await running
