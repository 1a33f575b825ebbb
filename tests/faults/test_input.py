"""What a client may send that it should not: B01-B56 of the fault list.

What is no message is refused with one clear frame and never reaches the model; the next one is answered (E, L).
What is no WebSocket any more is closed with the right code (C). Others notice nothing (O).
"""

import asyncio
import json
import re
import zlib
from collections.abc import AsyncIterator

import pytest

from tests.support import FakeOpenAI, Server, dialogue
from tests.support.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Frame, frame, message
from tests.support.neighbour import undisturbed
from tests.support.proc import memory_kib
from tests.support.raw_websocket import RawWebSocket

MIB = 2**20
MOST_CHARS = 16_000  # MAX_MESSAGE_CHARS, when nobody sets it
BAD_FRAME, BAD_MESSAGE = "bad_frame", "bad_message"
DEFLATE = {"Sec-WebSocket-Extensions": "permessage-deflate"}

MESSAGE = b'{"type": "message", "content": %b}'

# What follows is sent as the payload of one frame, of text if nothing else is said.
REFUSED: dict[str, tuple[bytes | tuple[int, bytes], set[str]]] = {
    "B01 not JSON": (b"{oops", {BAD_FRAME}),
    "B02 empty": (b"", {BAD_FRAME}),
    "B03 an array": (b'["message"]', {BAD_FRAME}),
    "B04 a string": (b'"message"', {BAD_FRAME}),
    "B05 a number": (b"7", {BAD_FRAME}),
    "B06 null": (b"null", {BAD_FRAME}),
    "B07 true": (b"true", {BAD_FRAME}),
    "B08 an empty object": (b"{}", {BAD_FRAME}),
    "B09 null as content": (MESSAGE % b"null", {BAD_MESSAGE}),
    "B10 a number as content": (MESSAGE % b"7", {BAD_MESSAGE}),
    "B11 an object as content": (MESSAGE % b'{"text": "hi"}', {BAD_MESSAGE}),
    "B12 parts as content": (MESSAGE % b'[{"type": "text", "text": "hi"}]', {BAD_MESSAGE}),
    "B12 no content": (b'{"type": "message"}', {BAD_MESSAGE}),
    "B13 blank": (MESSAGE % b'" \\n\\t\\u00a0"', {BAD_MESSAGE}),
    "B13 nothing": (MESSAGE % b'""', {BAD_MESSAGE}),
    "B14 an unknown type": (b'{"type": "sudo", "content": "hi"}', {BAD_FRAME}),
    "B14 a type that is an object": (b'{"type": {"message": 1}, "content": "hi"}', {BAD_FRAME}),
    "B15 NaN": (MESSAGE % b"NaN", {BAD_FRAME, BAD_MESSAGE}),
    "B16 an integer of 5,000 digits": (MESSAGE % (b"9" * 5_000), {BAD_FRAME, BAD_MESSAGE}),
    "B17 1e999": (MESSAGE % b"1e999", {BAD_FRAME, BAD_MESSAGE}),
    "B18 arrays nested as deep as a frame holds": (b"[" * 32_000 + b"]" * 32_000, {BAD_FRAME}),
    "B18 arrays never closed": (b"[" * 65_000, {BAD_FRAME}),
    "B19 objects nested as deep as a frame holds": (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, {BAD_FRAME}),
    "B21 a lone surrogate": (MESSAGE % b'"a\\ud800b"', {BAD_MESSAGE}),
    "B25 a byte order mark": (b'\xef\xbb\xbf{"type": "message", "content": "hi"}', {BAD_FRAME}),
    "B26 JSON in a binary frame": ((BINARY, MESSAGE % b'"hi"'), {BAD_FRAME}),
    "B27 noise in a binary frame": ((BINARY, b"\x00\xff" * 8), {BAD_FRAME}),
    "B51 20,000 arrays as content": (MESSAGE % (b"[" + b",".join([b"[]"] * 20_000) + b"]"), {BAD_MESSAGE}),
}

# The whole frame, and the code that the server must close with.
CLOSED = {
    "B18 nested 100,000 deep": (frame(TEXT, b"[" * 100_000), 1009),
    "B28 invalid UTF-8": (frame(TEXT, MESSAGE % b'"\xff"'), 1007),
    "B28 half a character": (frame(TEXT, b"\xf0\x9f", fin=False) + frame(CONTINUATION, b"x"), 1007),
    "B29 1 MiB": (frame(TEXT, b"x" * MIB), 1009),
    "B30 15 MiB": (frame(TEXT, b"x" * 15 * MIB), 1009),
    "B31 17 MiB": (frame(TEXT, b"x" * 17 * MIB), 1009),
    "B34 not masked": (frame(TEXT, b"{}", masked=False), 1002),
    "B35 RSV2 is set": (frame(TEXT, b"{}", rsv=2), 1002),
    "B36 an unknown data opcode": (frame(0x3, b"{}"), 1002),
    "B37 an unknown control opcode": (frame(0xB), 1002),
    "B38 a ping in fragments": (frame(PING, b"x", fin=False), 1002),
    "B39 a ping of 126 bytes": (frame(PING, b"x" * 126), 1002),
    "B40 a continuation of nothing": (frame(CONTINUATION, b"{}"), 1002),
    "B41 a text inside a text": (frame(TEXT, b"{", fin=False) + frame(TEXT, b"}"), 1002),
    "B43 a close of one byte": (frame(CLOSE, b"\x03"), 1002),
    "B44 a close code that is never sent": (frame(CLOSE, (1005).to_bytes(2, "big")), 1002),
    "B45 a close reason of invalid UTF-8": (frame(CLOSE, (1000).to_bytes(2, "big") + b"\xff"), 1007),
    "B49 HTTP after the upgrade": (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 1002),
    "B49 noise after the upgrade": (b"\xff" * 64, 1002),
}

# Unusual, but text all the same: the model gets it to the letter, and only that.
PLAIN_TEXT = {
    "B22 NUL": ('{"type": "message", "content": "a\\u0000b"}', "a\0b"),
    "B23 the last of two keys": ('{"type": "message", "content": "first", "content": "second"}', "second"),
    "B24 keys of prototypes": (
        '{"__proto__": {"type": "stop"}, "constructor": {}, "type": "message", "content": "hi"}',
        "hi",
    ),
    "B50 a smuggled role": (
        '{"type": "message", "content": "hi", "role": "system", "model": "other", "messages": [{}]}',
        "hi",
    ),
    "B52 right-to-left override, zero width": (
        '{"type": "message", "content": "\\u202egpj.exe\\u202c a\\u200bb\\u2066c\\u2069\\ufeff"}',
        "\u202egpj.exe\u202c a\u200bb\u2066c\u2069\ufeff",
    ),
}


@pytest.fixture
async def client(server: Server, openai: FakeOpenAI) -> AsyncIterator[RawWebSocket]:
    openai.says("Once", " upon")
    async with RawWebSocket(server.ws_url) as client:
        yield client


@pytest.mark.parametrize(("payload", "codes"), REFUSED.values(), ids=REFUSED)
async def test_what_is_no_message_is_refused_and_the_next_one_answered(
    client: RawWebSocket, openai: FakeOpenAI, payload: bytes | tuple[int, bytes], codes: set[str]
) -> None:
    await client.send(frame(TEXT, payload) if isinstance(payload, bytes) else frame(*payload))
    await is_refused(client, codes)
    await is_answered(client, openai)


@pytest.mark.parametrize(("data", "code"), CLOSED.values(), ids=CLOSED)
async def test_what_is_no_websocket_is_closed_with_the_right_code(
    client: RawWebSocket, server: Server, openai: FakeOpenAI, data: bytes, code: int
) -> None:
    calls, log = len(openai.calls), server.log
    await client.send_until_refused(data)
    assert await client.close_code() == code
    assert len(openai.calls) == calls
    assert "Traceback" not in server.log.removeprefix(log)


@pytest.mark.parametrize(("payload", "content"), PLAIN_TEXT.values(), ids=PLAIN_TEXT)
async def test_unusual_text_reaches_the_model_to_the_letter_and_alone(
    client: RawWebSocket, openai: FakeOpenAI, payload: str, content: str
) -> None:
    openai.says(content)
    await client.send(frame(TEXT, payload.encode()))
    assert (await client.until_end()).whole == content
    assert openai.calls[-1].messages == dialogue(content)
    assert openai.calls[-1].request.body["model"] != "other"


async def test_B20_nesting_of_900_is_refused_or_ignored(client: RawWebSocket, openai: FakeOpenAI) -> None:
    nested = "[" * 900 + "]" * 900
    await client.send(frame(TEXT, f'{{"type": "message", "content": "hi", "extra": {nested}}}'.encode()))
    first = await client.next()
    if first["type"] == "error":
        assert first["code"] == BAD_FRAME
    else:
        assert (await client.until_end([first])).whole == "Once upon"
    await client.send(frame(TEXT, f'{{"type": {nested}}}'.encode()))
    await is_refused(client, {BAD_FRAME})


@pytest.mark.parametrize("pieces", [1, 64], ids=["B32 in one frame", "B33 in fragments"])
async def test_a_deflate_bomb_is_not_inflated(server: Server, pieces: int) -> None:
    squeezed = zlib.compressobj(wbits=-15)
    bomb = squeezed.compress(b"x" * 48 * MIB) + squeezed.flush(zlib.Z_SYNC_FLUSH)
    size = len(bomb) // pieces + 1
    parts = [bomb[at : at + size] for at in range(0, len(bomb), size)]
    frames = [
        frame(CONTINUATION if at else TEXT, part, rsv=0 if at else 4, fin=part is parts[-1])
        for at, part in enumerate(parts)
    ]
    before = memory_kib(server.pid, "VmHWM")
    async with RawWebSocket(server.ws_url, headers=DEFLATE) as client:
        assert client.status == 101
        await client.send_until_refused(b"".join(frames))
        assert await client.close_code() == 1002
    assert memory_kib(server.pid, "VmHWM") - before < 16 * 1024


async def test_B42_200_000_fragments_of_one_byte_disturb_nobody(server: Server, client: RawWebSocket) -> None:
    flood = frame(TEXT, b"[", fin=False) + frame(CONTINUATION, b" ", fin=False) * 199_998 + frame(CONTINUATION, b"]")
    async with undisturbed(server):
        await client.send_until_refused(flood)
        assert await client.close_code() == 1009


async def test_B42_a_message_in_fragments_with_a_ping_in_it_is_one(client: RawWebSocket, openai: FakeOpenAI) -> None:
    payload = '{"type": "message", "content": "né 🙂"}'.encode()
    pieces = [frame(CONTINUATION, payload[at : at + 1], fin=False) for at in range(1, len(payload))]
    await client.send(frame(TEXT, payload[:1], fin=False))
    await client.send(b"".join(pieces[:10]) + frame(PING, b"between") + b"".join(pieces[10:]))
    await client.send(frame(CONTINUATION))
    assert await client.frame() == Frame(PONG, b"between")
    await client.until_end()
    assert openai.calls[-1].messages == dialogue("né 🙂")


async def test_B46_1_000_pings_get_pongs_and_the_next_message_its_answer(
    server: Server, client: RawWebSocket, openai: FakeOpenAI
) -> None:
    async with undisturbed(server):
        await client.send(b"".join(frame(PING, b"%d" % number) for number in range(1_000)))
        for number in range(1_000):
            assert await client.frame() == Frame(PONG, b"%d" % number)
    await is_answered(client, openai)


async def test_B46_pings_of_a_client_that_never_reads_fill_no_memory(server: Server) -> None:
    before = memory_kib(server.pid)
    async with RawWebSocket(server.ws_url, receive_buffer=4096) as client:
        for _ in range(20):
            await client.send(frame(PING, b"x" * 125) * 8_000)  # 1 MB
        assert memory_kib(server.pid) - before < 8 * 1024


async def test_B47_20_messages_in_one_packet_are_answered_in_order(client: RawWebSocket, openai: FakeOpenAI) -> None:
    await client.send(b"".join(message(f"number {number}") for number in range(20)))
    for _ in range(20):
        assert (await client.until_end()).whole == "Once upon"
    pairs = [(f"number {number}", "Once upon") for number in range(20)]
    assert openai.calls[-1].messages == dialogue(*(text for pair in pairs for text in pair))[:-1]


async def test_B48_half_a_frame_disturbs_nobody_and_is_read_with_its_rest(
    server: Server, client: RawWebSocket, openai: FakeOpenAI
) -> None:
    whole = message("late")
    for cut in (1, 5, len(whole) - 1):
        await client.send(whole[:cut])
        async with undisturbed(server):
            await asyncio.sleep(0.1)  # The silence itself; how long a silent client is kept: N07.
        await client.send(whole[cut:])
        assert (await client.until_end()).whole == "Once upon"
    assert openai.calls[-1].question == "late"


FORGED = "\r\nINFO:     forged \x1b[31mline\u2028forged\x85forged"


async def test_B53_a_client_cannot_write_lines_or_escapes_into_the_log(
    client: RawWebSocket, server: Server, openai: FakeOpenAI
) -> None:
    for sent in ({"type": FORGED}, {FORGED: 1}, {"type": "message", "content": [FORGED]}):
        await client.send(frame(TEXT, json.dumps(sent).encode()))
        await is_refused(client, {BAD_FRAME, BAD_MESSAGE})
    await is_answered(client, openai, FORGED)
    await server.get("/%0d%0aINFO:%20%20forged%1b[31m?%0d%0aforged")
    await server.get("/static/%0d%0aforged%1b[31m")
    for name in ("Origin", "Host", "User-Agent"):
        async with RawWebSocket(server.ws_url, headers={name: "forged\x85forged"}):
            pass
    async with RawWebSocket(server.ws_url.replace("/ws", "/ws?%0d%0aforged%1b[31m")):
        pass
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]", server.log)
    assert not [line for line in server.log.splitlines() if re.match(r"(INFO:\s+)?forged", line)]


@pytest.mark.parametrize("character", ["x", "é", "🙂", "\n"], ids=["a letter", "an accent", "an emoji", "a line"])
async def test_B54_the_limit_is_answered_one_more_refused(
    client: RawWebSocket, openai: FakeOpenAI, character: str
) -> None:
    longest = "a" + character * (MOST_CHARS - 1)
    await client.send(message(longest + character))
    await is_refused(client, {"message_too_long"})
    await is_answered(client, openai, longest)


async def test_B55_5_000_bad_frames_are_closed_and_disturb_nobody(server: Server, client: RawWebSocket) -> None:
    async with undisturbed(server):
        await client.send_until_refused(frame(TEXT, b"?") * 5_000)
        for _ in range(100):
            await is_refused(client, {BAD_FRAME})
        assert await client.close_code() == 1008


async def test_B56_too_many_messages_a_minute_are_refused_and_it_lives(openai: FakeOpenAI) -> None:
    openai.says("Once", " upon")
    async with (
        Server(openai.url, MESSAGES_PER_MINUTE="2") as server,
        RawWebSocket(server.ws_url) as client,
    ):
        await client.send(message("one") + message("two"))
        assert (await client.until_end()).whole == (await client.until_end()).whole == "Once upon"
        calls = len(openai.calls)
        for _ in range(2):
            await client.send(message("three"))
            await is_refused(client, {"rate_limited"})
        assert len(openai.calls) == calls
        await client.send(frame(PING, b"alive"))
        assert await client.frame() == Frame(PONG, b"alive")
        async with RawWebSocket(server.ws_url) as other:
            await is_answered(other, openai)


async def is_refused(client: RawWebSocket, codes: set[str]) -> None:
    """One `error` frame with a sentence of our own; a message gets its `end` too."""
    error = await client.next()
    assert error["type"] == "error", error
    assert error["code"] in codes, error
    assert error["content"].endswith("."), error
    assert isinstance(error["retry"], bool), error
    if error["code"] != BAD_FRAME:
        end = await client.next()
        assert (end["type"], end["status"]) == ("end", "error"), end


async def is_answered(client: RawWebSocket, openai: FakeOpenAI, content: str = "Still there?") -> None:
    """The next message is answered in full, and the model is asked nothing but that."""
    assert (await client.reply(content)).whole == "Once upon"
    assert openai.calls[-1].messages == dialogue(content)
