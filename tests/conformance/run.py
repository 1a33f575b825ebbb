"""One run of a case against a server."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from websockets.exceptions import ConnectionClosed, WebSocketException

from tests.conformance.cases import Case, Step
from tests.conformance.frames import Frame, Mismatch, Names, compare, fill, read_frame, show
from tests.conformance.model import ScriptedModel
from tests.conformance.visitor import Visitor

# Steps of many frames, and how many times longer than one they may take.
LONG_STEPS = ("receive_until", "be_closed_for")
LONGER = 4

# No client needs so many bad frames.
FLOOD = 1000

# Seconds without a frame, after the last step.
QUIET = 0.05

# A frame that every server refuses. Whatever was said before comes before the refusal.
PROBE: Frame = {"type": "anything more?"}


@dataclass(frozen=True)
class Settings:
    """What is known about the server under test. `model` answers for it; it accepts `rate` messages a minute."""

    url: str
    model: ScriptedModel | None = None
    rate: int = 0
    slow: bool = False
    # Seconds for each step.
    timeout: float = 5.0


class Run:
    """One run of a case. Its public methods are the kinds of step: see `cases.STEPS`."""

    def __init__(self, case: Case, settings: Settings) -> None:
        self._case = case
        self._settings = settings
        self._names: Names = {"rate": settings.rate}
        self._visitors: dict[str, Visitor] = {}

    async def play(self) -> None:
        """Play the steps; then no client may get anything more. Raises Mismatch."""
        try:
            for step in self._case.steps:
                await self._play(step)
            for name in self._visitors:
                await self._play(Step("at the end", f"{name} gets nothing more", "stay_quiet", (name,), 0))
        finally:
            for name in list(self._visitors):
                await self._tidy(self._visitors.pop(name))

    async def _play(self, step: Step) -> None:
        method: Callable[..., Awaitable[None]] = getattr(self, step.method)
        usual = self._settings.timeout * (LONGER if step.method in LONG_STEPS else 1)
        seconds = max(step.seconds, usual)
        try:
            async with asyncio.timeout(seconds):
                await method(*step.arguments)
        except Mismatch as why:
            raise Mismatch(f"{step.place}: {step.text}\n{why}") from None
        except TimeoutError:
            raise Mismatch(f"{step.place}: {step.text}\nnot within {seconds:g} s{self._so_far(step)}") from None
        except (OSError, WebSocketException) as why:
            raise Mismatch(f"{step.place}: {step.text}\nno connection: {why}") from None

    def _so_far(self, step: Step) -> str:
        visitor = self._visitors.get(step.arguments[0] or "")
        if not visitor or not visitor.status:
            return ""
        return f"; the reply so far ({visitor.status}): {show(visitor.text)}"

    async def _tidy(self, visitor: Visitor) -> None:
        """Leave no conversations behind, and no replies that wait for the model."""
        with suppress(ConnectionClosed, TimeoutError):
            async with asyncio.timeout(self._settings.timeout):
                if visitor.resuming:
                    await visitor.send({"type": "delete"})
                await visitor.socket.close()

    async def _visitor(self, name: str) -> Visitor:
        if name not in self._visitors:
            self._visitors[name] = await Visitor.connect(self._settings.url)
        return self._visitors[name]

    def _frame(self, text: str) -> Frame:
        frame: Frame = fill(json.loads(text), self._names)
        return frame

    # Sending

    async def send(self, name: str, text: str) -> None:
        await (await self._visitor(name)).send(self._frame(text))

    async def send_often(self, name: str, times: str, text: str) -> None:
        for _ in range(int(fill(times, self._names))):
            await self.send(name, text)

    async def send_text(self, name: str, text: str) -> None:
        await (await self._visitor(name)).send(fill(text, self._names))

    async def send_binary(self, name: str, text: str) -> None:
        await (await self._visitor(name)).send(text.encode())

    async def send_broken_text(self, name: str) -> None:
        await (await self._visitor(name)).socket.send(b"\xff", text=True)

    # Receiving

    async def receive(self, name: str, expected: str) -> None:
        frame = await (await self._visitor(name)).receive()
        try:
            compare(json.loads(expected), frame, self._names)
        except Mismatch as why:
            raise Mismatch(f"{why}, in {show(frame)}") from None

    async def receive_until(self, name: str, expected: str) -> None:
        visitor = await self._visitor(name)
        while True:
            frame = await visitor.receive()
            with suppress(Mismatch):
                compare(json.loads(expected), frame, self._names)
                return

    async def receive_text(self, name: str, expected: str) -> None:
        visitor = await self._visitor(name)
        whole = fill(json.loads(expected), self._names)
        while visitor.text != whole:
            if not whole.startswith(visitor.text):
                raise Mismatch(f"got the text {show(visitor.text)}")
            frame = await visitor.receive()
            if frame["type"] != "chunk":
                raise Mismatch(f"got the text {show(visitor.text)}, then {show(frame)}")

    async def receive_reply(self, name: str, expected: str, status: str) -> None:
        await self.receive_text(name, expected)
        visitor = await self._visitor(name)
        if visitor.status == "open":
            frame = await visitor.receive()
            if frame["type"] != "end":
                raise Mismatch(f"expected the end, but got {show(frame)}")
        if visitor.status != status:
            raise Mismatch(f"expected the end to be {status}, but it is {visitor.status}")

    async def receive_nothing(self, name: str) -> None:
        visitor = await self._visitor(name)
        await visitor.send(PROBE)
        frame = await visitor.receive()
        if frame["type"] != "error" or frame["code"] != "bad_frame":
            raise Mismatch(f"expected nothing more, but got {show(frame)}")

    async def stay_quiet(self, name: str) -> None:
        """Not with a probe: a server that does not refuse bad frames fails other cases."""
        visitor = self._visitors[name]
        await (await visitor.socket.ping())
        with suppress(TimeoutError):
            async with asyncio.timeout(QUIET):
                frame = await visitor.receive()
            raise Mismatch(f"expected nothing more, but got {show(frame)}")

    async def begin(self, name: str, conversation: str) -> None:
        await self.send(name, '{"type": "resume", "conversation": null}')
        await self.receive(name, f'{{"type": "conversation", "id": "{conversation}"}}')
        await self.receive(name, '{"type": "history", "turns": []}')

    async def resume(self, name: str, conversation: str) -> None:
        await self.send(name, f'{{"type": "resume", "conversation": "{conversation}"}}')
        await self.receive(name, f'{{"type": "conversation", "id": "{conversation}"}}')

    # Leaving

    async def leave(self, name: str) -> None:
        await (await self._visitor(name)).socket.close()
        del self._visitors[name]

    async def be_closed(self, name: str, code: str, within: str | None = None) -> None:
        visitor = await self._visitor(name)
        with suppress(ConnectionClosed):
            while True:
                frame = read_frame(await visitor.socket.recv(), resuming=visitor.resuming)
                # What was refused before does not count.
                if frame["type"] != "error":
                    raise Mismatch(f"expected a close, but got {show(frame)}")
        del self._visitors[name]
        if visitor.socket.close_code != int(code):
            raise Mismatch(f"it was closed with {visitor.socket.close_code}")

    async def be_closed_for(self, name: str, code: str, text: str) -> None:
        socket = (await self._visitor(name)).socket
        # One after the other: of a client that does not read, the close may be lost.
        with suppress(ConnectionClosed):
            for _ in range(FLOOD):
                await socket.send(text)
                await socket.recv()
            raise Mismatch(f"it was not closed after {FLOOD} of them")
        await self.be_closed(name, code)

    async def be_pinged(self, name: str, within: str) -> None:
        frame = read_frame(await (await self._visitor(name)).socket.recv(), resuming=True)
        if frame["type"] != "ping":
            raise Mismatch(f"expected a ping, but got {show(frame)}")

    # The model

    async def let_model_go_on(self, hold: str) -> None:
        assert self._settings.model
        self._settings.model.go_on(self._names[hold[1:]])

    async def see_model_left(self, hold: str) -> None:
        assert self._settings.model
        await self._settings.model.left(self._names[hold[1:]])
