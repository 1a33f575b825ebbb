"""A store, and a second worker on it: where clients come back to."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support import FakeOpenAI, Server
from tests.support.resuming import worker


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store") / "chat.db"


@pytest.fixture(scope="module")
async def other(openai: FakeOpenAI, store: Path) -> AsyncIterator[Server]:
    async with worker(openai, store) as server:
        yield server
