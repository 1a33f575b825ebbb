"""Where replies come from: any OpenAI-compatible server, through the openai client.

Try it: `python -m utils.stream_llm "hello"`.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

from utils.openai_errors import explained
from utils.openai_measures import ModelCall
from utils.openai_stream import Completion
from utils.pieces import ReplyCut
from utils.settings import Settings, read_settings
from utils.time_limit import TimeLimit
from utils.worker import supervisor

if TYPE_CHECKING:
    from utils.openai_client import Model

# Seconds that a server may take from its finish_reason to [DONE]; the reply is whole already.
AFTER_FINISH = 1.0

# Seconds from [DONE] to the body's end. Only a connection that was read to its end is used again.
AFTER_DONE = 0.1

# Bytes of a large packet. When smaller ones come, the event loop is idle in between.
LARGE = 32 * 2**10

# Bytes. Where lines are shorter on average, the parser works hard for nothing: a token has more.
SHORT_LINE = 20

# Bytes of short lines that are read before others get their turn: a millisecond or two.
TURN = 4096

# Seconds without work after a large packet. A thread that writes to the log gets Python's lock at
# once only while the event loop is idle; it costs a burst 1 ms for each packet.
REST = 0.001

# All other finish reasons mean: done.
STATUS = {"length": "length", "content_filter": "filtered"}

# The model of this process. open_model() sets it, and stream_llm() waits for it.
_model: "asyncio.Future[Model] | None" = None


@asynccontextmanager
async def open_model(settings: Settings) -> "AsyncIterator[asyncio.Future[Model]]":
    """Prepare the model in the background, while replies wait for it; close it in the end."""
    global _model
    if settings.uses_local_model and not supervisor():
        print(f"Loading {settings.model_name}. Messages wait for it.", flush=True)
    _model = asyncio.ensure_future(asyncio.to_thread(_connect, settings))
    try:
        yield _model
    finally:
        model = await _model
        _model = None
        if model.client:
            await model.client.close()


def _connect(settings: Settings) -> "Model":
    # Importing the openai client is half of the start-up time.
    from utils.openai_client import Model

    return Model(settings)


async def stream_llm(messages: list[dict[str, str]]) -> AsyncGenerator[str, None]:
    """The model's reply to these messages, piece by piece as it is generated.

    Some pieces may be Reasoning. Raises ReplyCut if the reply ends before it is whole. Close the
    generator to stop the model.
    """
    if _model is None:
        # Used alone, without a server around it.
        async with open_model(read_settings()), aclosing(stream_llm(messages)) as pieces:
            async for piece in pieces:
                yield piece
        return
    model = await asyncio.shield(_model)
    if not model.client:
        raise ReplyCut("error", "no_model")
    left = model.settings.max_reply_chars
    with ModelCall(model.settings.model_name) as call:
        async with aclosing(_pieces(model, messages, call)) as pieces:
            async for piece in pieces:
                yield piece if len(piece) <= left else type(piece)(piece[:left])
                left -= len(piece)
                if left < 0:
                    raise ReplyCut("length")


async def _pieces(
    model: "Model",
    messages: list[dict[str, str]],
    call: ModelCall,
) -> AsyncGenerator[str, None]:
    now = asyncio.get_running_loop().time
    deadline = now() + model.settings.first_token_seconds
    key = model.client.api_key
    try:
        async with asyncio.timeout_at(deadline):
            response = await model.request(messages)
    except Exception as error:
        raise explained(error, key) from None
    completion = Completion(response.headers.get("content-type", ""))
    call.tokens = completion.tokens
    packets = _in_turns(response)
    until_next_token = TimeLimit(model.settings.next_token_seconds)
    async with aclosing(response), aclosing(packets):
        packet: bytes | None = b""
        pieces: list[str] = []
        while packet is not None:
            limit: AbstractAsyncContextManager[object] = until_next_token
            if not pieces or completion.finish:
                # The clock has not just been restarted.
                limit = asyncio.timeout_at(deadline)
            try:
                async with limit:
                    packet = await anext(packets, None)
                pieces = completion.close() if packet is None else completion.feed(packet)
            except Exception as error:
                if completion.finish:
                    # It is whole already; only the connection is unfit for another request.
                    break
                raise explained(error, key, under_way=True) from None
            if pieces:
                call.note_text()
            for piece in pieces:
                yield piece
            if completion.failure:
                if completion.finish:
                    break
                raise explained(completion.failure, key)
            if pieces:
                # Restart the clock only now: time the consumer took must not count.
                deadline = now() + model.settings.next_token_seconds
            if completion.finish:
                rest = AFTER_DONE if completion.done else AFTER_FINISH
                deadline = min(deadline, now() + rest)
    if not completion.finish:
        raise ReplyCut("interrupted", "upstream_cut")
    if completion.finish in STATUS:
        raise ReplyCut(STATUS[completion.finish])


async def _in_turns(response: Any) -> AsyncGenerator[bytes, None]:
    """The bytes of a body, in parts so small that others get their turn in between.

    In a flood the next bytes are always there already: nothing would wait, and no deadline fire.
    """
    async with aclosing(response.aiter_bytes()) as packets:
        async for packet in packets:
            is_flood = packet.count(b"\n") * SHORT_LINE > len(packet) > TURN
            size = TURN if is_flood else max(len(packet), 1)
            for at in range(0, len(packet), size):
                yield packet[at : at + size]
                if is_flood:
                    await asyncio.sleep(0)
            if is_flood or len(packet) >= LARGE:
                await asyncio.sleep(REST)


async def _main(question: str) -> None:
    messages = [{"role": "user", "content": question}]
    async with aclosing(stream_llm(messages)) as pieces:
        async for piece in pieces:
            print(piece, end="", flush=True)


if __name__ == "__main__":
    asyncio.run(_main(" ".join(sys.argv[1:]) or "hello"))
