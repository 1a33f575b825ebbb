"""Moving from one machine to many: `python -m chat.copy`."""

import asyncio
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from chat.log import Log, open_log
from tests.conftest import LEASE
from tests.support.logs import chunk, end, question
from tests.support.rooms import stored
from tests.support.valkey import Valkey

ROOT = Path(__file__).parents[1]
EVENTS = [question("t1"), chunk("t1", 0, "Be"), chunk("t1", 1, "cause."), end("t1", "done", ["Because."])]


@pytest.fixture
async def source(tmp_path: Path) -> str:
    """120 conversations; the event between the first two of each cannot be decoded."""
    url = f"sqlite:///{tmp_path}/chat.db"
    async with open_log(url, LEASE) as log:
        await asyncio.gather(*(fill(log, f"c{n}") for n in range(120)))
    with closing(sqlite3.connect(tmp_path / "chat.db")) as db:
        db.execute("UPDATE event SET body = '{' WHERE body ->> 'type' = 'watched'")
        db.commit()
    return url


async def fill(log: Log, conversation: str) -> None:
    watched = {"type": "watched", "turn": "t1", "worker": "ann"}
    for event in [EVENTS[0], watched, *EVENTS[1:]]:
        await log.append(conversation, event)


async def run(*arguments: str) -> tuple[int | None, str]:
    """Run the command; its exit code and what it printed."""
    command = [sys.executable, "-m", "chat.copy", *arguments]
    pipe, stdout = asyncio.subprocess.PIPE, asyncio.subprocess.STDOUT
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=pipe, stderr=stdout)
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    return process.returncode, output.decode()


async def test_conversations_move_to_another_store_and_a_second_run_changes_nothing(
    source: str, valkey: Valkey
) -> None:
    valkey.command("FLUSHALL")
    async with open_log(valkey.url, LEASE) as log:
        # The first run was cut, and two conversations have gone on there, one before it was copied whole.
        await log.append("c5", EVENTS[0])
        for event in [*EVENTS, question("t2")]:
            await log.append("c6", event)
        for event in [EVENTS[0], question("t2")]:
            await log.append("c7", event)
        code, output = await run(source, valkey.url)
        assert (code, output.splitlines()[-1]) == (0, f"118 of 120 conversations were copied: {118 * 4 - 1} events.")
        for name in ("c0", "c5", "c119"):
            (turn,) = (await stored(log, name)).turns
            assert (turn.answer, turn.status) == ("Because.", "done")
        assert [len(await log.read(name, None)) for name in ("c6", "c7")] == [5, 2]
        code, output = await run(source, valkey.url)
        assert (code, output.splitlines()[-1]) == (0, "0 of 120 conversations were copied: 0 events.")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "Usage: "),
        (["sqlite:///nowhere.db", "redis://127.0.0.1:1"], "Cannot copy: the first address"),
        (["{source}", "redis://:hunter2@127.0.0.1:x"], "Cannot copy: expected redis://"),
    ],
    ids=["nothing", "no file", "no address"],
)
async def test_a_move_that_cannot_begin_says_why(arguments: list[str], reason: str, source: str) -> None:
    code, output = await run(*(argument.format(source=source) for argument in arguments))
    assert code == 1
    assert output.startswith(reason)
    assert "Traceback" not in output
    assert "hunter2" not in output
    assert not Path("nowhere.db").exists()
