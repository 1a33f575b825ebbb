"""The upstream faults that are a script: what the fake OpenAI does, below what must come of it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.support import UPSTREAM_WORDS, Call, Reply, chunk, leaks, refusal

FIRST_TOKEN, NEXT_TOKEN = 1.5, 0.5  # the server's limits, in seconds
LONGEST_REPLY = 50_000  # and in characters

Script = Callable[[Call], Awaitable[None]]


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


ONCE = chunk({"content": "Once"})

CASES: list[Case] = []


def reply(text: str, status: str = "done") -> Callable[[Script], Script]:
    """The script below becomes this reply, without an error."""
    return _case(text, status, None, None)


def fails(code: str, *, retry: bool, after: str = "") -> Callable[[Script], Script]:
    """The script below becomes this text, then exactly one error, then the end of the reply."""
    return _case(after, "interrupted" if code == "upstream_cut" else "error", code, retry)


def _case(text: str, status: str, code: str | None, retry: bool | None) -> Callable[[Script], Script]:
    def remember(script: Script) -> Script:
        CASES.append(Case(script, text, status, code, retry))
        return script

    return remember


def sse(*events: object) -> bytes:
    """Server-sent events for one packet."""
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode()


async def keep_alive(call: Call) -> None:
    """Comments for ever, or until nobody listens any more."""
    while call.is_open:
        await call.raw(b": keep-alive\n\n")
        await asyncio.sleep(0.05)


# Answers that are odd, but whole.


@reply("Once upon a time")
async def U01_a_good_answer(call: Call) -> None:
    for piece in ("Once", " upon", " a time"):
        await call.text(piece)
    await call.finish()


@reply("Once")
async def U02_usage_comes_in_a_chunk_without_choices(call: Call) -> None:
    await call.text("Once")
    await call.delta({}, "stop")
    await call.event({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}})
    await call.done()


@reply("Once upon")
async def U03_choices_are_empty_in_the_middle(call: Call) -> None:
    await call.text("Once")
    await call.event({"choices": []})
    await call.text(" upon")
    await call.finish()


@reply("Once upon")
async def U04_content_is_null(call: Call) -> None:
    await call.delta({"role": "assistant", "content": None})
    await call.text("Once")
    await call.delta({"content": None})
    await call.text(" upon")
    await call.finish()


@reply("Once upon")
async def U05_a_choice_has_no_delta(call: Call) -> None:
    await call.text("Once")
    await call.event({"choices": [{"index": 0, "finish_reason": None}]})
    await call.text(" upon")
    await call.finish()


@reply("Once upon")
async def U06_delta_is_null(call: Call) -> None:
    await call.text("Once")
    await call.delta(None)
    await call.text(" upon")
    await call.finish()


@reply("Once upon")
async def U07_a_chunk_has_no_choices(call: Call) -> None:
    await call.text("Once")
    await call.event({"id": "chatcmpl-1", "object": "chat.completion.chunk"})
    await call.event({"choices": None})
    await call.text(" upon")
    await call.finish()


@reply("Once upon")
async def U08_a_chunk_is_a_json_array(call: Call) -> None:
    await call.text("Once")
    await call.event([{"choices": []}])
    await call.text(" upon")
    await call.finish()


@reply("Once upon")
async def U09_what_the_model_thinks_is_not_its_answer(call: Call) -> None:
    await call.delta({"reasoning_content": "The user wants a story."})
    await call.text("Once")
    await call.delta({"reasoning": "Go on.", "content": " upon"})
    await call.finish()


@reply("I would rather not.")
async def U10_a_refusal_is_shown(call: Call) -> None:
    await call.delta({"refusal": "I would"})
    await call.delta({"refusal": " rather not."})
    await call.finish()


@reply("Let me look.")
async def U11_tool_calls_are_passed_over(call: Call) -> None:
    await call.text("Let me look.")
    function = {"name": "search", "arguments": "{}"}
    await call.delta({"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]})
    await call.finish("tool_calls")


@reply("Once upon")
async def U12_comment_lines_are_passed_over(call: Call) -> None:
    await call.raw(b": OPENROUTER PROCESSING\n\n")
    await call.text("Once")
    await call.raw(b": still here\n\nevent: ping\ndata: {}\n\n")
    await call.text(" upon")
    await call.finish()


@reply("Once \N{REPLACEMENT CHARACTER} upon")
async def U13_a_lone_surrogate_is_replaced(call: Call) -> None:
    await call.text("Once \ud83d upon")
    await call.finish()


@reply("Once ")
async def U13_half_a_character_at_the_very_end_is_nothing(call: Call) -> None:
    await call.text("Once ")
    await call.text("\ud83d")
    await call.finish()


@reply("Once upon", "length")
async def U14_the_model_stops_for_its_length(call: Call) -> None:
    await call.text("Once upon")
    await call.finish("length")


@reply("Once upon", "filtered")
async def U15_a_content_filter_stops_the_model(call: Call) -> None:
    await call.text("Once upon")
    await call.finish("content_filter")


@reply("Once upon")
async def U16_the_answer_stops_without_done(call: Call) -> None:
    await call.text("Once upon")
    await call.delta({}, "stop")
    await call.end()


@fails("upstream_cut", retry=True, after="Once upon")
async def U17_the_answer_ends_with_neither_a_reason_nor_done(call: Call) -> None:
    await call.text("Once upon")
    await call.end()


@fails("upstream_cut", retry=True)
async def U17_the_answer_is_empty(call: Call) -> None:
    await call.headers()
    await call.end()


@reply("Once upon")
async def U18_silence_follows_done(call: Call) -> None:
    await call.text("Once upon")
    await call.delta({}, "stop")
    await call.raw(b"data: [DONE]\n\n")
    await call.closed()


@reply("Once upon")
async def U18_silence_follows_the_reason(call: Call) -> None:
    await call.text("Once upon")
    await call.delta({}, "stop")
    await call.closed()


# Answers that cannot be read. In one packet with good text: it came before, so it is kept.


@fails("upstream_error", retry=True, after="Once")
async def U19_a_chunk_is_bad_json(call: Call) -> None:
    await call.raw(sse(ONCE) + b'data: {"choices": [{"delta": {"content": " up\n\n')
    await call.finish()


@fails("upstream_error", retry=True, after="Once")
async def U20_a_chunk_is_bad_utf8(call: Call) -> None:
    await call.raw(sse(ONCE) + b'data: {"choices": [{"delta": {"content": " \xff\xfe"}}]}\n\n')
    await call.finish()


@fails("upstream_error", retry=True, after="Once")
async def U21_an_error_comes_in_the_middle(call: Call) -> None:
    await call.raw(sse(ONCE, {"error": refusal("server_error")}))
    await call.end()


@fails("upstream_quota", retry=False, after="Once")
async def U21_the_quota_ends_in_the_middle(call: Call) -> None:
    await call.text("Once")
    await call.event({"error": refusal("insufficient_quota")})
    await call.end()


@fails("upstream_error", retry=True, after="Once")
async def U21_the_error_in_the_middle_is_only_a_string(call: Call) -> None:
    await call.raw(sse(ONCE, {"error": refusal()["message"]}))
    await call.end()


# Connections that break or hang.


@fails("upstream_cut", retry=True, after="Once upon")
async def U22_the_connection_is_cut(call: Call) -> None:
    await call.text("Once upon")


@fails("upstream_cut", retry=True, after="Once upon")
async def U23_a_cut_that_looks_like_the_end_of_the_body(call: Call) -> None:
    await call.headers(chunked=False)
    await call.text("Once upon")


@fails("upstream_cut", retry=True)
async def U25_a_reset_after_the_headers(call: Call) -> None:
    await call.headers()
    call.reset()


@fails("upstream_timeout", retry=True, after="Once upon")
async def U26_it_hangs_in_the_middle(call: Call) -> None:
    await call.text("Once upon")
    await call.closed()


@fails("upstream_timeout", retry=True)
async def U27_it_hangs_before_the_headers(call: Call) -> None:
    await call.closed()


@fails("upstream_timeout", retry=True)
async def U27_it_hangs_after_the_headers(call: Call) -> None:
    await call.headers()
    await call.closed()


@fails("upstream_unreachable", retry=True)
async def U28_it_closes_before_the_headers(call: Call) -> None:
    call.close()


@fails("upstream_unreachable", retry=True)
async def U29_a_reset_before_the_headers(call: Call) -> None:
    call.reset()


# Refusals. OpenAI puts the key, the organisation or the host into some of its sentences.


@fails("upstream_auth", retry=False)
async def U30_401(call: Call) -> None:
    await call.refuse(401, "invalid_api_key")


@fails("upstream_auth", retry=False)
async def U31_403(call: Call) -> None:
    await call.refuse(403, "unsupported_country_region_territory")


@fails("upstream_error", retry=False)
async def U32_404(call: Call) -> None:
    await call.refuse(404, "model_not_found")


@fails("upstream_error", retry=False)
async def U33_400(call: Call) -> None:
    await call.refuse(400, "invalid_value")


@fails("too_long", retry=False)
async def U34_the_conversation_is_too_long_as_openai_says_it(call: Call) -> None:
    await call.refuse(400, "context_length_exceeded")


@fails("too_long", retry=False)
async def U34_the_conversation_is_too_long_as_vllm_says_it(call: Call) -> None:
    message = f"{UPSTREAM_WORDS}: This model's maximum context length is 4096 tokens. However, you requested 5000."
    await call.whole(400, json.dumps({"object": "error", "message": message, "code": 400}).encode())


@fails("too_long", retry=False)
async def U34_the_conversation_is_too_long_as_llama_cpp_says_it(call: Call) -> None:
    error = refusal() | {"type": "exceed_context_size_error", "code": 400, "n_ctx": 4096}
    await call.whole(400, json.dumps({"error": error}).encode())


@fails("upstream_error", retry=False)
async def U35_422(call: Call) -> None:
    await call.refuse(422)


@fails("upstream_busy", retry=True)
async def U36_429(call: Call) -> None:
    await call.refuse(429, "rate_limit_exceeded")


@fails("upstream_busy", retry=True)
async def U37_429_with_a_short_retry_after(call: Call) -> None:
    await call.refuse(429, "rate_limit_exceeded", retry_after="0.5")


@fails("upstream_quota", retry=False)
async def U38_the_quota_is_used_up(call: Call) -> None:
    await call.refuse(429, "insufficient_quota")


@fails("upstream_error", retry=True)
async def U39_500(call: Call) -> None:
    await call.refuse(500)


@fails("upstream_error", retry=True)
async def U40_503(call: Call) -> None:
    await call.refuse(503)


@fails("upstream_error", retry=True)
async def U41_502_with_a_page_of_html(call: Call) -> None:
    page = f"<html><body><h1>{UPSTREAM_WORDS}</h1>{refusal()}</body></html>"
    await call.whole(502, page.encode(), "text/html")


@reply("Once upon")
async def U42_plain_json_in_place_of_a_stream(call: Call) -> None:
    message = {"role": "assistant", "content": "Once upon"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    await call.whole(200, json.dumps({"object": "chat.completion", "choices": [choice]}).encode())


# Time and size.


@fails("upstream_timeout", retry=True)
async def U43_comments_for_ever_before_the_first_token(call: Call) -> None:
    await keep_alive(call)


@fails("upstream_timeout", retry=True, after="Once upon")
async def U43_comments_for_ever_in_the_middle(call: Call) -> None:
    await call.text("Once upon")
    await keep_alive(call)


@reply("Once upon a time there was a snail.")
async def U44_slow_but_alive(call: Call) -> None:
    """Longer than both limits together, though never longer than its own between two tokens."""
    await asyncio.sleep(FIRST_TOKEN * 0.6)
    for piece in ("Once", " upon", " a", " time", " there", " was", " a snail."):
        await call.text(piece)
        await asyncio.sleep(NEXT_TOKEN * 0.6)
    await call.finish()


@fails("upstream_timeout", retry=True)
async def U45_retry_after_100_seconds(call: Call) -> None:
    await call.refuse(429, "rate_limit_exceeded", retry_after="100")


@reply("a" * LONGEST_REPLY, "length")
async def U50_an_answer_without_an_end(call: Call) -> None:
    """Of 10 MB and more: that much the buffers of two sockets can take while nobody reads."""
    while call.is_open:
        await call.text("a" * 10_000)


@reply("a" * LONGEST_REPLY, "length")
async def U51_one_chunk_of_1_mb(call: Call) -> None:
    await call.text("a" * 1_000_000)
    await call.finish()


@reply("Grüße, 世界 🙂!")
async def U52_the_stream_is_split_at_every_byte(call: Call) -> None:
    event = {"choices": [{"delta": {"content": "Grüße, 世界 🙂!"}}]}
    for byte in f"data: {json.dumps(event, ensure_ascii=False)}\r\n\r\n".encode():
        await call.raw(bytes([byte]))
        await asyncio.sleep(0.001)  # Without a pause, bytes are put together again on their way.
    await call.finish()


@reply("".join(f"{n} " for n in range(1000)))
async def U53_a_thousand_chunks_in_one_packet(call: Call) -> None:
    await call.raw(sse(*(chunk({"content": f"{n} "}) for n in range(1000))))
    await call.finish()


@reply("Once 🙂 upon")
async def U54_a_surrogate_pair_is_split_over_two_chunks_of_one_packet(call: Call) -> None:
    await call.raw(sse(chunk({"content": "Once \ud83d"}), chunk({"content": "\ude42 upon"})))
    await call.finish()
