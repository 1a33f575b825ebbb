"""The model behind the server under test: it does what the tags in a message ask for (plain.txt lists them)."""

import asyncio
import re
from collections import defaultdict
from types import TracebackType
from typing import Self

from tests.support.call import Call
from tests.support.fake_openai import FakeOpenAI

TAG = re.compile(r"\[(say|think|fill|hold|fail|cut|end) ?([^]]*)\]")
PIECE = 1000  # characters


class ScriptedModel:
    """An OpenAI-compatible server at host and port: `async with ScriptedModel("127.0.0.1", 9099) as model`."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._server = FakeOpenAI(host, port)
        self._server.answers(self._answer)
        # By the name of a hold.
        self._may_go_on: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._was_left: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    @property
    def url(self) -> str:
        """What OPENAI_BASE_URL must be."""
        return self._server.url

    @property
    def mistakes(self) -> list[Exception]:
        """What it could not read of the requests."""
        return self._server.mistakes

    def go_on(self, hold: str) -> None:
        """Leave a hold, now or when it is reached."""
        self._may_go_on[hold].set()

    async def left(self, hold: str) -> None:
        """Wait until the server has closed its request during a hold."""
        await self._was_left[hold].wait()

    async def __aenter__(self) -> Self:
        await self._server.__aenter__()
        return self

    async def __aexit__(self, *why: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self._server.close()

    async def _answer(self, call: Call) -> None:
        tags = TAG.findall(str(call.question)) or [("say", "No tag.")]
        reason = "stop"
        for tag, argument in tags:
            match tag:
                case "say":
                    for piece in argument.split("|"):
                        await call.text(piece)
                case "think":
                    await call.delta({"reasoning_content": argument})
                case "fill":
                    for _ in range(int(argument) // PIECE):
                        await call.text("x" * PIECE)
                case "hold":
                    await self._hold(call, argument)
                case "fail":
                    await call.refuse(int(argument))
                    return
                case "cut":
                    return
                case "end":
                    reason = argument
        await call.finish(reason)

    async def _hold(self, call: Call, name: str) -> None:
        leaving = asyncio.ensure_future(call.closed())
        going_on = asyncio.ensure_future(self._may_go_on[name].wait())
        try:
            await asyncio.wait({leaving, going_on}, return_when=asyncio.FIRST_COMPLETED)
            if leaving.done():
                self._was_left[name].set()
                raise ConnectionResetError("the server has left")
        finally:
            leaving.cancel()
            going_on.cancel()
