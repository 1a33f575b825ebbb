"""The model in this process: an async generator in place of `nodes.stream_llm`, written by the test."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any


class FakeModel:
    """Says "Once", and goes on when it may."""

    def __init__(self) -> None:
        self.may_go_on = asyncio.Event()
        self.asked: list[list[dict[str, str]]] = []

    async def __call__(self, messages: list[dict[str, str]]) -> AsyncIterator[str]:
        self.asked.append(messages)
        yield "Once"
        await self.may_go_on.wait()
        yield " upon"


class Script:
    """Says so many numbered pieces, then waits until it may say the rest."""

    def __init__(self, before: int, after: int = 0) -> None:
        self._before = before
        self._after = after
        self.may_go_on = asyncio.Event()
        self.calls = 0

    def text(self, count: int) -> str:
        return "".join(f"<{n}>" for n in range(count))

    @property
    def whole(self) -> str:
        return self.text(self._before + self._after)

    async def __call__(self, messages: Any) -> AsyncIterator[str]:
        self.calls += 1
        for n in range(self._before):
            yield f"<{n}>"
        if self._after:
            await self.may_go_on.wait()
        for n in range(self._before, self._before + self._after):
            yield f"<{n}>"
