"""What all tests share: one event loop; for each module a fake OpenAI and a server; two logs on one store."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from chat.log import Log, open_log
from tests.support import FakeOpenAI, Server
from tests.support.valkey import Valkey

LEASE = 0.4  # seconds, of the logs below
STORES = ("sqlite", "valkey")  # Each keeps the log's promises.


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
def path(tmp_path: Path) -> str:
    return str(tmp_path / "chat.db")


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """One server for all tests; `store_url` empties its first database."""
    with Valkey(tmp_path_factory.mktemp("valkey")) as valkey:
        yield valkey


@pytest.fixture(params=STORES)
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new store, of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/chat.db"
    valkey: Valkey = request.getfixturevalue("valkey")
    valkey.command("FLUSHDB")
    return valkey.url


@pytest.fixture
async def ann(store_url: str) -> AsyncIterator[Log]:
    async with open_log(store_url, LEASE) as log:
        yield log


@pytest.fixture
async def bob(store_url: str, ann: Log) -> AsyncIterator[Log]:
    async with open_log(store_url, LEASE) as log:
        yield log
