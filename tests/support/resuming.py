"""A client that can come back to its conversation: it knows what a page knows, and checks every frame against it."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, fields
from typing import Any, Protocol, Self

import pytest
from websockets.exceptions import ConnectionClosed

from tests.support.client import Client, Frame
from tests.support.fake_openai import FakeOpenAI
from tests.support.server import Server

LEASE = 1.0  # seconds

# For a test of conversations in which the kind of the store plays no part.
on_sqlite = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


@dataclass
class Turn:
    """A turn as it stands on this client's screen."""

    id: str
    question: str
    answer: str = ""
    status: str = "open"
    reasoning: str = ""
    error: Frame | None = None

    @classmethod
    def of(cls, frame: Frame) -> Self:
        """A turn of a history; what a page does not need to know is passed over."""
        return cls(**{field.name: frame[field.name] for field in fields(cls) if field.name in frame})

    @property
    def whole(self) -> str:
        """The answer, of a turn that ended well."""
        assert (self.status, self.error) == ("done", None), self
        return self.answer


class Address(Protocol):
    """A server, or a proxy before some."""

    ws_url: str
    frames: list[str]


class Tab(Client):
    """`async with Tab(server) as tab`; `Tab(server, tab.conversation)` comes back, also to another worker.

    It reads only while the test waits for something. A frame that does not fit into what it has seen fails the test:
    a second start or end, text of a turn that is over or was never started.
    """

    def __init__(self, server: Address, conversation: str | None = None, **options: Any) -> None:
        super().__init__(server.ws_url, server.frames, **options)
        self.turns: list[Turn] = []
        self.histories = 0  # how often it was told everything anew
        self.refused: dict[str, str] = {}  # message id -> code; "" for a frame that was no message
        self._conversation = conversation

    @property
    def conversation(self) -> str:
        assert self._conversation
        return self._conversation

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        await self.send({"type": "resume", "conversation": self._conversation})
        await self.until(lambda: self.histories == 1)
        return self

    async def ask(self, content: str, id: str = "", **more: Any) -> str:
        """Send a message, without waiting for anything; its id. `replaces=id` edits."""
        id = id or secrets.token_urlsafe(8)
        await self.say(content, id=id, **more)
        return id

    async def stop(self, turn: str = "") -> None:
        await self.send({"type": "stop", "turn": turn})

    async def delete(self) -> None:
        await self.send({"type": "delete"})

    async def settled(self) -> None:
        """Wait until the server has taken all that was sent: it takes frames in order, and refuses this one."""
        self.refused.pop("", None)
        await self.send({"type": "settled?"})
        await self.until(lambda: "" in self.refused)

    def drop(self) -> None:
        """Be gone, without a word."""
        self.socket.transport.abort()

    def turn(self, id: str) -> Turn | None:
        return next((turn for turn in self.turns if turn.id == id), None)

    async def sees(self, id: str, text: str, limit: float = 10.0) -> Turn:
        """Wait until this turn's answer begins with the text."""
        return await self._turn_that(lambda turn: turn.answer.startswith(text), id, limit)

    async def ended(self, id: str, limit: float = 10.0) -> Turn:
        """Wait for this turn's end."""
        return await self._turn_that(lambda turn: turn.status != "open", id, limit)

    async def answered(self, content: str, **more: Any) -> Turn:
        """Ask, and wait for the end."""
        return await self.ended(await self.ask(content, **more))

    async def until(self, condition: Callable[[], bool], limit: float = 10.0) -> None:
        """Read until the picture is as expected."""
        try:
            async with asyncio.timeout(limit):
                while not condition():
                    await self.frame(limit)
        except (TimeoutError, ConnectionClosed) as why:
            raise AssertionError(f"not seen within {limit} s: {self.turns[-3:]}, {self.refused}: {why!r}") from why

    async def frame(self, limit: float = 10.0) -> Frame:
        frame = await super().frame(limit)
        self._see(frame)
        return frame

    async def _turn_that(self, is_right: Callable[[Turn], bool], id: str, limit: float) -> Turn:
        await self.until(lambda: (turn := self.turn(id)) is not None and is_right(turn), limit)
        turn = self.turn(id)
        assert turn
        return turn

    def _see(self, frame: Frame) -> None:
        turn = self.turn(frame.get("turn", ""))
        match frame["type"]:
            case "conversation":
                assert self._conversation in (None, frame["id"]), frame
                self._conversation = frame["id"]
            case "history":
                self.histories += 1
                self.turns = [Turn.of(turn) for turn in frame["turns"]]
                assert len({turn.id for turn in self.turns}) == len(self.turns), frame
            case "start" if turn:  # It was waiting when the history was told.
                assert not turn.answer, f"{frame} after {turn}"
                turn.status = "open"
            case "start":
                assert all(turn.status != "open" for turn in self.turns), f"{frame} while {self.turns}"
                self.turns.append(Turn(frame["turn"], frame["question"]))
            case "chunk":
                assert turn, f"{frame} for none of {self.turns}"
                assert turn.status == "open", f"{frame} after {turn}"
                if frame.get("kind") == "reasoning":
                    turn.reasoning += frame["content"]
                else:
                    turn.answer += frame["content"]
            case "error" if turn:
                assert turn.status == "open", f"{frame} after {turn}"
                turn.error = frame
            case "error":
                self.refused[frame.get("turn", "")] = frame["code"]
            case "end" if turn:
                assert turn.status == "open", f"{frame} after {turn}"
                turn.status = frame["status"]
            case "end":
                assert frame["turn"] in self.refused, frame
                assert frame["status"] == "error", frame
            case other:
                assert other == "ping", frame


@asynccontextmanager
async def tabs(server: Server, conversations: list[str | None]) -> AsyncIterator[list[Tab]]:
    """Many tabs that come at once; None for a new conversation."""
    async with AsyncExitStack() as stack:
        opening = (stack.enter_async_context(Tab(server, conversation)) for conversation in conversations)
        yield await asyncio.gather(*opening)


def worker(openai: FakeOpenAI, store_url: str, **settings: Any) -> Server:
    """One more process that serves the conversations of this store."""
    return Server(openai.url, STORE_URL=store_url, LEASE_SECONDS=str(LEASE), **settings)
