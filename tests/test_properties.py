"""H: what holds whatever is said, sent, stopped or cancelled, and wherever."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any
from unittest import mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import nodes
from chat.conversation import Conversation, Event, Turn
from chat.frames import BadFrame, Frame, read_frame
from flow import create_streaming_chat_flow
from tests.support.logs import QUICK, TEXTS, chunk, end, fold, picture_of, question, told
from tests.support.processes import Process, processes
from tests.support.rooms import app_rooms
from utils.openai_stream import Completion
from utils.pieces import Reasoning
from utils.settings import Settings

MOST_CHARS = 100
SETTINGS = Settings(lease_seconds=0.1, grace_seconds=0)


Told = tuple[Turn, list[Turn], list[dict[str, str]]]


def histories(conversation: Conversation, budget: int = 10**9) -> Iterator[Told]:
    """For each turn: the turns before it that have a text, and the history that the model is told."""
    for at, turn in enumerate(conversation.turns):
        answered = [known for known in conversation.turns[:at] if known.answer]
        yield turn, answered, conversation.history(turn, budget)


@QUICK
@given(told(), st.integers(0, 60))
def test_H01_H02_the_model_gets_full_messages_in_turn_of_user_and_assistant(events: list[Event], budget: int) -> None:
    for _, _, history in histories(fold(events), budget):
        assert [message["role"] for message in history] == ["user", "assistant"] * (len(history) // 2)
        assert all(message["content"] for message in history)


@QUICK
@given(told())
def test_H03_the_history_holds_every_answer_whole(events: list[Event]) -> None:
    for _, answered, history in histories(fold(events)):
        expected = [text for known in answered for text in (known.question, known.answer)]
        assert [message["content"] for message in history] == expected


@QUICK
@given(told(), st.integers(0, 60))
def test_H04_a_turn_that_failed_without_text_is_not_told_again(events: list[Event], budget: int) -> None:
    named = [event | {"content": f"{event['turn']}?"} if event["type"] == "user" else event for event in events]
    without_text = {turn.question for turn in fold(named).turns if not turn.answer}
    for _, _, history in histories(fold(named), budget):
        assert not {message["content"] for message in history} & without_text


@QUICK
@given(told())
def test_H05_the_history_keeps_to_its_budget_and_the_newest_stay(events: list[Event]) -> None:
    """A budget that some turns fill exactly holds these, and one character less holds one turn less."""
    conversation = fold(events)
    for turn, answered, _ in histories(conversation):
        budget = len(turn.question)
        for kept in range(1, len(answered) + 1):
            newest = [known.question for known in answered[-kept:]]
            budget += len(answered[-kept].question) + len(answered[-kept].answer)
            for spare, expected in ((0, newest), (-1, newest[1:])):
                history = conversation.history(turn, budget + spare)
                assert [message["content"] for message in history[::2]] == expected


ANY_TEXT = st.one_of(st.text(max_size=20), st.text("a\ud83d\ude00", max_size=5))  # with halves of a character


@QUICK
@given(ANY_TEXT, st.lists(ANY_TEXT, max_size=5), st.data())
def test_H06_all_of_it_encodes_to_utf_8(asked: str, answered: list[str], data: st.DataObject) -> None:
    """Whatever a client sends and a server streams: half a character would make every later request fail."""
    try:
        asked = read_frame(json.dumps({"type": "message", "content": asked}), MOST_CHARS).content
    except BadFrame:
        return
    reader = Completion()
    pieces: list[str] = []
    for text in answered:
        kind = data.draw(st.sampled_from(["content", "reasoning_content", "refusal"]))
        event = {"choices": [{"delta": {kind: text}}]}
        pieces += reader.feed(f"data: {json.dumps(event)}\n\n".encode())
    pieces += reader.close()
    events = [question("t0", content=asked), *(chunk("t0", n, piece) for n, piece in enumerate(pieces))]
    conversation = fold([*events, end("t0", "done", pieces), question("t1")])
    first, last = conversation.turns
    json.dumps([conversation.history(last, 10**9), picture_of(first)], ensure_ascii=False).encode()


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), ANY_TEXT, st.just("message")),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(ANY_TEXT, inner, max_size=3)),
    max_leaves=8,
)
FRAMES = st.fixed_dictionaries(
    {"type": st.one_of(st.sampled_from(["message", "stop", "resume", "delete"]), JSON)},
    optional={name: st.one_of(st.text("aZ0_- ", max_size=70), JSON)
              for name in ("content", "id", "replaces", "turn", "conversation", "more")},
)  # fmt: skip


@QUICK
@given(st.one_of(st.none(), ANY_TEXT, JSON.map(json.dumps), FRAMES.map(json.dumps)))
@example("[" * 60_000)
@example('{"type":' * 10_000 + "1" + "}" * 10_000)
@example('{"type": "message", "content": ' + "[" * 30_000 + "]" * 30_000 + "}")
@example('{"type": "message", "content": ' + "9" * 5_000 + "}")
@example('{"type": "message", "content": 7}')
@example('{"type": "message", "content": "' + "x" * (MOST_CHARS + 1) + '"}')
@example('{"type": "message", "content": "hi", "id": 7}')
def test_H07_any_frame_is_a_command_or_refused_once(text: str | None) -> None:
    try:
        command = read_frame(text, MOST_CHARS)
    except BadFrame as refusal:
        code = refusal.code
    else:
        code = ""
    assert code in {"", "bad_frame", "bad_message", "message_too_long"}
    if code:
        return
    assert text is not None
    frame = json.loads(text)
    if frame["type"] == "message":
        assert command.content == frame["content"]
        assert command.content.strip()
        assert len(command.content) <= MOST_CHARS
    assert command.type == frame["type"]
    assert len(command.id) <= 64
    assert len(command.replaces) <= 64
    given = {"", *map(str, frame.values())}
    assert command.replaces in given
    assert command.id in given or command.type == "message"  # Only a message without an id gets one.


# H08, H09: with a model and a log in memory, where every await is one step of the event loop.


class FakeSocket:
    def __init__(self) -> None:
        self.frames: list[Frame] = []

    async def send_json(self, frame: Frame) -> None:
        await asyncio.sleep(0)
        self.frames.append(frame)


@QUICK
@given(st.lists(st.tuples(TEXTS, st.lists(st.integers(0, 3), max_size=5)), min_size=2, max_size=4))
async def test_H08_runs_of_the_flow_never_mix(plans: list[tuple[str, list[int]]]) -> None:
    """Each model takes its own time for each piece; all go through one flow."""

    async def model(messages: list[dict[str, str]]) -> AsyncIterator[str]:
        own = int(messages[-1]["content"])
        for n, steps in enumerate(plans[own][1]):
            for _ in range(steps):
                await asyncio.sleep(0)
            yield f"{own}.{n} {plans[own][0]}"

    sockets = [FakeSocket() for _ in plans]
    stores: list[dict[str, Any]] = [
        {"websocket": socket, "user_message": str(own), "conversation_history": []}
        for own, socket in enumerate(sockets)
    ]
    flow = create_streaming_chat_flow()
    with mock.patch.object(nodes, "stream_llm", model):
        await asyncio.gather(*(flow.run_async(shared) for shared in stores))
    for own, (text, steps) in enumerate(plans):
        expected = [f"{own}.{n} {text}" for n in range(len(steps))]
        assert [frame["type"] for frame in sockets[own].frames] == ["start", *["chunk"] * len(steps), "end"]
        assert [frame["content"] for frame in sockets[own].frames[1:-1]] == expected
        said = [message["content"] for message in stores[own]["conversation_history"]]
        assert said == ([str(own), "".join(expected)] if expected else [])


class MemoryLog:
    """A worker's side of a log that all workers share; a worker that is dead reaches nothing any more."""

    def __init__(self, worker: str, events: list[Event], workers: set[str]) -> None:
        self.worker, self._events, self._workers = worker, events, workers
        workers.add(worker)

    async def append(self, conversation: str, event: Event) -> tuple[int | None, int]:
        await self._reach()
        self._events.append(event)
        id = len(self._events)
        await self._reach()
        return id - 1 or None, id

    async def read(self, conversation: str, after: int | None) -> list[tuple[int, Event]]:
        await self._reach()
        return [*enumerate(self._events, 1)][after or 0 :]

    async def forget(self, conversation: str, ids: list[int]) -> None:
        await self._reach()  # There is room enough.

    drop = forget

    async def alive(self, worker: str) -> bool:
        await self._reach()
        return worker in self._workers

    async def bury(self, worker: str) -> None:
        await self._reach()
        self._workers.discard(worker)

    @asynccontextmanager
    async def watch(self, conversation: str) -> AsyncIterator[asyncio.Event]:
        yield asyncio.Event()

    async def _reach(self) -> None:
        await asyncio.sleep(0)
        if self.worker not in self._workers:
            raise ConnectionError("this process is dead")


PIECES = ["Once", Reasoning("hm"), " upon", " a time"]


async def fake_model(messages: list[dict[str, str]]) -> AsyncIterator[str]:
    for piece in PIECES:
        await asyncio.sleep(0)
        yield piece


class Stage:
    """One worker with one client that asks two questions, and everything that was written."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.workers: set[str] = set()
        self.process = Process()
        self.rooms = app_rooms(MemoryLog("ann", self.events, self.workers), SETTINGS)
        self.client = self.process.run(self._ask())

    async def _ask(self) -> None:
        async with self.rooms.enter("c") as (room, writers):
            self.writers = writers
            await asyncio.gather(*(writers.ask(id, f"{id}?") for id in ("t0", "t1")))
            await room.until(lambda: not room.conversation.current)

    async def stop(self) -> None:
        if hasattr(self, "writers"):
            await self.writers.stop()

    async def leave(self) -> None:
        self.client.cancel()

    async def drain(self) -> None:
        await self.rooms.drain(SETTINGS.grace_seconds)

    async def kill(self) -> None:
        """All of the process at once; then somebody else comes and looks."""
        self.workers.discard("ann")
        await self.process.kill()
        others = app_rooms(MemoryLog("bob", self.events, self.workers), SETTINGS)
        async with asyncio.timeout(5), others.enter("c") as (room, _):
            await room.until(lambda: not room.conversation.current)

    async def rest(self) -> Conversation:
        """The conversation once this process has nothing left to do."""
        async with asyncio.timeout(5):
            while self.process.tasks:
                await asyncio.wait(self.process.tasks)
        return fold(self.events)


@pytest.mark.parametrize("happens", [Stage.leave, Stage.stop, Stage.drain, Stage.kill], ids=lambda it: it.__name__)
async def test_H09_whatever_is_cancelled_at_whatever_await_no_turn_stays_open(
    happens: Callable[[Stage], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "stream_llm", fake_model)
    seen: set[str] = set()
    step, over = 0, False
    with processes():
        while not over:
            stage = Stage()
            for _ in range(step):
                await asyncio.sleep(0)
            over = not stage.process.tasks  # All is said and done: this was the last await.
            await happens(stage)
            conversation = await stage.rest()
            for turn in conversation.turns:
                whole = "".join(str(piece) for piece in PIECES if not isinstance(piece, Reasoning))
                assert turn.status in {"done", "stopped", "interrupted"}, f"{turn.status} after step {step}"
                assert whole.startswith(turn.answer)
                assert turn.status != "done" or turn.answer == whole
                seen.add(turn.status)
            step += 1
    assert step > 20, "the replies took fewer awaits than they have chunks"
    if happens is Stage.leave:
        assert seen == {"done"}  # No client can take a reply down.
    else:
        assert seen == {"done", "stopped" if happens is Stage.stop else "interrupted"}
