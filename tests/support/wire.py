"""What OpenAI puts on the wire, for both fakes: the scripted one of the tests and the fast one of bench."""

import json
from typing import Any

from tests.support.secrets import INTERNAL_HOST, KEY, ORGANISATION, UPSTREAM_WORDS


def chunk(delta: Any, finish_reason: str | None = None, **more: Any) -> dict[str, Any]:
    """A chunk of a streamed answer, with all that OpenAI sends along."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return {
        "id": "chatcmpl-Cb2TjXgV6ZAN9rZtGgJkLqPz0dFuH",
        "object": "chat.completion.chunk",
        "created": 1760000000,
        "model": "gpt-5.4-mini-2026-03-17",
        "service_tier": "default",
        "system_fingerprint": None,
        "choices": [choice],
        "usage": None,
        "obfuscation": "k3Jv0pQz",
    } | more


def refusal(code: str | None = None) -> dict[str, Any]:
    """An error object, with everything in it that nobody else may see."""
    message = f"{UPSTREAM_WORDS} {KEY} of {ORGANISATION} at {INTERNAL_HOST}"
    return {"message": message, "type": "refused", "param": None, "code": code}


def sse(*events: Any) -> bytes:
    """Server-sent events; surrogates travel as JSON escapes."""
    return "".join(f"data: {json.dumps(event, separators=(',', ':'))}\n\n" for event in events).encode()


def framed(data: bytes) -> bytes:
    """A part of a body whose length is not known beforehand: `transfer-encoding: chunked`."""
    return b"%x\r\n%b\r\n" % (len(data), data)
