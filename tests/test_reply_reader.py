"""However the bytes of a reply are cut into packets, the text is the same."""

import json
from typing import Any

import pytest

from utils.reply_reader import LONGEST_EVENT, Reasoning, ReplyCut, ReplyReader

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
    reader = ReplyReader(content_type)
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
    assert ReplyReader().feed(body.encode()) == ["".join(f"{n} " for n in range(1000))]


def test_U54_the_first_half_of_a_pair_waits_for_the_second() -> None:
    first, second = (f"{event}\n\n".encode() for event in halves().split("\n\n")[:2])
    reader = ReplyReader()
    assert [reader.feed(first), reader.feed(second), reader.close()] == [["a"], [f"{EMOJI}b"], []]


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_U09_thoughts_are_pieces_of_their_own(name: str) -> None:
    body = delta(**{name: "Hm"}) + delta(**{name: "."}) + delta(content="So") + delta(content=".") + finish()
    pieces = ReplyReader().feed(body.encode())
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
    reader = ReplyReader()
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
    reader = ReplyReader()
    assert reader.feed(f"data: {json.dumps({'error': error})}\n\n".encode()) == []
    assert isinstance(reader.failure, ReplyCut)
    assert (reader.failure.status, reader.failure.code) == ("error", code)


def test_an_event_without_an_end_is_not_kept_for_ever() -> None:
    reader, packet = ReplyReader(), b"x" * 2**20
    for _ in range(LONGEST_EVENT // len(packet)):
        assert reader.feed(packet) == []
        assert not reader.failure
    reader.feed(b"x")
    assert isinstance(reader.failure, ValueError)
