"""docs/extending.md, carried out: each of its code blocks is put in its place in a copy of the app, and run."""

import asyncio
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.faults.telling import echoes
from tests.support import FakeOpenAI, Server
from tests.support.resuming import Tab

ROOT = Path(__file__).parents[1]
APP = ("main.py", "flow.py", "nodes.py", "utils", "static")
BLOCK = re.compile(r"^```python\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS: dict[str, str] = dict(BLOCK.findall((ROOT / "docs/extending.md").read_text()))


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the app; servers that start now are of this one."""
    for name in APP:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name)
        else:
            shutil.copy(ROOT / name, tmp_path)
    monkeypatch.setattr("tests.support.server.ROOT", tmp_path)
    return tmp_path


def apply(path: str, copy: Path) -> None:
    (copy / path).write_text(BLOCKS[path])


def test_every_code_block_is_a_file_that_a_test_runs() -> None:
    assert (ROOT / "docs/extending.md").read_text().count("```") == 2 * len(BLOCKS)
    assert set(BLOCKS) == {"flow.py", "utils/stream_llm.py", "terminal.py"}


async def test_a_node_in_front_of_the_chat_tells_the_model_more_than_the_person_said(
    copy: Path, openai: FakeOpenAI
) -> None:
    apply("flow.py", copy)
    openai.says("At nine.")
    async with Server(openai.url) as server, Tab(server) as tab:
        turn = await tab.answered("When does the library open?")
        assert (turn.question, turn.answer) == ("When does the library open?", "At nine.")
        await tab.answered("Thanks!")
        async with Tab(server, tab.conversation) as later:
            assert [turn.question for turn in later.turns] == ["When does the library open?", "Thanks!"]
    told = [call.request.body["messages"] for call in openai.calls[-2:]]
    assert told[0] == [
        {
            "role": "user",
            "content": "These notes may help:\nThe library opens at nine.\n\nWhen does the library open?",
        }
    ]
    assert [message["content"] for message in told[1]] == ["When does the library open?", "At nine.", "Thanks!"]


async def test_another_source_of_text_takes_the_place_of_the_model(copy: Path) -> None:
    apply("utils/stream_llm.py", copy)
    async with Server(None, OPENAI_API_KEY=None) as server, server.client() as client:
        reply = await client.reply("Is there an echo?")
        assert (reply.text, reply.status) == ("Is there an echo? ", "done")
        assert len(reply.frames) > 3, "word by word"
        reply = await client.reply("la " * 101)
        assert (reply.text, reply.status) == ("la " * 100, "length")


async def test_a_terminal_is_a_client_too(copy: Path, openai: FakeOpenAI) -> None:
    apply("terminal.py", copy)
    openai.answers(echoes)
    async with Server(openai.url) as server:
        terminal = await asyncio.create_subprocess_exec(
            sys.executable, "-W", "error", "terminal.py", server.ws_url, cwd=copy, env={},
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(10):
            output, errors = await terminal.communicate("hi\nGrüße\n".encode())
    assert (output.decode(), errors) == ("> You said: hi\n> You said: Grüße\n> ", b"")
    assert terminal.returncode == 0
