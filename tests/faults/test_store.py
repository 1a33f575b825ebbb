"""A store that cannot be used, and who may read one: A10 and D07 of the fault list."""

import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from chat.sqlite_file import SCHEMA, SCHEMA_VERSION
from chat.sqlite_log import SqliteLog
from tests.conftest import LEASE
from tests.support import FakeOpenAI, Server
from tests.support.server import DidNotStart

PLAIN = "-m uvicorn main:app --port PORT"


async def test_A10_the_store_is_for_its_owner_alone_from_the_first_moment(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect
    first: list[int] = []

    def noting_the_mode(name: str, **options: bool) -> sqlite3.Connection:
        first.append(mode(name))
        return connect(name, isolation_level=None)

    monkeypatch.setattr(sqlite3, "connect", noting_the_mode)
    async with SqliteLog(path, LEASE) as log:
        await log.append("c", {"type": "chunk"})
        files = sorted(Path(path).parent.glob("chat.db*"))
        assert [file.name for file in files] == ["chat.db", "chat.db-shm", "chat.db-wal"]
        assert [mode(file) for file in files] == [0o600] * 3
    assert set(first) == {0o600}


async def test_A10_a_file_that_is_there_keeps_its_mode(path: str) -> None:
    Path(path).touch()
    Path(path).chmod(0o640)
    async with SqliteLog(path, LEASE):
        assert mode(path) == 0o640


def mode(path: str | Path) -> int:
    return stat.S_IMODE(Path(path).stat().st_mode)


def no_folder(path: Path) -> None:
    path.parent.rmdir()


def a_folder(path: Path) -> None:
    path.mkdir()


def no_database(path: Path) -> None:
    path.write_bytes(b"Dear diary, " * 1000)


def damaged(path: Path) -> None:
    stored(path, SCHEMA_VERSION)
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 400)


def newer(path: Path) -> None:
    stored(path, SCHEMA_VERSION + 1)


def an_old_sqlite(path: Path) -> None:
    (path.parent / "sitecustomize.py").write_text("import sqlite3\nsqlite3.sqlite_version_info = (3, 37, 2)\n")


def stored(path: Path, version: int) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.executescript(SCHEMA)
        db.execute("INSERT INTO event (conversation, body) VALUES ('c', '{}')")
        db.execute(f"PRAGMA user_version = {version}")
        db.commit()


UNUSABLE: dict[str, tuple[Callable[[Path], None], str]] = {
    "D07 no folder": (no_folder, "No such file or directory"),
    "D07 a folder": (a_folder, "Is a directory"),
    "D07 no database": (no_database, "file is not a database"),
    "D07 damaged": (damaged, "database disk image is malformed"),
    "D07 newer": (newer, f"its schema has version {SCHEMA_VERSION + 1}"),
    "D07 an old SQLite": (an_old_sqlite, "expected SQLite 3.38 or later"),
}


@pytest.mark.parametrize(("program", "code"), [("main.py", 1), (PLAIN, 3)], ids=["python main.py", "uvicorn"])
@pytest.mark.parametrize(("spoil", "reason"), UNUSABLE.values(), ids=UNUSABLE)
async def test_a_store_that_cannot_be_used_ends_the_start_with_one_line(
    openai: FakeOpenAI, tmp_path: Path, spoil: Callable[[Path], None], reason: str, program: str, code: int
) -> None:
    path = tmp_path / "store" / "chat.db"
    path.parent.mkdir()
    spoil(path)
    url = f"sqlite:///{path}"
    server = Server(openai.url, program=program, STORE_URL=url, PYTHONPATH=str(path.parent))
    with pytest.raises(DidNotStart) as failure:
        await server.__aenter__()
    (line,) = [line for line in str(failure.value).splitlines() if not line.startswith("INFO:")]
    assert line.startswith(f"ERROR:    Cannot start: STORE_URL={url!r}: {reason}")
    assert await server.stopped() == code


async def test_D07_a_file_of_the_first_version_is_opened(path: str) -> None:
    stored(Path(path), 0)
    async with SqliteLog(path, LEASE) as log:
        assert len(await log.read("c", None)) == 1
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchall() == [(SCHEMA_VERSION,)]
