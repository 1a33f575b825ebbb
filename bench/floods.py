"""A model's server that also floods: bench.fake_openai, where the message "flood U55" gets bytes without end.

Each flood has a process of its own, so that it delays neither the victim's tokens nor their stamps.
"""

import asyncio
import gzip
import os
import signal
from collections.abc import Callable
from contextlib import suppress

from bench.fake_openai import Peer, main

STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n%bConnection: close\r\n\r\n"
REFUSAL = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"


def _event(filler: bytes) -> bytes:
    return b'data: {"choices": [{"delta": {"content": "a"}}], "x": %b}\n\n' % filler


# What comes first, then what comes again and again.
FLOODS: dict[str, tuple[bytes, Callable[[], bytes]]] = {
    "U55": (STREAM % b"", lambda: b"data: " + b"a" * 1000 + b"\n"),
    "U55-line": (STREAM % b"", lambda: b"a" * 60_000),
    "U56": (REFUSAL, lambda: b'{"error": "' + b"a" * 60_000),
    "U57": (STREAM % b"Content-Encoding: gzip\r\n", lambda: gzip.compress(b": " + b"0" * 50_000_000 + b"\n\n")),
    "U58-large": (STREAM % b"", lambda: _event(b"[" + b"[]," * 1_300_000 + b"[]]")),
    "U58-empty": (STREAM % b"", lambda: b"data: {}\n\n" * 6_000),
    "U58-comments": (STREAM % b"", lambda: b": k\n\n" * 10_000),
}


class Flooding(Peer):
    def answer(self, wish: str) -> None:
        mode, _, name = wish.partition(" ")
        if mode == "flood":
            if not os.fork():
                _flood(self._transport.get_extra_info("socket").fileno(), name)
            # The other process has the connection.
            self._transport.abort()
        else:
            super().answer(wish)


def _flood(descriptor: int, name: str) -> None:
    """Never returns."""
    os.nice(10)
    os.set_blocking(descriptor, True)
    head, make = FLOODS[name]
    data = make()
    with suppress(OSError):
        _write(descriptor, head)
        while True:
            _write(descriptor, data)
    os._exit(0)


def _write(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


if __name__ == "__main__":
    # Nobody waits for those that have ended.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    asyncio.run(main(Flooding))
