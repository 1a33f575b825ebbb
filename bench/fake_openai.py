"""A fake OpenAI server that is not the bottleneck: `python -m bench.fake_openai` prints its port.

The last message says what to answer: "paced 200" is 200 tokens, 50 a second, each with the time at which it left;
"burst 200" is 200 tokens as fast as they are taken; "hang 1" is nothing, for ever. More words may follow. One token per
SSE event. The first token leaves at once.
It also answers such a message on a WebSocket, as the chat would: so the harness can be measured without a chat.

What it writes is what the scripted fake of the tests writes (tests/support/wire.py), but as bytes that were built
before the first request, by a Protocol: a script of coroutines would be the slowest part of a measurement.
"""

import asyncio
import gc
import json
import time
from collections.abc import Callable
from itertools import count

from tests.support.frames import TEXT, frame
from tests.support.wire import chunk, framed, sse

TICK = 0.001  # seconds; one timer for all streams
TICKS_PER_TOKEN = 20  # 50 tokens a second
BLOCK = 64  # tokens that a burst writes at once

HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n"
    b"Cache-Control: no-cache\r\nx-request-id: req_0123456789abcdef\r\n\r\n"
)
UPGRADE = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"  # nobody checks it


def event(delta: object, finish_reason: str | None = None) -> bytes:
    """A server-sent event, in an HTTP chunk of its own."""
    return framed(sse(chunk(delta, finish_reason)))


def chat_frame(**content: str) -> bytes:
    """A frame as the chat sends it."""
    return frame(TEXT, json.dumps(content).encode(), masked=False)


class Wording:
    """The bytes of an answer, built beforehand; seventeen zeros in a token are where its time goes, in nanoseconds."""

    def __init__(self, first: bytes, token: Callable[[str], bytes], last: bytes) -> None:
        self.first = first
        self.last = last
        self.before, self.after = token("~" + "0" * 17).split(b"0" * 17)
        self.block = token("~abc") * BLOCK


OPENAI = Wording(
    HEAD + event({"role": "assistant", "content": "", "refusal": None}),
    lambda text: event({"content": text}),
    event({}, "stop") + framed(b"data: [DONE]\n\n") + framed(b""),
)
CHAT = Wording(chat_frame(type="start"), lambda text: chat_frame(type="chunk", content=text), chat_frame(type="end"))


class Pacer:
    """Gives each stream its turn, 50 times a second, spread evenly."""

    def __init__(self) -> None:
        self._slots: list[set[Peer]] = [set() for _ in range(TICKS_PER_TOKEN)]
        self._numbers = count()
        self._tick, self._next, self._streams = 0, 0.0, 0

    def add(self, peer: "Peer") -> None:
        peer.slot = next(self._numbers) * 7 % TICKS_PER_TOKEN
        self._slots[peer.slot].add(peer)
        self._streams += 1
        if self._streams == 1:
            self._next = asyncio.get_running_loop().time()
            self._work()

    def remove(self, peer: "Peer") -> None:
        if peer in self._slots[peer.slot]:
            self._slots[peer.slot].remove(peer)
            self._streams -= 1

    def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._next <= loop.time():  # more than once if it is late: the rate stays what it is
            for peer in tuple(self._slots[self._tick % TICKS_PER_TOKEN]):
                peer.write_token()
            self._tick += 1
            self._next += TICK
        if self._streams:
            loop.call_at(self._next, self._work)


class Peer(asyncio.Protocol):
    """A connection: HTTP with one request after the other, or a WebSocket with one message after the other."""

    def __init__(self, pacer: Pacer) -> None:
        self._pacer, self.slot = pacer, 0
        self._got = b""
        self._wording = OPENAI
        self._left = 0  # tokens to be written
        self._bursting = self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self._left, self._bursting = 0, False
        self._pacer.remove(self)

    def data_received(self, data: bytes) -> None:
        self._got += data
        if self._wording is CHAT:
            if len(self._got) >= 6 and len(self._got) >= (size := 6 + (self._got[1] & 0x7F)):  # masked with zeros
                opcode, message, self._got = self._got[0] & 0xF, self._got[6:size], self._got[size:]
                if opcode == 1:
                    self.answer(json.loads(message)["content"])
            return
        head, _, body = self._got.partition(b"\r\n\r\n")
        if head.startswith(b"GET"):
            self._wording, self._got = CHAT, b""
            self._transport.write(UPGRADE)
        elif b"\r\n\r\n" in self._got:
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            if len(body) >= length:
                self._got = body[length:]
                self.answer(json.loads(body[:length])["messages"][-1]["content"])

    def answer(self, wish: str) -> None:
        mode, tokens, *_ = wish.split(maxsplit=2)
        if mode == "hang":
            return
        self._left = int(tokens)
        self._transport.write(self._wording.first)
        if mode == "burst":
            self._bursting = True
            self._burst()
        else:
            self.write_token()
            if self._left:
                self._pacer.add(self)

    def write_token(self) -> None:
        """One token, with the time. After the last one the answer ends."""
        if self._transport.is_closing():
            return
        wording = self._wording
        self._left -= 1
        after = wording.after if self._left else wording.after + wording.last
        self._transport.write(b"%b%017d%b" % (wording.before, time.monotonic_ns(), after))
        if not self._left:
            self._pacer.remove(self)

    def _burst(self) -> None:
        size = len(self._wording.block) // BLOCK
        while self._bursting and not (self._paused or self._transport.is_closing()):
            tokens = min(self._left, BLOCK)
            self._left -= tokens
            self._bursting = self._left > 0
            last = b"" if self._bursting else self._wording.last
            self._transport.write(self._wording.block[: tokens * size] + last)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._burst()


async def main(peer: type[Peer] = Peer) -> None:
    pacer = Pacer()
    server = await asyncio.get_running_loop().create_server(lambda: peer(pacer), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    gc.freeze()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
