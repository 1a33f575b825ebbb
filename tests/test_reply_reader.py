"""However the bytes of a reply are cut into packets, the text is the same."""

import json
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils import openai_stream
from utils.openai_errors import Unreadable
from utils.openai_stream import LONGEST_EVENT, LONGEST_SILENCE, Completion
from utils.pieces import Reasoning, ReplyCut

EMOJI = "\N{GRINNING FACE}"
BROKEN = "\N{REPLACEMENT CHARACTER}"


def delta(end: str = "\n\n", **said: Any) -> str:
    return f"data: {json.dumps({'choices': [{'delta': said, 'finish_reason': None}]}, ensure_ascii=False)}{end}"


def finish(reason: str = "stop", end: str = "\n\n") -> str:
    return f'data: {{"choices": [{{"delta": {{}}, "finish_reason": "{reason}"}}]}}{end}'


def halves(end: str = "\n\n") -> str:
    """An emoji as two events, each with one half of its surrogate pair."""
    return "".join(
        f'data: {{"choices": [{{"delta": {{"content": "{half}"}}}}]}}{end}' for half in (r"a\ud83d", r"\ude00b")
    )


DONE = "data: [DONE]\n\n"
CUT = 'data: {"error": {"message": "overloaded"}}\n\n'
STREAMS: dict[str, tuple[str, str]] = {
    "plain": (delta(content="Once") + delta(content=" upon") + finish() + DONE, "Once upon"),
    "not ASCII": (delta(content="Größe 大") + delta(content=EMOJI) + finish() + DONE, f"Größe 大{EMOJI}"),
    "CRLF": (delta("\r\n\r\n", content="Once\r\n") + finish(end="\r\n\r\n") + DONE, "Once\r\n"),
    "comments and other fields": (
        ": keep-alive\n\nevent: x\nid: 1\n" + delta(content="Once") + ":\n\n" + "retry: 1\n\n" + finish() + DONE,
        "Once",
    ),
    "no space after the colon": (delta(content="Once").replace("data: ", "data:") + finish(), "Once"),
    "an event of several lines": (
        'data: {"choices": [\ndata: {"delta": {"content": "Once"}}\ndata: ]}\n\n' + finish(),
        "Once",
    ),
    "a surrogate pair in two events": (halves() + finish() + DONE, f"a{EMOJI}b"),
    "a surrogate pair in two events, CRLF": (halves("\r\n\r\n") + finish() + DONE, f"a{EMOJI}b"),
    "half a character, then text": (halves().replace(r"\ude00", "") + finish(), f"a{BROKEN}b"),
    "half a character, then the end": (halves().replace(r"\ude00b", "") + finish(), "a"),
    "the other half alone": (halves().replace(r"a\ud83d", "") + finish(), f"{BROKEN}b"),
    "nothing in the middle": (
        delta(content="Once") + 'data: {"choices": []}\n\ndata: []\n\ndata: {}\n\ndata: 7\n\n'
        'data: {"choices": [{}]}\n\ndata: {"choices": [{"delta": null}]}\n\ndata: {"choices": [null]}\n\n'
        + delta(content=None) + delta(content=7) + delta(content=" upon") + finish(),
        "Once upon",
    ),
    "a refusal": (delta(refusal="No") + delta(refusal=".") + finish(), "No."),
    "after [DONE]": (delta(content="Once") + finish() + DONE + delta(content=" more") + "data: {oops\n\n", "Once"),
    "[DONE] alone": (delta(content="Once") + DONE, "Once"),
    "an error at the end": (delta(content="Once") + delta(content=" upon") + CUT, "Once upon"),
    "an error after the finish": (delta(content="Once") + finish() + CUT, "Once"),
    "no JSON at the end": (delta(content="Once") + delta(content=" upon") + "data: {oops\n\n", "Once upon"),
}  # fmt: skip


def read(packets: list[bytes], content_type: str = "text/event-stream") -> tuple[str, str, str]:
    """The answer, what ended it, and what was thought before: what a user of the reader can know."""
    reader = Completion(content_type)
    pieces: list[str] = []
    for packet in packets:
        pieces += reader.feed(packet)
        if reader.failure:
            break
    pieces += reader.close()
    assert all(pieces), "an empty piece"
    "".join(pieces).encode()
    answer = "".join(piece for piece in pieces if not isinstance(piece, Reasoning))
    ending = reader.finish or type(reader.failure).__name__
    return answer, ending, "".join(piece for piece in pieces if isinstance(piece, Reasoning))


@pytest.mark.parametrize(("stream", "text"), STREAMS.values(), ids=STREAMS)
def test_U52_every_way_of_cutting_the_stream_gives_the_same_text(stream: str, text: str) -> None:
    body = stream.encode()
    whole = read([body])
    assert whole[0] == text
    for at in range(1, len(body)):
        assert read([body[:at], body[at:]]) == whole, f"cut after {body[:at]!r}"
    assert read([body[at : at + 1] for at in range(len(body))]) == whole


def test_U52_three_packets_are_no_different() -> None:
    body = (halves("\r\n\r\n") + finish()).encode()
    whole = read([body])
    for first in range(0, len(body), 7):
        for second in range(first, len(body), 5):
            assert read([body[:first], body[first:second], body[second:]]) == whole


def test_U53_a_thousand_events_in_one_packet_are_one_piece() -> None:
    """A burst costs its readers as little as one token."""
    body = "".join(delta(content=f"{n} ") for n in range(1000))
    assert Completion().feed(body.encode()) == ["".join(f"{n} " for n in range(1000))]


def test_U54_the_first_half_of_a_pair_waits_for_the_second() -> None:
    first, second = (f"{event}\n\n".encode() for event in halves().split("\n\n")[:2])
    reader = Completion()
    assert [reader.feed(first), reader.feed(second), reader.close()] == [["a"], [f"{EMOJI}b"], []]


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_U09_thoughts_are_pieces_of_their_own(name: str) -> None:
    body = delta(**{name: "Hm"}) + delta(**{name: "."}) + delta(content="So") + delta(content=".") + finish()
    pieces = Completion().feed(body.encode())
    assert pieces == ["Hm.", "So."]
    assert [isinstance(piece, Reasoning) for piece in pieces] == [True, False]
    whole = read([body.encode()])
    for at in range(1, len(body)):
        assert read([body.encode()[:at], body.encode()[at:]]) == whole == ("So.", "stop", "Hm.")


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_U42_one_plain_JSON_answer_is_read_too(indent: int | None, newline: str) -> None:
    message = {"role": "assistant", "content": f"Once\nupon {EMOJI}"}
    answer = {"choices": [{"message": message, "finish_reason": "stop"}]}
    body = json.dumps(answer, indent=indent).replace("\n", newline).encode()
    kind = "application/json; charset=utf-8"
    for at in range(len(body)):
        assert read([body[:at], body[at:]], kind) == (f"Once\nupon {EMOJI}", "stop", "")


def test_the_end_is_known_as_soon_as_it_is_there() -> None:
    reader = Completion()
    reader.feed(delta(content="Once").encode())
    assert (reader.finish, reader.done) == ("", False)
    reader.feed(finish("length").encode())
    assert (reader.finish, reader.done) == ("length", False)
    reader.feed(delta(content="").encode())  # Some servers go on, with usage for example.
    assert (reader.finish, reader.done) == ("length", False)
    reader.feed(DONE.encode())
    assert (reader.finish, reader.done) == ("length", True)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"code": "insufficient_quota", "message": "..."}, "upstream_quota"),
        ({"code": "context_length_exceeded"}, "too_long"),
        ({"message": "This model's maximum context window is 10 tokens"}, "too_long"),
        ({"type": "rate_limit_error"}, "upstream_busy"),
        ("overloaded", "upstream_error"),
    ],
)
def test_U21_an_error_in_the_stream_has_its_code(error: Any, code: str) -> None:
    reader = Completion()
    assert reader.feed(f"data: {json.dumps({'error': error})}\n\n".encode()) == []
    assert isinstance(reader.failure, ReplyCut)
    assert (reader.failure.status, reader.failure.code) == ("error", code)


ENDLESS = {
    "U55 data without a blank line": b"data: " + b"a" * 100 + b"\n",
    "U55 empty lines of data": b"data:\n",
    "U55 a line without an end": b"data: a",
    "U58 comments": b": keep-alive\n\n",
    "U58 blank lines": b"\r\n",
    "U58 empty events": b"data: {}\n\n",
    "U58 tool calls": delta(tool_calls=[{"index": 0, "function": {"arguments": "a" * 1000}}]).encode(),
}


@pytest.mark.parametrize("kind", ["text/event-stream", "application/json"])
@pytest.mark.parametrize("nothing", ENDLESS.values(), ids=ENDLESS)
def test_U55_U58_only_so_many_bytes_without_a_text_are_read(nothing: bytes, kind: str) -> None:
    reader = Completion(kind)
    packet = nothing * (16_000 // len(nothing))
    size = 0
    while not reader.failure:
        assert reader.feed(packet) == []
        size += len(packet)
        assert size <= LONGEST_SILENCE + len(packet)
        assert held(reader) <= LONGEST_EVENT + len(packet)
    assert isinstance(reader.failure, Unreadable)


def test_U55_the_longest_event_is_read_and_one_byte_more_is_not() -> None:
    for more in (0, 1):
        reader = Completion()
        assert reader.feed(b"data: " + b" " * (LONGEST_EVENT - 6)) == []
        assert not reader.failure
        reader.feed(b" " * more)
        assert bool(reader.failure) == bool(more)


def test_U58_a_text_starts_the_count_again() -> None:
    reader = Completion()
    silence = b": keep-alive\n\n" * 1000
    for _ in range(10):
        for _ in range(LONGEST_SILENCE // len(silence) - 1):
            assert reader.feed(silence) == []
        assert reader.feed(delta(content="a").encode()) == ["a"]
    assert not reader.failure


@pytest.mark.parametrize("part", ["[]", "{}", "[[[[[[[[[[]]]]]]]]]]"])
def test_U58_an_event_of_very_many_lists_is_not_built(part: str) -> None:
    reader = Completion()
    reader.feed(f"data: [{','.join([part] * (LONGEST_EVENT // len(part) // 2))}]\n\n".encode())
    assert isinstance(reader.failure, Unreadable)


def held(reader: Completion) -> int:
    """The bytes that a reader keeps for later."""
    events = reader._events
    return len(events._line) + len(events._data) + len(reader._plain or b"") + len(reader._half)


FRAGMENTS = st.sampled_from(
    [b"data:", b"data: ", b"\n", b"\r\n", b"\n\n", b": a", b"[DONE]", b"{", b"[", b"}", b'"', b"0", b"1e999",
     b"\\ud83d", b'{"choices":[{"delta":{"content":"', b'"}}]}\n\n', b'{"choices":[{"finish_reason":"stop"}]}',
     b'{"error":', b"\xff", b"\xf0\x9f", b"9" * 5000, b"[" * 3000, delta(content="Once").encode(), finish().encode()]
)  # fmt: skip
BYTES = st.lists(FRAGMENTS | st.binary(max_size=20), max_size=40).map(b"".join)


@given(body=BYTES, cuts=st.lists(st.integers(0, 20_000), max_size=10), kind=st.sampled_from(["", "application/json"]))
def test_U55_any_bytes_in_any_packets_fail_clearly_and_never_pile_up(body: bytes, cuts: list[int], kind: str) -> None:
    most = 100
    ends = sorted({min(cut, len(body)) for cut in cuts} | {len(body)})
    with mock.patch.multiple(openai_stream, LONGEST_EVENT=most, LONGEST_SILENCE=4 * most):
        reader = Completion(kind)
        pieces = []
        start = 0
        for end in ends:
            pieces += reader.feed(body[start:end])
            assert reader.failure or held(reader) <= most + 1
            start = end
        pieces += reader.close()
    assert all(pieces)
    "".join(pieces).encode()
    assert reader.failure is None or isinstance(reader.failure, ReplyCut | ValueError | RecursionError)
