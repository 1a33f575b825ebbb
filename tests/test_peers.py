"""bench.peers reads what other programs send."""

import html
import json

import pytest

from bench.peers.decode import Listener, Stamps, event_name, events, nicegui_page

FIRST = b"~00000000000000001"
SECOND = b"~00000000000000002"
THIRD = b"~00000000000000003"
STREAM = b'data: {"msg": "a"}\n\n\r\n14\r\ndata: {"msg": "b"}\n\n'


def test_new_text_has_its_tokens_counted() -> None:
    stamps = Stamps()
    assert [stamps.new(text) for text in (FIRST, SECOND + THIRD)] == [[1], [2, 3]]


def test_a_token_that_comes_again_is_counted_once() -> None:
    stamps = Stamps()
    whole = (FIRST, FIRST + SECOND + SECOND, FIRST + SECOND, FIRST + SECOND + THIRD)
    assert [stamps.new(text) for text in whole] == [[1], [2], [], [3]]


def test_a_token_that_comes_late_is_counted_too() -> None:
    stamps = Stamps()
    assert [stamps.new(text) for text in (THIRD, FIRST + SECOND + THIRD)] == [[3], [1, 2]]


@pytest.mark.parametrize("at", range(len(STREAM)))
def test_events_are_the_same_however_the_stream_is_cut(at: int) -> None:
    before, rest = events(STREAM[:at])
    after, rest = events(rest + STREAM[at:])
    assert before + after == [b'{"msg": "a"}', b'{"msg": "b"}']
    assert rest == b""


@pytest.mark.parametrize(
    ("packet", "name"), [(b'42["update",{"5":null}]', "update"), (b"2", ""), (b'0{"sid":"x"}', ""), (b"40", "")]
)
def test_a_packet_with_an_event_has_a_name(packet: bytes, name: str) -> None:
    assert event_name(packet) == name


def test_a_nicegui_page_says_what_its_field_listens_to() -> None:
    elements = {
        "0": {"tag": "q-layout", "events": [{"type": "open", "listener_id": "a"}]},
        "4": {"tag": "div"},
        "5": {
            "events": [{"type": "update:value", "listener_id": "<b>"}, {"type": "keydown", "listener_id": "`&c`"}],
        },
    }
    escaped = html.escape(json.dumps(elements), quote=False).replace("`", "&#96;")
    page = nicegui_page(f"createApp(parseElements(String.raw`{escaped}`), {{query: {{'client_id': 'us', 'n': 0}}}})")
    assert (page.client, page.value, page.enter) == ("us", Listener(5, "<b>"), Listener(5, "`&c`"))
