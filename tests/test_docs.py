"""What the documentation shows works, and what it lists is there."""

import asyncio
import re
import shutil
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from bench import scoreboard
from flow import create_streaming_chat_flow
from tests.support import Call, FakeOpenAI, Server, dialogue, echo
from tests.support.resuming import Tab
from utils.settings import Settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
EXTENDING = (ROOT / "docs/extending.md").read_text()
FAULTS = (ROOT / "docs/faults.md").read_text()
# By the heading above each: the place of a file, and the file.
BLOCKS: dict[str, tuple[str, str]] = {
    section.partition("\n")[0]: (path, code)
    for section in EXTENDING.split("\n## ")[1:]
    for path, code in re.findall(r"^```python\n# (\S+)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
}


# README.md


async def test_the_readmes_example_of_a_test_passes_and_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict[str, Any] = {"create_streaming_chat_flow": create_streaming_chat_flow}
    exec(example, names)
    await names["test_the_node_streams"](monkeypatch)
    exec(example.replace('yield " upon"', 'yield "?"'), names)
    with pytest.raises(AssertionError):
        await names["test_the_node_streams"](monkeypatch)


def test_every_file_that_the_readme_names_is_there() -> None:
    named = set(re.findall(r"`((?:utils/|tests/|bench/|static/)?\w+\.py|static/|tests/|bench/)`", README))
    named |= set(re.findall(r"\]\(([^):]+)\)", README))
    assert len(named) > 20
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_setting_is_documented() -> None:
    assert {setting.name.upper() for setting in fields(Settings)} <= set(re.findall(r"[A-Z_]+", README))


# docs/faults.md: a test cites a fault in its name, test_N12_..., or in the id of a case, "U17 ...".


def citations() -> dict[str, set[str]]:
    """Each fault that the suite cites, and the files in which it does."""
    found: dict[str, set[str]] = {}
    for file in (ROOT / "tests").rglob("*.py"):
        for fault in re.findall(r'(?:def test_|_|")([A-Z]\d\d)(?=[_ ])', file.read_text()):
            found.setdefault(fault, set()).add(file.stem)
    return found


def test_the_list_of_faults_and_the_suite_agree() -> None:
    rows = re.findall(r"^\| ([A-Z]\d\d) \|.*\| ([^|]+) \|$", FAULTS, re.MULTILINE)
    listed = {fault: set(files.split(", ")) - {"planned"} for fault, files in rows}
    assert len(rows) == len(listed) == FAULTS.count("\n| ") - FAULTS.count("\n| id ")
    assert {fault: files for fault, files in listed.items() if files} == citations()


def test_the_scoreboard_is_that_of_the_list() -> None:
    """Else: python -m bench.scoreboard"""
    assert scoreboard.text() in (ROOT / "docs/reliability.md").read_text()


# docs/extending.md: each block is put in its place in a copy of the app, and run.


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the app; servers that start now are of this one."""
    for name in ("main.py", "flow.py", "nodes.py"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("chat", "utils", "static"):
        shutil.copytree(ROOT / name, tmp_path / name)
    monkeypatch.setattr("tests.support.server.ROOT", tmp_path)
    return tmp_path


def put(heading: str, copy: Path) -> None:
    path, code = BLOCKS[heading]
    (copy / path).write_text(code)


def test_every_code_block_of_extending_is_a_file_that_a_test_runs() -> None:
    assert EXTENDING.count("```") == 2 * len(BLOCKS)
    source = Path(__file__).read_text()
    assert [heading for heading in BLOCKS if f'put("{heading}", copy)' not in source] == []


async def test_the_direct_form_streams_over_a_real_websocket(copy: Path, openai: FakeOpenAI) -> None:
    put("The direct form", copy)
    openai.answers(echo)
    async with Server(openai.url, program="-m uvicorn direct:app --port PORT") as server, server.client() as client:
        assert (await client.reply("Hi")).whole == "You said: Hi"
        assert (await client.reply("And?")).whole == "You said: And?"
    assert openai.calls[-1].messages == dialogue("Hi", "You said: Hi", "And?")


async def test_a_node_in_front_of_the_chat_tells_the_model_more(copy: Path, openai: FakeOpenAI) -> None:
    put("A node in front of the chat", copy)
    openai.says("At nine.")
    question = "When does the library open?"
    async with Server(openai.url) as server, Tab(server) as tab:
        turn = await tab.answered(question)
        assert (turn.question, turn.answer) == (question, "At nine.")
        await tab.answered("Thanks!")
        async with Tab(server, tab.conversation) as later:
            assert [turn.question for turn in later.turns] == [question, "Thanks!"]
    told = [call.messages for call in openai.calls[-2:]]
    assert told[0] == dialogue(f"These notes may help:\nThe library opens at nine.\n\n{question}")
    assert told[1] == dialogue(question, "At nine.", "Thanks!")


async def test_an_agent_says_what_it_is_doing(copy: Path, openai: FakeOpenAI) -> None:
    put("An agent that says what it is doing", copy)

    async def model(call: Call) -> None:
        deciding = "reply with: search WORD" in call.question
        if deciding:
            await call.text("answer" if "Minka is the cat" in call.question else "Search Minka.")
        else:
            await call.text(f"I know: {'Minka is the cat' in call.question}")
        await call.finish()

    openai.answers(model)
    async with Server(openai.url) as server, Tab(server) as tab:
        turn = await tab.answered("Who is Minka?")
        assert (turn.reasoning, turn.answer, turn.status) == ("Looking up minka.\n", "I know: True", "done")
        async with Tab(server, tab.conversation) as later:
            assert later.turns == tab.turns


async def test_a_node_behind_the_chat_remembers_for_the_next_turn(copy: Path, openai: FakeOpenAI) -> None:
    put("A node after the chat", copy)

    async def model(call: Call) -> None:
        fact = "They like tea." if "I like tea" in call.question else "None."
        await call.text(fact if "State the lasting fact" in call.question else "Fine.")
        await call.finish()

    openai.answers(model)
    async with Server(openai.url) as server, Tab(server) as tab:
        await tab.answered("I like tea.")
        await tab.answered("What should I drink?")
    asked = [call.question for call in openai.calls[-4:]]
    assert (asked[0], asked[2]) == ("I like tea.", "About me: They like tea.\n\nWhat should I drink?")


async def test_a_question_to_the_person_goes_on_after_a_restart(copy: Path, openai: FakeOpenAI) -> None:
    put("A question to the user", copy)
    openai.says("Booked.")
    calls = len(openai.calls)
    store = f"sqlite:///{copy}/chat.db"
    async with Server(openai.url, STORE_URL=store) as server, Tab(server) as tab:
        assert (await tab.answered("A table, please.")).answer == "For how many people?"
        assert (await tab.answered("4 people")).answer == "On which day?"
    async with Server(openai.url, STORE_URL=store) as server, Tab(server, tab.conversation) as tab:
        assert (await tab.answered("Friday")).answer == "Booked."
    assert len(openai.calls) == calls + 1


async def test_code_that_blocks_stalls_nobody_in_a_thread(copy: Path, openai: FakeOpenAI) -> None:
    """The other reply is complete while the thread still sleeps, so it comes first."""
    put("Code that blocks", copy)
    openai.answers(echo)
    async with Server(openai.url) as server, Tab(server) as slow, server.client() as client:
        turn = await slow.ask("one two")
        for _ in range(20):
            assert (await server.get("/healthz")).status == 200
        assert not slow.turns or slow.turns[0].status == "open"
        assert (await slow.ended(turn)).answer == "You said: one two\n\n(2 words)"
        assert (await client.reply("three")).whole == "You said: three\n\n(1 words)"


async def test_another_source_of_text_takes_the_place_of_the_model(copy: Path) -> None:
    put("Another model SDK", copy)
    async with Server(None, OPENAI_API_KEY=None) as server, server.client() as client:
        reply = await client.reply("Is there an echo?")
        assert reply.whole == "Is there an echo? "
        assert len(reply.frames) > 3, "word by word"
        reply = await client.reply("la " * 101)
        assert (reply.text, reply.status) == ("la " * 100, "length")


async def test_a_terminal_is_a_client_too(copy: Path, openai: FakeOpenAI) -> None:
    put("Another client", copy)
    openai.answers(echo)
    async with Server(openai.url) as server:
        terminal = await asyncio.create_subprocess_exec(
            sys.executable, "-W", "error", "terminal.py", server.ws_url, cwd=copy, env={},
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(10):
            output, errors = await terminal.communicate("hi\nGrüße\n".encode())
    assert (output.decode(), errors) == ("> You said: hi\n> You said: Grüße\n> ", b"")
    assert terminal.returncode == 0
