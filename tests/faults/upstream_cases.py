"""The upstream faults that are a script: what the fake OpenAI does, and what must come of it."""

import asyncio
import gzip
import json
from contextlib import suppress
from dataclasses import dataclass

from tests.support import UPSTREAM_WORDS, Call, Reply, chunk, leaks, refusal, script, sse
from tests.support.call import Script, Step

FIRST_TOKEN, NEXT_TOKEN = 1.5, 0.5  # the server's limits, in seconds
LONGEST_REPLY = 50_000  # and in characters
TOO_MUCH = 64 * 2**20  # bytes that nobody reads of a flood, with the buffers of two sockets


@dataclass(frozen=True)
class Case:
    """A script, and the reply that it must become."""

    script: Script
    text: str = ""
    status: str = "done"
    code: str | None = None
    retry: bool | None = None

    def check(self, reply: Reply) -> None:
        error = reply.error or {"code": None, "retry": None}
        assert (reply.text, reply.status) == (self.text, self.status)
        assert (error["code"], error["retry"]) == (self.code, self.retry)
        assert not leaks(json.dumps(reply.frames))


def reply(text: str, *steps: Step, status: str = "done") -> Case:
    """The steps become this reply, without an error."""
    return Case(script(*steps), text, status)


def fails(code: str, *steps: Step, after: str = "", retry: bool = True) -> Case:
    """The steps become this text, then exactly one error, then the end of the reply."""
    return Case(script(*steps), after, "interrupted" if code == "upstream_cut" else "error", code, retry)


def refused(status: int, code: str | None = None, **headers: str) -> Step:
    return lambda call: call.refuse(status, code, **headers)


def answered(status: int, body: object) -> Step:
    """A whole answer in JSON."""
    return lambda call: call.whole(status, json.dumps(body).encode())


async def without_framing(call: Call) -> None:
    """The body ends with the connection, so that a cut looks like its end."""
    await call.headers(chunked=False)


async def a_page_of_html(call: Call) -> None:
    page = f"<html><body><h1>{UPSTREAM_WORDS}</h1>{refusal()}</body></html>"
    await call.whole(502, page.encode(), "text/html")


async def keep_alive(call: Call) -> None:
    """Comments for ever, or until nobody listens any more."""
    while call.is_open:
        await call.raw(b": keep-alive\n\n")
        await asyncio.sleep(0.05)


async def slow_but_alive(call: Call) -> None:
    """Longer than both limits together, though never longer than its own between two tokens."""
    await asyncio.sleep(FIRST_TOKEN * 0.6)
    for piece in ("Once", " upon", " a", " time", " there", " was", " a snail."):
        await call.text(piece)
        await asyncio.sleep(NEXT_TOKEN * 0.6)


async def an_answer_without_an_end(call: Call) -> None:
    """Of 10 MB and more: that much the buffers of two sockets can take while nobody reads."""
    while call.is_open:
        await call.text("a" * 10_000)


async def byte_for_byte(call: Call) -> None:
    event = {"choices": [{"delta": {"content": "Grüße, 世界 🙂!"}}]}
    for byte in f"data: {json.dumps(event, ensure_ascii=False)}\r\n\r\n".encode():
        await call.raw(bytes([byte]))
        await asyncio.sleep(0.001)  # Without a pause, bytes are put together again on their way.


def begun(status: int) -> Step:
    """A body in JSON begins, whose end would be told from a cut."""
    return lambda call: call.headers(status, "application/json")


def body_of(status: int, **more: str) -> Step:
    """A body in JSON begins, which ends with the connection."""
    return lambda call: call.headers(status, "application/json", chunked=False, **more)


def for_ever(data: bytes) -> Step:
    """As fast as it is taken, until nobody listens any more; or far too much of it."""

    async def flood(call: Call) -> None:
        with suppress(OSError):
            for _ in range(TOO_MUCH // len(data)):
                await call.raw(data)
            raise AssertionError("nobody closed")

    return flood


async def identity(call: Call) -> None:
    await call.headers(content_encoding="identity")


async def slowly(call: Call) -> None:
    """A space now and then, until nobody listens any more."""
    while call.is_open:
        await call.raw(b" ")
        await asyncio.sleep(0.05)


ONCE = chunk({"content": "Once"})
STOP = chunk({}, "stop")
DONE = b"data: [DONE]\n\n"
HEADERS, END, FINISH, CLOSED, RESET = Call.headers, Call.end, Call.finish, Call.closed, Call.reset
NO_DELTA = {"choices": [{"index": 0, "finish_reason": None}]}
USAGE = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}
TOOL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "search", "arguments": "{}"}}
BAD_JSON = b'data: {"choices": [{"delta": {"content": " up\n\n'
BAD_UTF8 = b'data: {"choices": [{"delta": {"content": " \xff\xfe"}}]}\n\n'
VLLM = f"{UPSTREAM_WORDS}: This model's maximum context length is 4096 tokens. However, you requested 5000."
LLAMA_CPP = refusal() | {"type": "exceed_context_size_error", "code": 400, "n_ctx": 4096}
UNKNOWN_MODEL: list[tuple[str, int, object]] = [
    ("Ollama", 404, {"error": {"message": "model 'gpt-9' not found", "type": "not_found_error", "code": None}}),
    ("older Ollama", 404, {"error": "model 'gpt-9' not found, try pulling it first"}),
    ("LiteLLM", 400, {"error": {"message": "/chat/completions: Invalid model name passed in model=gpt-9."}}),
    ("vLLM", 404, {"object": "error", "message": "The model `gpt-9` does not exist.", "code": 404}),
    ("OpenRouter", 400, {"error": {"message": "gpt-9 is not a valid model ID", "code": 400}}),
]
ANSWER = sse(chunk({"content": "Once"}), chunk({}, "stop")) + b"data: [DONE]\n\n"
BOMB = gzip.compress(b": " + b"0" * 50_000_000 + b"\n\n")
WHOLE = {"index": 0, "message": {"role": "assistant", "content": "Once upon"}, "finish_reason": "stop"}

# A text is said, bytes are sent as they are, JSON is an event; a script that ends in the middle cuts the connection.
CASES = {
    # Answers that are odd, but whole.
    "U01 a good answer": reply("Once upon a time", "Once", " upon", " a time", FINISH),
    "U02 usage in a chunk without choices": reply("Once", "Once", STOP, USAGE, Call.done),
    "U03 empty choices in the middle": reply("Once upon", "Once", {"choices": []}, " upon", FINISH),
    "U04 content is null": reply(
        "Once upon", chunk({"role": "assistant", "content": None}), "Once", chunk({"content": None}), " upon", FINISH
    ),
    "U05 a choice has no delta": reply("Once upon", "Once", NO_DELTA, " upon", FINISH),
    "U06 delta is null": reply("Once upon", "Once", chunk(None), " upon", FINISH),
    "U07 no choices": reply("Once upon", "Once", {"id": "chatcmpl-1"}, {"choices": None}, " upon", FINISH),
    "U08 a chunk is a JSON array": reply("Once upon", "Once", [{"choices": []}], " upon", FINISH),
    "U09 thoughts are no part of the answer": reply(
        "Once upon",
        chunk({"reasoning_content": "The user wants a story."}),
        "Once",
        chunk({"reasoning": "Go on.", "content": " upon"}),
        FINISH,
    ),
    "U10 a refusal is shown": reply(
        "I would rather not.", chunk({"refusal": "I would"}), chunk({"refusal": " rather not."}), FINISH
    ),
    "U11 tool calls are passed over": reply(
        "Let me look.", "Let me look.", chunk({"tool_calls": [TOOL]}), chunk({}, "tool_calls"), Call.done
    ),
    "U12 comment lines are passed over": reply(
        "Once upon", b": PROCESSING\n\n", "Once", b": still here\n\nevent: ping\ndata: {}\n\n", " upon", FINISH
    ),
    "U13 a lone surrogate is replaced": reply("Once \N{REPLACEMENT CHARACTER} upon", "Once \ud83d upon", FINISH),
    "U13 half a character at the very end is nothing": reply("Once ", "Once ", "\ud83d", FINISH),
    "U14 the model stops for its length": reply(
        "Once upon", "Once upon", chunk({}, "length"), Call.done, status="length"
    ),
    "U15 a content filter stops the model": reply(
        "Once upon", "Once upon", chunk({}, "content_filter"), Call.done, status="filtered"
    ),
    "U16 a stop without [DONE]": reply("Once upon", "Once upon", STOP, END),
    "U17 an end without a reason or [DONE]": fails("upstream_cut", "Once upon", END, after="Once upon"),
    "U17 an empty answer": fails("upstream_cut", HEADERS, END),
    "U18 silence after [DONE]": reply("Once upon", "Once upon", STOP, DONE, CLOSED),
    "U18 silence after the reason": reply("Once upon", "Once upon", STOP, CLOSED),
    # Answers that cannot be read. In one packet with good text: it came before, so it is kept.
    "U19 bad JSON": fails("upstream_error", sse(ONCE) + BAD_JSON, FINISH, after="Once"),
    "U20 bad UTF-8": fails("upstream_error", sse(ONCE) + BAD_UTF8, FINISH, after="Once"),
    "U21 an error in the middle": fails(
        "upstream_error", sse(ONCE, {"error": refusal("server_error")}), END, after="Once"
    ),
    "U21 the quota ends in the middle": fails(
        "upstream_quota", "Once", {"error": refusal("insufficient_quota")}, END, after="Once", retry=False
    ),
    "U21 an error that is only a string": fails(
        "upstream_error", sse(ONCE, {"error": refusal()["message"]}), END, after="Once"
    ),
    # Connections that break or hang. U24 is a test of its own.
    "U22 the connection is cut": fails("upstream_cut", "Once upon", after="Once upon"),
    "U23 a cut that looks like an end": fails("upstream_cut", without_framing, "Once upon", after="Once upon"),
    "U25 a reset after the headers": fails("upstream_cut", HEADERS, RESET),
    "U26 it hangs in the middle": fails("upstream_timeout", "Once upon", CLOSED, after="Once upon"),
    "U27 it hangs before the headers": fails("upstream_timeout", CLOSED),
    "U27 it hangs after the headers": fails("upstream_timeout", HEADERS, CLOSED),
    "U28 it closes before the headers": fails("upstream_unreachable", Call.close),
    "U29 a reset before the headers": fails("upstream_unreachable", RESET),
    # Refusals. OpenAI puts the key, the organisation or the host into some of its sentences.
    "U30 401": fails("upstream_auth", refused(401, "invalid_api_key"), retry=False),
    "U31 403": fails("upstream_auth", refused(403, "unsupported_country_region_territory"), retry=False),
    "U32 404": fails("upstream_error", refused(404), retry=False),
    "U33 400": fails("upstream_error", refused(400, "invalid_value"), retry=False),
    "U34 too long, as OpenAI says it": fails("too_long", refused(400, "context_length_exceeded"), retry=False),
    "U34 too long, as vLLM says it": fails(
        "too_long", answered(400, {"object": "error", "message": VLLM, "code": 400}), retry=False
    ),
    "U34 too long, as llama.cpp says it": fails("too_long", answered(400, {"error": LLAMA_CPP}), retry=False),
    "U35 422": fails("upstream_error", refused(422), retry=False),
    "U36 429": fails("upstream_busy", refused(429, "rate_limit_exceeded")),
    "U37 429 and a short retry-after": fails("upstream_busy", refused(429, "rate_limit_exceeded", retry_after="0.5")),
    "U38 the quota is used up": fails("upstream_quota", refused(429, "insufficient_quota"), retry=False),
    "U39 500": fails("upstream_error", refused(500)),
    "U40 503": fails("upstream_error", refused(503)),
    "U41 502 with a page of HTML": fails("upstream_error", a_page_of_html),
    "U42 plain JSON in place of a stream": reply(
        "Once upon", answered(200, {"object": "chat.completion", "choices": [WHOLE]})
    ),
    # Time and size. U46 to U49 are tests of their own.
    "U43 comments for ever before the first token": fails("upstream_timeout", keep_alive),
    "U43 comments for ever in the middle": fails("upstream_timeout", "Once upon", keep_alive, after="Once upon"),
    "U44 slow but alive": reply("Once upon a time there was a snail.", slow_but_alive, FINISH),
    "U45 retry-after 100 s": fails("upstream_timeout", refused(429, "rate_limit_exceeded", retry_after="100")),
    "U50 no end": reply("a" * LONGEST_REPLY, an_answer_without_an_end, status="length"),
    "U51 a chunk of 1 MB": reply("a" * LONGEST_REPLY, "a" * 1_000_000, FINISH, status="length"),
    "U52 split at every byte": reply("Grüße, 世界 🙂!", byte_for_byte, FINISH),
    "U53 a thousand chunks in one packet": reply(
        "".join(f"{n} " for n in range(1000)), sse(*(chunk({"content": f"{n} "}) for n in range(1000))), FINISH
    ),
    "U54 a surrogate pair split in a packet": reply(
        "Once 🙂 upon", sse(chunk({"content": "Once \ud83d"}), chunk({"content": "\ude42 upon"})), FINISH
    ),
    # Floods, each of which ends when the server closes.
    "U55 data without a blank line": fails("upstream_error", "Once", for_ever(b"data: " + b"a" * 9_000), after="Once"),
    "U55 a line without an end": fails("upstream_error", "Once", b"data: ", for_ever(b"a" * 9_000), after="Once"),
    "U56 an error without an end": fails("upstream_error", body_of(400), for_ever(b"a" * 9_000), retry=False),
    "U56 an error that comes slowly": fails("upstream_auth", body_of(401), slowly, retry=False),
    "U56 an error that breaks off": fails("upstream_auth", begun(401), b'{"error":', retry=False),
    "U56 plain JSON without an end": fails("upstream_error", body_of(200), for_ever(b'["a"' * 2_000)),
    "U57 a bomb": fails("upstream_error", body_of(200, content_encoding="gzip"), for_ever(BOMB)),
    "U57 a compressed answer": fails("upstream_error", body_of(200, content_encoding="gzip"), gzip.compress(ANSWER)),
    "U57 two codings": fails("upstream_error", body_of(200, content_encoding="identity, gzip"), gzip.compress(ANSWER)),
    "U57 the coding that is none": reply("Once", identity, "Once", FINISH),
    "U57 a bomb as an error": fails(
        "upstream_auth", body_of(401, content_encoding="gzip"), for_ever(BOMB), retry=False
    ),
    "U57 a compressed error": fails(
        "upstream_error",
        body_of(400, content_encoding="gzip"),
        gzip.compress(json.dumps({"error": refusal("model_not_found")}).encode()),
        retry=False,
    ),
    "U58 an event of 4 MB": fails("upstream_error", "Once", sse({"padding": "a" * 4_000_000}), FINISH, after="Once"),
    "U58 an event of many lists": fails("upstream_error", "Once", sse([[]] * 200_000), FINISH, after="Once"),
    "U58 a flood after the end": reply("Once", "Once", STOP, for_ever(b"a" * 9_000)),
    "U59 an unknown model, as OpenAI says it": fails("upstream_model", refused(404, "model_not_found"), retry=False),
    "U59 a forbidden model": fails("upstream_model", refused(403, "model_not_found"), retry=False),
    **{
        f"U59 an unknown model, as {server} says it": fails("upstream_model", answered(status, body), retry=False)
        for server, status, body in UNKNOWN_MODEL
    },
}
