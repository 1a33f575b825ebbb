"""Where replies come from: any OpenAI-compatible server, through the openai client.

Try it: `python -m utils.stream_llm "hello"`.
"""

import asyncio
import logging
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

from utils.local_llm import LocalModel, NoLocalModel
from utils.reply_reader import ReplyCut, ReplyReader, error_code
from utils.settings import Settings, read_settings

logger = logging.getLogger(__name__)

AFTER_FINISH = 1.0  # seconds that a server may take from its finish_reason to [DONE]; the reply is whole already
AFTER_DONE = 0.1  # seconds from [DONE] to the body's end; only what was read to its end can be used again
STATUS_CODES = {401: "upstream_auth", 403: "upstream_auth", 413: "too_long", 429: "upstream_busy"}
STATUS = {"length": "length", "content_filter": "filtered"}  # all other finish reasons mean: done


class Model:
    """The connection to the model; one for the process, for making one takes 40 ms (and a local model a second)."""

    def __init__(self, settings: Settings) -> None:
        from openai import AsyncOpenAI, DefaultAioHttpClient, Timeout  # Half of the start-up time.

        self.settings, self._local = settings, None
        self.client: Any = None
        key, url = settings.openai_api_key, settings.openai_base_url
        if settings.uses_local_model:
            try:
                self._local = LocalModel()
            except NoLocalModel:
                return logger.warning("no model: set OPENAI_API_KEY, or install requirements-local.txt")
            key, url = self._local.api_key, self._local.base_url
        self.client = AsyncOpenAI(
            api_key=key or "none",  # A server of one's own wants no key, the client wants one.
            base_url=url or None,
            max_retries=1,
            timeout=Timeout(None),  # _pieces has the deadlines.
            http_client=DefaultAioHttpClient(),
        )

    async def ask(self, messages: list[dict[str, str]]) -> Any:
        """The response to these messages, its body still to be read."""
        import httpx2
        from openai import AsyncStream

        prompt, name = self.settings.system_prompt, self.settings.model_name
        system = [{"role": "system", "content": prompt}] if prompt else []
        body = {"model": name, "messages": [*system, *messages], "stream": True, **self.settings.openai_parameters}
        # Not chat.completions.create(): it walks through all parameters, 18 ms of the event loop for 40 messages.
        options: dict[str, Any] = {"cast_to": httpx2.Response, "stream": True, "stream_cls": AsyncStream[object]}
        return await self.client.post("/chat/completions", body=body, **options)


_model: asyncio.Future[Model] | None = None


@asynccontextmanager
async def open_model(settings: Settings) -> AsyncIterator[asyncio.Future[Model]]:
    """Get the model ready in the background, replies wait for it; close it in the end."""
    global _model
    _model = asyncio.ensure_future(asyncio.to_thread(Model, settings))
    try:
        yield _model
    finally:
        model, _model = await _model, None
        if model.client:
            await model.client.close()


async def stream_llm(messages: list[dict[str, str]]) -> AsyncGenerator[str, None]:
    """The model's reply to these messages, piece by piece as it is generated; some pieces may be Reasoning.

    Raises ReplyCut if the reply ends before it is whole. Close the generator to stop the model.
    """
    if _model is None:  # used alone, without a server around it
        async with open_model(read_settings()), aclosing(stream_llm(messages)) as pieces:
            async for piece in pieces:
                yield piece
        return
    model = await asyncio.shield(_model)
    if not model.client:
        raise ReplyCut("error", "no_model")
    left = model.settings.max_reply_chars
    async with aclosing(_pieces(model, messages)) as pieces:
        async for piece in pieces:
            yield piece if len(piece) <= left else type(piece)(piece[:left])
            left -= len(piece)
            if left < 0:
                raise ReplyCut("length")


async def _pieces(model: Model, messages: list[dict[str, str]]) -> AsyncGenerator[str, None]:
    now = asyncio.get_running_loop().time
    deadline = now() + model.settings.first_token_seconds
    try:
        async with asyncio.timeout_at(deadline):
            response = await model.ask(messages)
    except Exception as error:
        raise _explained(error) from None
    reader = ReplyReader(response.headers.get("content-type", ""))
    packets = response.aiter_bytes()
    async with aclosing(response), aclosing(packets):
        packet: bytes | None = b""
        while packet is not None:
            try:
                async with asyncio.timeout_at(deadline):
                    packet = await anext(packets, None)
                pieces = reader.close() if packet is None else reader.feed(packet)
            except Exception as error:
                if reader.finish:
                    break  # Whole already; only the connection is not fit for another request.
                raise _explained(error, under_way=True) from None
            for piece in pieces:
                yield piece
            if reader.failure:
                raise _explained(reader.failure)
            if pieces:  # Counted from here: the reader of the pieces may take its time.
                deadline = now() + model.settings.next_token_seconds
            if reader.finish:
                deadline = min(deadline, now() + (AFTER_DONE if reader.done else AFTER_FINISH))
    if not reader.finish:
        raise ReplyCut("interrupted", "upstream_cut")
    if reader.finish in STATUS:
        raise ReplyCut(STATUS[reader.finish])


def _explained(error: Exception, *, under_way: bool = False) -> ReplyCut:
    """Why the reply failed. Logs what cannot hold a secret: never the error's own text."""
    from openai import APIConnectionError

    if isinstance(error, ReplyCut):
        return error
    status = getattr(error, "status_code", 0)
    code = error_code(getattr(error, "body", None)) or STATUS_CODES.get(status, "upstream_error")
    if isinstance(error, TimeoutError):
        code = "upstream_timeout"
    elif isinstance(error, APIConnectionError):  # Its APITimeoutError too: the deadlines are ours.
        code = "upstream_unreachable"
    elif under_way and not isinstance(error, ValueError | RecursionError):
        code = "upstream_cut"
    logger.warning("no whole reply: %s (%s, HTTP %s)", code, type(error).__name__, status or "-")
    refused = code == "upstream_error" and 400 <= status < 500
    return ReplyCut("interrupted" if code == "upstream_cut" else "error", code, False if refused else None)


async def _main(question: str) -> None:
    async with aclosing(stream_llm([{"role": "user", "content": question}])) as pieces:
        async for piece in pieces:
            print(piece, end="", flush=True)


if __name__ == "__main__":
    asyncio.run(_main(" ".join(sys.argv[1:]) or "hello"))
