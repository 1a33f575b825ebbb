"""A store, of each kind, and a second worker on it: where clients come back to."""

from collections.abc import AsyncIterator

import pytest

from tests.conftest import STORES
from tests.support import FakeOpenAI, Server
from tests.support.resuming import worker
from tests.support.valkey import Valkey


@pytest.fixture(scope="module", params=STORES)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A STORE_URL. The database is not the one that `store_url` empties."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path_factory.mktemp('store')}/chat.db"
    valkey: Valkey = request.getfixturevalue("valkey")
    return f"{valkey.url}/1"


@pytest.fixture(scope="module")
async def other(openai: FakeOpenAI, store: str) -> AsyncIterator[Server]:
    async with worker(openai, store) as server:
        yield server
