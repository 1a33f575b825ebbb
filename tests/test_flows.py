"""Any flow: nodes behind, beside and after the chat node write into one reply."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from pocketflow import AsyncFlow, AsyncNode, AsyncParallelBatchNode

import main
import nodes
from chat.log import Log
from chat.room import Room
from chat.sqlite_log import SqliteLog
from nodes import StreamingChatNode
from tests.support import eventually
from tests.support.fake_model import FakeModel
from tests.support.rooms import app_rooms, ended, stored

Shared = dict[str, Any]


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> FakeModel:
    model = FakeModel()
    monkeypatch.setattr(nodes, "stream_llm", model)
    return model


def use_flow(monkeypatch: pytest.MonkeyPatch, *kinds: type[AsyncNode]) -> None:
    """Make the app's flow a chain of these nodes."""

    def create() -> AsyncFlow:
        chain = [kind() for kind in kinds]
        for node, successor in pairwise(chain):
            node >> successor
        return AsyncFlow(start=chain[0])

    monkeypatch.setattr(main, "create_streaming_chat_flow", create)


class Memory(AsyncNode):  # type: ignore[misc]
    """A node behind the chat that takes a moment."""

    async def prep_async(self, shared: Shared) -> None:
        self.log.append("begun")
        await self.may_finish.wait()
        self.log.append(shared["conversation_history"][-1]["content"])


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> type[Memory]:
    Memory.log = []
    Memory.may_finish = asyncio.Event()
    use_flow(monkeypatch, StreamingChatNode, Memory)
    return Memory


async def test_F01_a_node_behind_the_chat_runs_to_its_end(model: FakeModel, memory: type[Memory], ann: Log) -> None:
    model.may_go_on.set()
    async with app_rooms(ann).enter("c") as (room, writers):
        await writers.ask("t0", "Why?")
        assert await eventually(lambda: memory.log == ["begun"])
        assert room.conversation.is_open("t0")
        memory.may_finish.set()
        assert await ended(room, "t0") == "done"
    assert memory.log == ["begun", "Once upon"]


@pytest.mark.parametrize("how", ["stop", "edit", "delete"])
async def test_F01_a_stop_cancels_whatever_node_is_running(
    how: str, model: FakeModel, memory: type[Memory], ann: SqliteLog, bob: SqliteLog
) -> None:
    """Also a stop that comes from another process."""
    model.may_go_on.set()
    async with app_rooms(ann).enter("c") as (room, writers), app_rooms(bob).enter("c") as (other, there):
        await writers.ask("t0", "Why?")
        assert await eventually(lambda: memory.log == ["begun"])
        async with asyncio.timeout(5):
            await other.until(lambda: other.conversation.is_open("t0"))
        if how == "stop":
            await there.stop()
        elif how == "edit":
            await there.ask("t1", "Why not?", replaces="t0")
        else:
            await there.delete()
        assert await eventually(lambda: not writers._writers, 5)
        memory.may_finish.set()
        if how == "edit":
            assert await ended(room, "t1") == "done"
        elif how == "stop":
            assert (await ended(room, "t0"), room.conversation.turns[0].answer) == ("stopped", "Once upon")
    assert memory.log == (["begun"] if how != "edit" else ["begun", "begun", "Once upon"])


async def test_F02_two_streaming_nodes_write_one_reply(
    model: FakeModel, ann: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_flow(monkeypatch, StreamingChatNode, StreamingChatNode)
    model.may_go_on.set()
    async with app_rooms(ann).enter("c") as (room, writers):
        await writers.ask("t0", "Why?")
        assert await ended(room, "t0") == "done"
    assert (await stored(ann)).turns[0].answer == "Once upon\n\nOnce upon"
    assert [event["type"] for _, event in await ann.read("c", None)].count("end") == 1


class Parts(AsyncParallelBatchNode):  # type: ignore[misc]
    """Four branches that send 25 chunks each, at the same time."""

    room: Room
    seen: list[bool]

    async def prep_async(self, shared: Shared) -> list[tuple[Any, int]]:
        return [(shared["websocket"], branch) for branch in range(4)]

    async def exec_async(self, part: tuple[Any, int]) -> None:
        websocket, branch = part
        for n in range(25):
            await websocket.send_json({"type": "chunk", "content": f"[{branch}.{n}]"})
            self.seen.append(f"[{branch}.{n}]" in self.room.conversation.turns[0].answer)


@pytest.mark.parametrize("goes_back", [False, True], ids=["calm", "the log goes back"])
async def test_F03_nodes_that_send_at_the_same_time_lose_nothing(
    goes_back: bool, ann: SqliteLog, bob: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_flow(monkeypatch, Parts)
    Parts.seen = []
    async with app_rooms(ann).enter("c") as (room, writers):
        Parts.room = room
        await writers.ask("t0", "Why?")
        for count in (10, 20, 30) if goes_back else ():
            async with asyncio.timeout(5):
                await room.until(lambda: len(room.conversation.turns[0].pieces) >= count)  # noqa: B023
            chunks = [place for place, event in await bob.read("c", None) if event["type"] == "chunk"]
            await bob.forget("c", chunks[-3:])
        assert await ended(room, "t0") == "done"
    answer = (await stored(ann)).turns[0].answer
    for branch in range(4):
        at = [answer.find(f"[{branch}.{n}]") for n in range(25)]
        assert at[0] >= 0
        assert at == sorted(at), "each branch keeps its order"
    assert len(answer) == len("[0.0]") * 40 + len("[0.10]") * 60, "each text stands there once"
    assert len(Parts.seen) == 100
    assert goes_back or all(Parts.seen), "a send returned before its text was there"


async def test_a_failing_node_ends_the_reply_with_the_text_so_far(
    model: FakeModel, ann: Log, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Fails(AsyncNode):  # type: ignore[misc]
        async def prep_async(self, shared: Shared) -> None:
            raise ValueError("sk-" + "secret")

    use_flow(monkeypatch, StreamingChatNode, Fails)
    model.may_go_on.set()
    async with app_rooms(ann).enter("c") as (room, writers):
        await writers.ask("t0", "Why?")
        assert await ended(room, "t0") == "error"
        turn = room.conversation.turns[0]
        assert turn.error
        assert (turn.answer, turn.error["code"]) == ("Once upon", "internal_error")
    assert "ValueError" in caplog.text
    assert "sk-secret" not in caplog.text


class Says(AsyncNode):  # type: ignore[misc]
    """Sends these frames, one after the other."""

    frames: list[dict[str, Any]]

    async def prep_async(self, shared: Shared) -> None:
        for frame in self.frames:
            await shared["websocket"].send_json(frame)


ERROR = {"type": "error", "content": "It failed.", "code": "upstream_error", "retry": True}
TEXT = {"type": "chunk", "content": "Hm"}


@pytest.mark.parametrize(
    ("frames", "status", "has_error"),
    [
        ([TEXT], "done", False),
        ([TEXT, {"type": "end", "content": ""}], "done", False),
        ([TEXT, {"type": "end", "status": "length"}], "length", False),
        ([ERROR], "error", True),
        ([ERROR, {"type": "end", "status": "error"}, TEXT, {"type": "end", "status": "done"}], "done", False),
        ([ERROR, {"type": "end", "status": "interrupted"}], "interrupted", True),
        ([TEXT, {"type": "status", "content": "?"}], "error", True),
        ([{**TEXT, "kind": None}, {"type": "end", "status": None}], "done", False),
        ([TEXT, {"type": "end", "status": "open"}], "error", True),
        ([{**ERROR, "content": "\ud800"}], "error", True),
    ],
    ids=[
        "no end",
        "end without status",
        "length",
        "error without end",
        "recovered",
        "interrupted",
        "unknown type",
        "null",
        "no status",
        "half a character",
    ],
)
async def test_the_last_end_that_a_node_sends_is_that_of_the_reply(
    frames: list[dict[str, Any]], status: str, has_error: bool, ann: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_flow(monkeypatch, Says)
    Says.frames = frames
    async with app_rooms(ann).enter("c") as (room, writers):
        await writers.ask("t0", "Why?")
        assert await ended(room, "t0") == status
        assert (room.conversation.turns[0].error is not None) == has_error
        said = [frame for frame in frames if frame["type"] == "chunk"]
        assert room.conversation.turns[0].answer == ("Hm" if said else "")


async def test_a_flow_that_awaits_only_its_sends_can_be_stopped(ann: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(AsyncNode):  # type: ignore[misc]
        async def prep_async(self, shared: Shared) -> None:
            while True:
                await shared["websocket"].send_json(TEXT)

    use_flow(monkeypatch, Endless)
    async with app_rooms(ann).enter("c") as (room, writers), asyncio.timeout(5):
        await writers.ask("t0", "Why?")
        await room.until(lambda: len(room.conversation.turns[0].pieces) > 3)
        await writers.stop()
        assert await eventually(lambda: not writers._writers, 2)


async def test_a_flow_that_cancels_itself_does_not_leave_its_turn_open(
    ann: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cancels(AsyncNode):  # type: ignore[misc]
        async def prep_async(self, shared: Shared) -> None:
            raise asyncio.CancelledError

    use_flow(monkeypatch, Cancels)
    async with app_rooms(ann).enter("c") as (room, writers):
        await writers.ask("t0", "Why?")
        assert await ended(room, "t0") == "interrupted"
