"""Conversations that come and go leave nothing behind: the app itself, with no socket around it."""

import asyncio
import gc
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from fastapi import FastAPI
from starlette.types import Message

import nodes
from chat import client as client_module
from chat.conversation import Conversation
from chat.room import Room
from main import create_app
from tests.support import eventually
from tests.support.store import rows_with
from utils.settings import Settings

MANY = 1_000
AT_A_TIME = 20
HELD = (Room, Conversation, asyncio.Task, asyncio.Future, asyncio.Event)
LIMIT = 5.0  # seconds for one wait

Frame = dict[str, Any]


class Visit:
    """A client of /ws: `async with Visit(app) as client`. It leaves without a word."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._sent: asyncio.Queue[Message] = asyncio.Queue()
        self._received: asyncio.Queue[Message] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        scope = {"type": "websocket", "path": "/ws", "headers": [(b"host", b"localhost")], "query_string": b""}
        self._serving = asyncio.create_task(self._app(scope, self._sent.get, self._received.put))
        self._sent.put_nowait({"type": "websocket.connect"})
        assert (await self._received.get())["type"] == "websocket.accept"
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._sent.put_nowait({"type": "websocket.disconnect", "code": 1006})
        async with asyncio.timeout(LIMIT):
            await self._serving

    def send(self, **frame: Any) -> None:
        self._sent.put_nowait({"type": "websocket.receive", "text": json.dumps(frame)})

    async def until(self, kind: str) -> Frame:
        """The next frame of this type."""
        async with asyncio.timeout(LIMIT):
            while (frame := json.loads((await self._received.get())["text"]))["type"] != kind:
                pass
        return dict(frame)

    def everything(self) -> list[str]:
        """The types of all frames that have come and were not read."""
        return [json.loads(self._received.get_nowait()["text"])["type"] for _ in range(self._received.qsize())]


@pytest.fixture
async def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FastAPI]:
    """The running app, with a model that answers "short" questions and gets stuck in all others."""

    async def stream_llm(messages: list[dict[str, str]]) -> AsyncIterator[str]:
        yield "Once"
        yield " upon"
        if messages[-1]["content"] != "short":
            await asyncio.Event().wait()

    # What the tests before this one left is not counted: gc.get_objects() leaves out what is frozen.
    gc.collect()
    gc.freeze()
    monkeypatch.setattr(nodes, "stream_llm", stream_llm)
    monkeypatch.setattr("chat.rooms.CACHED_CHARS", 0)
    store = f"sqlite:///{tmp_path}/chat.db"
    app = create_app(Settings(openai_api_key="sk-fake", store_url=store, orphan_seconds=0.05))
    async with app.router.lifespan_context(app):
        await app.state.model  # Imports go on in a thread until then, and gc.get_objects() disturbs them.
        yield app
    gc.unfreeze()


async def test_1_000_conversations_leave_no_room_task_or_watcher_behind(app: FastAPI, tmp_path: Path) -> None:
    await visits(app, AT_A_TIME)
    assert await eventually(lambda: held()[Room] == 0, LIMIT)
    before = held()
    await visits(app, MANY)
    assert await eventually(lambda: held() <= before, LIMIT), f"{held()}, {before} before"
    assert rows_with("plain", f"sqlite:///{tmp_path}/chat.db") == []


async def test_a_silent_conversation_gets_pings_for_clients_that_know_them(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "PING_SECONDS", 0.01)
    async with Visit(app) as plain, Visit(app) as resuming:
        plain.send(type="message", content="short")
        resuming.send(type="resume", conversation=None)
        for _ in range(5):
            await resuming.until("ping")
        await plain.until("end")
        for _ in range(5):
            await resuming.until("ping")
        assert plain.everything() == []


async def a_plain_client_stays_to_the_end(client: Visit) -> None:
    client.send(type="message", content="short")
    await client.until("end")


async def a_plain_client_leaves_mid_answer(client: Visit) -> None:
    client.send(type="message", content="plain and long")
    client.send(type="message", content="plain and waiting")
    await client.until("chunk")


async def a_tab_stays_to_the_end(client: Visit) -> None:
    client.send(type="resume", conversation=None)
    client.send(type="message", content="short")
    await client.until("end")


async def a_tab_never_comes_back(client: Visit) -> None:
    client.send(type="resume", conversation=None)
    client.send(type="message", content="long")
    client.send(type="message", content="waiting")
    await client.until("chunk")


async def a_tab_stops_and_deletes(client: Visit) -> None:
    client.send(type="resume", conversation=None)
    client.send(type="message", content="long")
    await client.until("chunk")
    client.send(type="stop")
    await client.until("end")
    client.send(type="delete")
    await client.until("history")


KINDS = (
    a_plain_client_stays_to_the_end,
    a_plain_client_leaves_mid_answer,
    a_tab_stays_to_the_end,
    a_tab_never_comes_back,
    a_tab_stops_and_deletes,
)


async def visits(app: FastAPI, count: int) -> None:
    """So many clients of all kinds come and go, some at a time."""
    coming = iter(range(count))

    async def come_and_go() -> None:
        for number in coming:
            async with Visit(app) as client:
                await KINDS[number % len(KINDS)](client)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_A_TIME):
            tasks.create_task(come_and_go())


def held() -> Counter[type]:
    """How many there are of the things that a conversation needs while somebody is in it."""
    gc.collect()
    return Counter(type(thing) for thing in gc.get_objects() if type(thing) in HELD)
