"""What all tests share: one event loop; for each module a fake OpenAI and a server; two logs on one file."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support import FakeOpenAI, Server
from utils.sqlite_log import SqliteLog

LEASE = 0.4  # seconds, of the logs below


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


@pytest.fixture
async def path(tmp_path: Path) -> str:
    return str(tmp_path / "chat.db")


@pytest.fixture
async def ann(path: str) -> AsyncIterator[SqliteLog]:
    async with SqliteLog(path, LEASE) as log:
        yield log


@pytest.fixture
async def bob(path: str, ann: SqliteLog) -> AsyncIterator[SqliteLog]:
    async with SqliteLog(path, LEASE) as log:
        yield log
