"""A body that never ends, of which nothing ever has to be waited for."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest

from utils.openai_client import ERROR_BYTES, _check
from utils.openai_measures import ModelCall
from utils.openai_stream import LONGEST_SILENCE
from utils.pieces import ReplyCut
from utils.settings import Settings
from utils.stream_llm import TURN, _in_turns, _pieces

PACKET = b": keep-alive\n\n" * 1_000
PACKETS = 2 * LONGEST_SILENCE // len(PACKET)


class Endless(httpx2.AsyncByteStream):
    """It counts what is read of it, and that it is closed; more than enough of it is an error."""

    def __init__(self) -> None:
        self.read = 0
        self.closed = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(PACKETS):
            self.read += len(PACKET)
            yield PACKET
        raise AssertionError("too much was read")

    async def aclose(self) -> None:
        self.closed += 1


async def longest_part(body: Endless) -> int:
    return max([len(part) async for part in _in_turns(answer(body))])


def answer(body: Endless, status: int = 200, coding: str | None = None) -> httpx2.Response:
    headers = {"content-encoding": coding} if coding else {}
    request = httpx2.Request("POST", "http://nowhere.invalid")
    return httpx2.Response(status, headers=headers, stream=body, request=request)


@pytest.mark.parametrize("status", [307, 400, 500])
async def test_U56_only_the_beginning_of_an_error_is_read(status: int) -> None:
    body = Endless()
    response = answer(body, status)
    await _check(response)
    assert len(await response.aread()) == ERROR_BYTES
    assert body.read < ERROR_BYTES + len(PACKET)
    assert body.closed


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip", "GZIP", "unheard-of"])
async def test_U57_nothing_is_read_of_a_compressed_body(coding: str) -> None:
    body = Endless()
    with pytest.raises(ValueError, match="compressed"):
        await _check(answer(body, coding=coding))
    error = answer(body, 401, coding)
    await _check(error)
    assert await error.aread() == b""
    assert body.read == 0


async def test_U58_others_get_their_turn_in_a_flood() -> None:
    turns = 0

    async def neighbour() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(neighbour())
    body = Endless()
    with pytest.raises(AssertionError, match="too much was read"):
        await longest_part(body)
    task.cancel()
    assert turns >= body.read / TURN


async def test_U43_U58_a_deadline_fires_in_a_flood() -> None:
    body = Endless()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(longest_part(body), 0.001)
    assert body.read < PACKETS * len(PACKET)


class Waiting(Endless):
    """A text, then again and again something without a text, soon enough to look alive."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b'data: {"choices": [{"delta": {"content": "Once"}}]}\n\n'
        for _ in range(500):
            yield b": keep-alive\n\n"
            await asyncio.sleep(0.01)


def model_that_answers(body: Endless, settings: Settings) -> Any:
    async def request(messages: Any) -> httpx2.Response:
        return answer(body)

    return SimpleNamespace(settings=settings, client=SimpleNamespace(api_key=""), request=request)


async def test_U43_what_is_no_text_does_not_restart_the_clock() -> None:
    body = Waiting()
    model = model_that_answers(body, Settings(next_token_seconds=0.1))
    with ModelCall("a-model") as call:
        pieces = _pieces(model, [], call)
        assert await anext(pieces) == "Once"
        with pytest.raises(ReplyCut) as cut:
            await anext(pieces)
    assert cut.value.code == "upstream_timeout"
    assert body.closed


async def test_U58_a_flood_without_a_text_ends() -> None:
    body = Endless()
    with pytest.raises(ReplyCut) as cut:
        await anext(_pieces(model_that_answers(body, Settings()), [], ModelCall("a-model")))
    assert cut.value.code == "upstream_error"
    assert body.closed
    assert body.read < LONGEST_SILENCE + 2 * len(PACKET)
