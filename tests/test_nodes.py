"""The node and the flow by themselves: three keys in a dictionary, a WebSocket and a model that the test plays."""

import asyncio
from collections.abc import AsyncIterator, Callable
from copy import deepcopy
from typing import Any

import pytest

import nodes
from flow import create_streaming_chat_flow
from nodes import StreamingChatNode
from utils.reply_reader import Reasoning, ReplyCut

Frame = dict[str, Any]
Messages = list[dict[str, str]]

HISTORY = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
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

    @property
    def text(self) -> str:
        return "".join(frame["content"] for frame in self.frames if frame["type"] == "chunk" and "kind" not in frame)


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


def a_store(socket: FakeSocket, message: str = "Why?") -> dict[str, Any]:
    return {"websocket": socket, "user_message": message, "conversation_history": deepcopy(HISTORY)}


def chunks(*texts: str) -> list[Frame]:
    return [{"type": "chunk", "content": text} for text in texts]


def ending(status: str) -> Frame:
    return {"type": "end", "content": "", "status": status}


async def test_a_reply_is_a_start_its_chunks_and_an_end(says: Says) -> None:
    model, socket = says("Once", " upon", " a time"), FakeSocket()
    await create_streaming_chat_flow().run_async(a_store(socket))
    assert socket.frames == [START, *chunks("Once", " upon", " a time"), ending("done")]
    assert model.closed == 1


async def test_each_chunk_is_sent_before_the_model_says_the_next(says: Says, monkeypatch: pytest.MonkeyPatch) -> None:
    socket = FakeSocket()

    async def model(messages: Messages) -> AsyncIterator[str]:
        for n in range(3):
            assert [frame["content"] for frame in socket.frames] == ["", *map(str, range(n))]
            yield str(n)

    monkeypatch.setattr(nodes, "stream_llm", model)
    await create_streaming_chat_flow().run_async(a_store(socket))
    assert socket.text == "012"


async def test_the_model_is_told_the_history_and_then_the_message(says: Says) -> None:
    model = says("So")
    await create_streaming_chat_flow().run_async(a_store(FakeSocket()))
    assert model.asked == [[*HISTORY, {"role": "user", "content": "Why?"}]]


async def test_the_history_grows_by_the_message_and_the_whole_reply(says: Says) -> None:
    says("Once", " upon")
    shared = a_store(FakeSocket())
    await create_streaming_chat_flow().run_async(shared)
    asked, answered = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Once upon"}
    assert shared["conversation_history"] == [*HISTORY, asked, answered]
    assert set(shared) == {"websocket", "user_message", "conversation_history"}


async def test_one_flow_answers_one_message_after_another(says: Says) -> None:
    flow, shared = create_streaming_chat_flow(), a_store(FakeSocket())
    says("One")
    await flow.run_async(shared)
    model = says("Two")
    shared["user_message"] = "And?"
    await flow.run_async(shared)
    assert [message["content"] for message in model.asked[0]] == ["Hi", "Hello", "Why?", "One", "And?"]


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
    shared = a_store(socket)
    await create_streaming_chat_flow().run_async(shared)
    assert socket.frames == [START, *chunks("Once", " upon"), ending(status)]
    assert shared["conversation_history"][-1] == {"role": "assistant", "content": "Once upon"}


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
    shared = a_store(socket)
    await create_streaming_chat_flow().run_async(shared)
    *shown, error, end = socket.frames
    assert shown == [START, *chunks("Once", " upon")]
    assert (error["type"], error["code"], error["retry"]) == ("error", cut.code, retry)
    assert error["content"].endswith(".")
    assert end == ending(cut.status)
    assert shared["conversation_history"][-1] == {"role": "assistant", "content": "Once upon"}
    assert model.closed == 1


async def test_a_reply_that_fails_before_its_first_token_leaves_the_history_as_it_was(says: Says) -> None:
    says(ReplyCut("error", "upstream_busy"))
    socket = FakeSocket()
    shared = a_store(socket)
    await create_streaming_chat_flow().run_async(shared)
    assert [frame["type"] for frame in socket.frames] == ["start", "error", "end"]
    assert shared["conversation_history"] == HISTORY


async def test_what_the_model_thinks_is_shown_but_no_part_of_the_history(says: Says) -> None:
    says(Reasoning("Hm"), "So", Reasoning("..."), " be it")
    socket = FakeSocket()
    shared = a_store(socket)
    await create_streaming_chat_flow().run_async(shared)
    thoughts = [frame["content"] for frame in socket.frames if frame.get("kind") == "reasoning"]
    assert thoughts == ["Hm", "..."]
    assert shared["conversation_history"][-1] == {"role": "assistant", "content": "So be it"}


async def test_a_reply_of_thoughts_alone_leaves_the_history_as_it_was(says: Says) -> None:
    says(Reasoning("Hm"))
    shared = a_store(FakeSocket())
    await create_streaming_chat_flow().run_async(shared)
    assert shared["conversation_history"] == HISTORY


@pytest.mark.parametrize("broken_from", [1, 2])
async def test_the_model_is_left_at_once_when_the_socket_breaks(broken_from: int, says: Says) -> None:
    model, socket = says(*map(str, range(100))), FakeSocket(broken_from)
    shared = a_store(socket)
    with pytest.raises(ConnectionError):
        await create_streaming_chat_flow().run_async(shared)
    assert model.closed == 1
    assert shared["conversation_history"] == HISTORY


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
    running = asyncio.create_task(create_streaming_chat_flow().run_async(a_store(FakeSocket())))
    async with asyncio.timeout(5):
        await said.wait()
        running.cancel()
        await asyncio.wait([running])
    assert closed.is_set()


async def test_a_defect_is_not_taken_for_a_reply(says: Says) -> None:
    """Whoever runs the flow has to know: Replies says internal_error."""
    model = says("Once", ValueError("a defect"))
    shared = a_store(FakeSocket())
    with pytest.raises(ValueError, match="a defect"):
        await create_streaming_chat_flow().run_async(shared)
    assert model.closed == 1
    assert shared["conversation_history"] == HISTORY


async def test_the_flow_is_one_node_that_never_tries_twice() -> None:
    """A second try would show the text twice."""
    node = create_streaming_chat_flow().start_node
    assert isinstance(node, StreamingChatNode)
    assert node.max_retries == 1
    assert not node.successors
