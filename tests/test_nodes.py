"""The node and the flow by themselves: three keys in a dictionary, a WebSocket and a model that the test plays."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import nullcontext
from copy import deepcopy
from typing import Any

import pytest

import nodes
from flow import create_streaming_chat_flow
from nodes import StreamingChatNode
from tests.support import dialogue
from utils.pieces import Reasoning, ReplyCut

Frame = dict[str, Any]
Messages = list[dict[str, str]]

HISTORY = dialogue("Hi", "Hello")
START = {"type": "start", "content": ""}


class FakeSocket:
    """Keeps what it is sent; from the frame number `broken_from` on, it is broken."""

    def __init__(self, broken_from: int = 10**6) -> None:
        self.frames: list[Frame] = []
        self._broken_from = broken_from

    async def send_json(self, frame: Frame) -> None:
        if len(self.frames) >= self._broken_from:
            raise ConnectionError("the socket is broken")
        self.frames.append(frame)


class FakeModel:
    """Says its pieces, an exception among them is raised; keeps what it was asked and whether it was closed."""

    def __init__(self, *pieces: str | Exception) -> None:
        self._pieces = pieces
        self.asked: list[Messages] = []
        self.closed = 0

    async def __call__(self, messages: Messages) -> AsyncIterator[str]:
        self.asked.append(deepcopy(messages))
        try:
            for piece in self._pieces:
                await asyncio.sleep(0)
                if isinstance(piece, Exception):
                    raise piece
                yield piece
        finally:
            self.closed += 1


Says = Callable[..., FakeModel]


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Says:
    def says(*pieces: str | Exception) -> FakeModel:
        model = FakeModel(*pieces)
        monkeypatch.setattr(nodes, "stream_llm", model)
        return model

    return says


def chunks(*texts: str) -> list[Frame]:
    return [{"type": "chunk", "content": text} for text in texts]


def ending(status: str) -> Frame:
    return {"type": "end", "content": "", "status": status}


def a_store(socket: FakeSocket) -> dict[str, Any]:
    return {"websocket": socket, "user_message": "Why?", "conversation_history": deepcopy(HISTORY)}


async def run(socket: FakeSocket, *, raises: type[Exception] | None = None) -> Messages:
    """Run the flow once; what it added to the history."""
    shared = a_store(socket)
    with pytest.raises(raises) if raises else nullcontext():
        await create_streaming_chat_flow().run_async(shared)
    assert set(shared) == {"websocket", "user_message", "conversation_history"}
    history: Messages = shared["conversation_history"]
    assert history[:2] == HISTORY
    return history[2:]


async def test_a_reply_is_a_start_its_chunks_and_an_end(says: Says) -> None:
    model, socket = says("Once", " upon", " a time"), FakeSocket()
    assert await run(socket) == dialogue("Why?", "Once upon a time")
    assert socket.frames == [START, *chunks("Once", " upon", " a time"), ending("done")]
    assert model.asked == [dialogue("Hi", "Hello", "Why?")]
    assert model.closed == 1


async def test_each_chunk_is_sent_before_the_model_says_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    socket = FakeSocket()

    async def model(messages: Messages) -> AsyncIterator[str]:
        for n in range(3):
            assert [frame["content"] for frame in socket.frames] == ["", *map(str, range(n))]
            yield str(n)

    monkeypatch.setattr(nodes, "stream_llm", model)
    assert await run(socket) == dialogue("Why?", "012")


async def test_one_flow_answers_one_message_after_another(says: Says) -> None:
    flow, shared = create_streaming_chat_flow(), a_store(FakeSocket())
    says("One")
    await flow.run_async(shared)
    model = says("Two")
    shared["user_message"] = "And?"
    await flow.run_async(shared)
    assert model.asked == [dialogue("Hi", "Hello", "Why?", "One", "And?")]


async def test_prep_changes_nothing() -> None:
    shared = a_store(FakeSocket())
    before = dict(shared), deepcopy(HISTORY)
    messages, _ = await StreamingChatNode().prep_async(shared)
    messages.append({"role": "user", "content": "More"})
    assert (shared, shared["conversation_history"]) == before


@pytest.mark.parametrize("status", ["length", "filtered"])
async def test_a_reply_that_the_model_cut_keeps_its_text_and_is_no_error(status: str, says: Says) -> None:
    says("Once", " upon", ReplyCut(status))
    socket = FakeSocket()
    assert await run(socket) == dialogue("Why?", "Once upon")
    assert socket.frames == [START, *chunks("Once", " upon"), ending(status)]


@pytest.mark.parametrize(
    ("cut", "retry"),
    [
        (ReplyCut("interrupted", "upstream_cut"), True),
        (ReplyCut("error", "upstream_error"), True),
        (ReplyCut("error", "upstream_error", retry=False), False),
        (ReplyCut("error", "upstream_quota"), False),
    ],
    ids=repr,
)
async def test_a_reply_that_fails_half_way_keeps_its_text_and_says_why(cut: ReplyCut, retry: bool, says: Says) -> None:
    model, socket = says("Once", " upon", cut), FakeSocket()
    assert await run(socket) == dialogue("Why?", "Once upon")
    *shown, error, end = socket.frames
    assert shown == [START, *chunks("Once", " upon")]
    assert (error["type"], error["code"], error["retry"]) == ("error", cut.code, retry)
    assert error["content"].endswith(".")
    assert end == ending(cut.status)
    assert model.closed == 1


async def test_a_reply_that_fails_before_its_first_token_leaves_the_history_alone(says: Says) -> None:
    says(ReplyCut("error", "upstream_busy"))
    socket = FakeSocket()
    assert await run(socket) == []
    assert [frame["type"] for frame in socket.frames] == ["start", "error", "end"]


async def test_what_the_model_thinks_is_shown_but_no_part_of_the_history(says: Says) -> None:
    says(Reasoning("Hm"), "So", Reasoning("..."), " be it")
    socket = FakeSocket()
    assert await run(socket) == dialogue("Why?", "So be it")
    thoughts = [frame["content"] for frame in socket.frames if frame.get("kind") == "reasoning"]
    assert thoughts == ["Hm", "..."]


async def test_a_reply_of_thoughts_alone_leaves_the_history_alone(says: Says) -> None:
    says(Reasoning("Hm"))
    assert await run(FakeSocket()) == []


@pytest.mark.parametrize("broken_from", [1, 2])
async def test_the_model_is_left_at_once_when_the_socket_breaks(broken_from: int, says: Says) -> None:
    model = says(*map(str, range(100)))
    assert await run(FakeSocket(broken_from), raises=ConnectionError) == []
    assert model.closed == 1


async def test_the_model_is_left_at_once_when_the_flow_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    closed, said = asyncio.Event(), asyncio.Event()

    async def model(messages: Messages) -> AsyncIterator[str]:
        try:
            yield "Once"
            said.set()
            await asyncio.Event().wait()
        finally:
            closed.set()

    monkeypatch.setattr(nodes, "stream_llm", model)
    running = asyncio.create_task(run(FakeSocket()))
    async with asyncio.timeout(5):
        await said.wait()
        running.cancel()
        await asyncio.wait([running])
    assert closed.is_set()


async def test_a_defect_is_not_taken_for_a_reply(says: Says) -> None:
    """Whoever runs the flow has to know: Replies says internal_error."""
    model = says("Once", ValueError("a defect"))
    assert await run(FakeSocket(), raises=ValueError) == []
    assert model.closed == 1


async def test_the_flow_is_one_node_that_never_tries_twice() -> None:
    """A second try would show the text twice."""
    node = create_streaming_chat_flow().start_node
    assert isinstance(node, StreamingChatNode)
    assert node.max_retries == 1
    assert not node.successors
