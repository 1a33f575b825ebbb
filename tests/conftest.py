"""What all tests share: one event loop, one fake OpenAI and one server for each module."""

from collections.abc import AsyncIterator

import pytest

from tests.support import FakeOpenAI, Server


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def openai() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI() as openai:
        yield openai


@pytest.fixture(scope="module")
async def server(openai: FakeOpenAI) -> AsyncIterator[Server]:
    async with Server(openai.url) as server:
        yield server
