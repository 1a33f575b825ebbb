"""Worlds: three pages, two workers on one store, and whatever can happen to them, at random.

However often workers die, pages leave, connections to the store are cut and events come twice: in the end everybody
sees the same conversation, it was answered once, and no page ever showed what did not stay. WORLDS=300 runs more of
them; a failure names its seed. NODES=3 makes each reply the work of three streaming nodes, one after the other.
"""

import asyncio
import logging
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from itertools import pairwise
from typing import Any, Self

import pytest
from pocketflow import AsyncFlow

import main
import nodes
from chat.client import show
from chat.conversation import Conversation, Event
from chat.frames import Frame
from chat.log import Id, open_log
from chat.room import Room
from chat.writers import Writers
from nodes import StreamingChatNode
from tests.support import eventually
from tests.support.processes import Process, processes
from tests.support.proxy import Proxy
from tests.support.rooms import LEASE, app_rooms, stored
from utils.pieces import Reasoning, ReplyCut

WORLDS = int(os.environ.get("WORLDS", "30"))
NODES = int(os.environ.get("NODES", "1"))
THOUGHTS, PIECES = 3, 25  # of each reply
AGAIN = 0.15  # the share of events that are written twice
CONVERSATION = "c"
OPERATIONS = {
    "connect": 3,
    "disconnect": 2,
    "send": 5,
    "resend": 2,
    "stop": 3,
    "edit": 1,
    "kill": 1,
    "cut": 2,
    "wait": 6,
}

logger = logging.getLogger(__name__)
figures: Counter[str] = Counter()


class Refused(ConnectionError):
    """The process is dead: its log takes nothing any more."""


class Log:
    """A log whose client sends some events twice: at once, or when it is too late."""

    def __init__(self, url: str, chance: random.Random) -> None:
        self._log = open_log(url, LEASE)
        self._chance = chance
        self.dead = False

    async def __aenter__(self) -> Self:
        self._open = await self._log.__aenter__()
        self.worker = self._open.worker
        self.watch = self._open.watch
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._log.__aexit__(None, None, None)

    async def append(self, conversation: str, event: Event) -> tuple[Id | None, Id]:
        self._reach()
        places = await self._open.append(conversation, event)
        if self._chance.random() < AGAIN:
            if self._chance.random() < 0.5:
                await self._open.append(conversation, event)
            else:
                self._late = asyncio.create_task(self._append_late(conversation, event))
        return places

    async def read(self, conversation: str, after: Id | None) -> list[tuple[Id, Event]]:
        self._reach()
        return await self._open.read(conversation, after)

    async def forget(self, conversation: str, ids: list[Id]) -> None:
        self._reach()
        await self._open.forget(conversation, ids)

    async def drop(self, conversation: str, ids: list[Id]) -> None:
        self._reach()
        await self._open.drop(conversation, ids)

    async def alive(self, worker: str) -> bool:
        self._reach()
        return await self._open.alive(worker)

    async def bury(self, worker: str) -> None:
        self._reach()
        await self._open.bury(worker)

    def _reach(self) -> None:
        if self.dead:
            raise Refused

    async def _append_late(self, conversation: str, event: Event) -> None:
        await asyncio.sleep(self._chance.random() * 0.1)
        await self._open.append(conversation, event)


class Worker:
    def __init__(self, url: str, chance: random.Random) -> None:
        self.process = Process()
        self.log = Log(url, chance)

    async def start(self) -> "Worker":
        await self.process.run(self.log.__aenter__())
        self.rooms = app_rooms(self.log)
        self._own_tasks = self.process.tasks
        return self

    async def kill(self) -> None:
        self.log.dead = True
        await self.process.kill()

    def busy(self) -> set[asyncio.Task[Any]]:
        """What it does for conversations."""
        return self.process.tasks - self._own_tasks


class Page:
    """A client like the page: it draws what it is sent, and repeats a message until it sees it taken."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.turns: dict[str, dict[str, Any]] = {}
        self.shown: set[tuple[str, str, str]] = set()  # every text that it ever showed: turn, part, text
        self.faults: list[str] = []
        self.sent: dict[str, str] = {}  # id -> the turn that it replaces, or ""
        self.worker: Worker | None = None
        self.room: Room | None = None
        self._session: asyncio.Task[None] | None = None

    def connect(self, worker: Worker) -> None:
        self.disconnect()
        self.worker = worker
        self._session = worker.process.run(self._watch(worker))

    def disconnect(self) -> None:
        if self._session:
            self._session.cancel()
        self.worker = self.room = self._session = None

    async def _watch(self, worker: Worker) -> None:
        async with worker.rooms.enter(CONVERSATION) as (room, _):
            self.room = room
            await show(room, self.draw, resuming=True)

    async def draw(self, frame: Frame) -> None:
        if self._chance.random() < 0.1:
            await asyncio.sleep(self._chance.random() * 0.02)  # a slow line
        match frame:
            case {"type": "history", "turns": turns}:
                self.turns = {turn["id"]: {"reasoning": "", "error": None, **turn} for turn in turns}
            case {"type": "start", "turn": id, "question": question}:
                blank = {"id": id, "question": question, "answer": "", "reasoning": "", "error": None}
                self.expect({**blank, **self.turns.get(id, {}), "status": ""} == {**blank, "status": ""}, frame)
                self.turns[id] = {**blank, "status": "open"}
            case {"type": "chunk", "turn": id, "content": content}:
                self.expect(id in self.turns and self.turns[id]["status"] == "open", frame)
                self.turns[id]["reasoning" if "kind" in frame else "answer"] += content
            case {"type": "error", "turn": id}:
                self.turns[id]["error"] = {key: frame[key] for key in ("code", "content", "retry")}
            case {"type": "end", "turn": id, "status": status}:
                self.expect(self.turns[id]["status"] == "open", frame)
                self.turns[id]["status"] = status
            case _:
                self.expect(False, frame)
        self.shown |= {(id, part, turn[part]) for id, turn in self.turns.items() for part in ("answer", "reasoning")}

    def expect(self, fine: bool, frame: Frame) -> None:
        if not fine:
            self.faults.append(f"{frame} when it showed {self.turns}")

    async def send(self, id: str, replaces: str = "") -> None:
        self.sent[id] = replaces
        while id not in self.turns and not (self.room and self.room.conversation.knows(id)):
            await self.repeat(id)
            await asyncio.sleep(0.05)

    async def repeat(self, id: str) -> None:
        if self.worker and self.room:
            await self._try(self.worker, Writers.ask, id, f"{id}?", self.sent[id])

    async def stop(self) -> None:
        if self.worker and self.room:
            await self._try(self.worker, Writers.stop)

    async def _try(self, worker: Worker, command: Callable[..., Awaitable[None]], *what: Any) -> None:
        async def trying() -> None:
            with suppress(Refused):
                # It stays, should the page leave.
                async with worker.rooms.enter(CONVERSATION, reading=False) as (_, writers):
                    await command(writers, *what)

        await asyncio.wait({worker.process.run(trying())}, timeout=1)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the model was asked each question."""
    calls: Counter[str] = Counter()

    async def model(messages: list[dict[str, str]]) -> AsyncIterator[str]:
        question = messages[-1]["content"]
        calls[question] += 1
        for piece in pieces_of(question):
            await asyncio.sleep(0.002)
            yield piece
        if fails(question):
            raise ReplyCut("error", "upstream_error")

    def flow() -> AsyncFlow:
        chain = [StreamingChatNode() for _ in range(NODES)]
        for node, successor in pairwise(chain):
            node >> successor
        return AsyncFlow(start=chain[0])

    monkeypatch.setattr(nodes, "stream_llm", model)
    monkeypatch.setattr(main, "create_streaming_chat_flow", flow)
    return calls


def pieces_of(question: str) -> list[str]:
    """What a node says."""
    thoughts: list[str] = [Reasoning(f"{question} thought {n}, ") for n in range(THOUGHTS)]
    return [*thoughts, *(f"{question} piece {n}, " for n in range(PIECES))]


def whole(question: str) -> tuple[str, str]:
    """The reasoning and the answer of a whole reply."""
    pieces = pieces_of(question)
    return "".join(pieces[:THOUGHTS]) * NODES, "\n\n".join(["".join(pieces[THOUGHTS:])] * NODES)


def fails(question: str) -> bool:
    return question.endswith("7?")


# SQLite cannot be cut off, so there is less to go wrong.
@pytest.mark.parametrize(
    ("store_url", "seed"),
    [("sqlite", seed) for seed in range(WORLDS // 2)] + [("valkey", seed) for seed in range(WORLDS)],
    indirect=["store_url"],
)
async def test_world(seed: int, store_url: str, calls: Counter[str]) -> None:
    chance = random.Random(seed)
    with processes():
        async with AsyncExitStack() as stack:
            proxy = None
            if store_url.startswith("redis:"):
                proxy = await stack.enter_async_context(Proxy(int(store_url.rpartition(":")[2])))
                store_url = f"redis://127.0.0.1:{proxy.port}"
            world = World(store_url, chance, proxy)
            stack.push_async_callback(world.end)
            await world.live()
            await world.come_to_rest()
            await world.check(calls)
            await world.leave()
    figures["worlds"] += 1


class World:
    def __init__(self, url: str, chance: random.Random, proxy: Proxy | None) -> None:
        self.url, self.chance, self.proxy = url, chance, proxy
        self.pages = [Page(chance) for _ in range(3)]
        self.workers: list[Worker] = []
        self.dead: list[Worker] = []
        self.sending: list[asyncio.Task[None]] = []
        self.asked = 0

    async def live(self) -> None:
        self.workers = [await Worker(self.url, self.chance).start() for _ in range(2)]
        for page in self.pages:
            page.connect(self.workers[0])
        names, weights = list(OPERATIONS), list(OPERATIONS.values())
        for operation in self.chance.choices(names, weights, k=self.chance.randint(15, 45)):
            await self.happen(operation, self.chance.choice(self.pages))

    async def happen(self, operation: str, page: Page) -> None:
        match operation:
            case "connect":
                page.connect(self.chance.choice(self.workers))
            case "disconnect":
                page.disconnect()
            case "send":
                self.send(page)
            case "edit" if page.turns:
                figures["edits"] += 1
                self.send(page, replaces=self.chance.choice(list(page.turns)))
            case "resend" if page.sent:
                self.sending.append(asyncio.create_task(page.repeat(self.chance.choice(list(page.sent)))))
            case "stop":
                self.sending.append(asyncio.create_task(page.stop()))
            case "kill":
                await self.kill(self.chance.randrange(2))
            case "cut" if self.proxy:
                figures["cuts"] += 1
                self.proxy.cut()
            case "wait":
                await asyncio.sleep(self.chance.random() * 0.08)
        await asyncio.sleep(0)

    def send(self, page: Page, replaces: str = "") -> None:
        self.asked += 1
        self.sending.append(asyncio.create_task(page.send(f"t{self.asked}", replaces)))

    async def kill(self, which: int) -> None:
        figures["kills"] += 1
        victim = self.workers[which]
        await victim.kill()
        for page in self.pages:
            if page.worker is victim:
                page.disconnect()
        self.dead.append(victim)
        self.workers[which] = await Worker(self.url, self.chance).start()

    async def come_to_rest(self) -> None:
        """All come back, and see the end of it."""
        for page, worker in zip(self.pages, [*self.workers, *self.workers], strict=False):
            page.connect(worker)
        _, late = await asyncio.wait([asyncio.create_task(self.nothing_is_open()), *self.sending], timeout=20)
        assert not late, await self.state()

    async def nothing_is_open(self) -> None:
        await asyncio.gather(*self.sending)
        while True:
            truth = await self.truth()
            if not truth.current and all(page.turns == self.as_shown(truth) for page in self.pages):
                return
            await asyncio.sleep(0.02)

    async def state(self) -> str:
        """What everybody sees, in short."""
        seen = [[(id, turn["status"], len(turn["answer"])) for id, turn in page.turns.items()] for page in self.pages]
        truth = [(turn.id, turn.status, len(turn.answer)) for turn in (await self.truth()).turns]
        return f"no rest: the truth is {truth}, the pages show {seen}"

    async def truth(self) -> Conversation:
        return await stored(self.workers[0].log, CONVERSATION)

    def as_shown(self, truth: Conversation) -> dict[str, dict[str, Any]]:
        names = ("id", "question", "answer", "reasoning", "status", "error")
        return {turn.id: {name: getattr(turn, name) for name in names} for turn in truth.turns}

    async def check(self, calls: Counter[str]) -> None:
        truth = await self.truth()
        for page in self.pages:
            assert not page.faults
            assert list(page.turns.items()) == list(self.as_shown(truth).items())
            assert all(truth.knows(id) for id in page.sent)
            for id, part, text in page.shown:
                turn = truth.turn(id)
                assert turn or truth.knows(id)
                assert not turn or getattr(turn, part).startswith(text), f"{id} showed {text!r}, and it did not stay"
        for turn in truth.turns:
            reasoning, answer = whole(turn.question)
            said = (turn.reasoning, turn.answer)
            assert turn.status in {"done", "stopped", "interrupted", "error"}
            assert reasoning.startswith(turn.reasoning)
            assert answer.startswith(turn.answer)
            assert NODES > 1 or not turn.answer or turn.reasoning == reasoning
            assert turn.status not in {"done", "error"} or said == (reasoning, answer)
            assert (turn.status == "error") == (turn.error is not None)
            figures[turn.status] += 1
        assert max(calls.values(), default=0) <= NODES, f"answered twice: {calls}"
        figures["turns"] += self.asked

    async def leave(self) -> None:
        """Once nobody looks on, nothing is left to do."""
        for page in self.pages:
            page.disconnect()
        for worker in self.workers:
            assert await eventually(lambda: not worker.busy(), 2), worker.busy()  # noqa: B023

    async def end(self) -> None:
        for worker in [*self.workers, *self.dead]:
            await worker.kill()
            await worker.log.__aexit__()


def test_enough_happened_in_these_worlds() -> None:
    """Worlds in which nothing goes wrong prove nothing."""
    logger.info("%s", dict(figures))
    if figures["worlds"] < 20:
        pytest.skip("only a few worlds were run")
    assert figures["turns"] > 3 * figures["worlds"]
    for name in ("done", "stopped", "interrupted", "error", "edits", "kills"):
        assert figures[name] >= figures["worlds"] / 30, name
