"""Whatever a client sends and whatever stands in the log: nothing raises, and nothing is left running.

FRAMES=20000 draws so many frames, and rows, in place of about a thousand.
"""

import asyncio
import json
import logging
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nodes
from chat.client import Client
from chat.sqlite_log import SqliteLog
from tests.support import eventually
from tests.support.page import FakeWebSocket
from tests.support.rooms import SETTINGS, app_rooms
from tests.test_properties import ANY_TEXT, JSON, fake_model

A_LIST = 10
MANY = settings(
    max_examples=int(os.environ.get("FRAMES", "1000")) // A_LIST,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)

# A reply that nobody writes ends soon.
LEASE = 0.05
QUICK = replace(SETTINGS, lease_seconds=LEASE)

IDS = st.sampled_from(["", "a", "b", "c"])
ODD = st.one_of(IDS, JSON)
COMMANDS = st.one_of(
    st.builds(lambda id, text, replaces: {"type": "message", "id": id, "content": text, "replaces": replaces},
              IDS, st.text(min_size=1, max_size=20), IDS),
    st.builds(lambda id: {"type": "stop", "turn": id}, IDS),
    st.builds(lambda id: {"type": "earlier", "before": id}, IDS),
    st.builds(lambda id: {"type": "delete", "conversation": id}, IDS),
    st.builds(lambda id, turn, status, chars: {"type": "resume", "conversation": id,
                                               "after": {"turn": turn, "status": status, "chars": chars}},
              IDS, ODD, ODD, ODD),
    st.builds(lambda id, after: {"type": "resume", "conversation": id, "after": after}, IDS, JSON),
    st.fixed_dictionaries({"type": ODD}, optional=dict.fromkeys(("content", "id", "replaces", "turn"), ODD)),
)  # fmt: skip
TEXTS = st.one_of(COMMANDS.map(json.dumps), JSON.map(json.dumps), ANY_TEXT)
RECEIVED = st.one_of(
    st.builds(lambda text: {"type": "websocket.receive", "text": text}, TEXTS),
    st.builds(lambda data: {"type": "websocket.receive", "bytes": data}, st.binary(max_size=20)),
)

TYPES = st.sampled_from(["user", "chunk", "end", "watched"])
FIELDS = ("worker", "content", "status", "replaces", "drops", "kind", "reasoning", "error")
EVENTS = st.one_of(
    st.builds(lambda turn, text: {"type": "user", "turn": turn, "worker": "w", "content": text}, IDS, ANY_TEXT),
    st.builds(lambda turn, n, text: {"type": "chunk", "turn": turn, "n": n, "content": text},
              IDS, st.integers(0, 2), ANY_TEXT),
    st.fixed_dictionaries({"type": TYPES, "turn": IDS}, optional={"n": JSON} | dict.fromkeys(FIELDS, ODD)),
)  # fmt: skip
# Bytes too: SQLite stores anything as text.
BODIES = st.one_of(
    st.one_of(EVENTS, JSON).map(json.dumps),
    st.text(max_size=20),
    st.binary(max_size=20),
    st.integers(-(2**63), 2**63 - 1),
)


class Socket:
    """A client that sends this, the next whenever the event loop has turned so many times, and then leaves."""

    def __init__(self, received: list[tuple[dict[str, Any], int]]) -> None:
        self._received = iter(received)

    async def receive(self) -> dict[str, Any]:
        message, turns = next(self._received, ({"type": "websocket.disconnect"}, 20))
        for _ in range(turns):
            await asyncio.sleep(0)
        return message

    async def send_text(self, text: str) -> None:
        json.loads(text.encode())

    async def close(self, code: int, reason: str) -> None:
        pass


@asynccontextmanager
async def quietly() -> AsyncIterator[SqliteLog]:
    """A log, and the promise that no task is left, and that nothing fails unseen."""
    failures: list[Any] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = failures.append  # type: ignore[method-assign, assignment]
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: failures.append(context))
    logging.getLogger("chat").addHandler(handler)
    before = asyncio.all_tasks()
    try:
        with tempfile.TemporaryDirectory(prefix="chat-") as folder, mock.patch.object(nodes, "stream_llm", fake_model):
            async with SqliteLog(f"{folder}/chat.db", LEASE) as log:
                yield log
        assert await eventually(lambda: not asyncio.all_tasks() - before, 5), asyncio.all_tasks() - before
    finally:
        logging.getLogger("chat").removeHandler(handler)
        loop.set_exception_handler(None)
    assert failures == []


@MANY
@given(st.lists(st.tuples(RECEIVED, st.integers(0, 20)), min_size=1, max_size=2 * A_LIST))
async def test_any_frames_in_any_order_are_served_to_the_end(received: list[tuple[dict[str, Any], int]]) -> None:
    async with quietly() as log, asyncio.timeout(20):
        rooms = app_rooms(log, QUICK)
        socket: Any = Socket(received)
        await Client(socket, rooms, QUICK).run()
        await rooms.drain(5)
        assert await eventually(lambda: not rooms._open, 5)


@MANY
@given(st.lists(BODIES, min_size=1, max_size=2 * A_LIST))
async def test_any_rows_in_a_log_are_a_conversation_that_goes_on(bodies: list[Any]) -> None:
    async with quietly() as log, asyncio.timeout(20):
        for body in bodies:
            await log._execute("INSERT INTO event (conversation, body) VALUES ('c', CAST(? AS TEXT))", body)
        rooms = app_rooms(log, QUICK)
        socket: Any = FakeWebSocket({"type": "resume", "conversation": "c"}, stays=True)
        running = asyncio.create_task(Client(socket, rooms, QUICK).run())
        assert await eventually(lambda: "history" in socket.types(), 5)
        socket.send({"type": "message", "id": "new", "content": "Why?"})
        assert await eventually(lambda: any(ends_new(frame) for frame in socket.frames), 5), socket.frames
        socket.leave()
        await running
        await rooms.drain(5)
        assert await eventually(lambda: not rooms._open, 5)


def ends_new(frame: dict[str, Any]) -> bool:
    return (frame["type"], frame.get("turn")) == ("end", "new")
