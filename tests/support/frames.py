"""WebSocket frames, byte for byte, also those that break the rules."""

import json
import os
from dataclasses import dataclass

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FURTHER = {126: 2, 127: 8}  # In place of a length: it is in so many bytes that follow.


@dataclass(frozen=True)
class Frame:
    opcode: int
    payload: bytes


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = True) -> bytes:
    """One frame as it goes over the wire; `rsv` holds the three reserved bits, RSV1 being 4."""
    size = len(payload)
    length = size if size < 126 else 126 if size < 65_536 else 127
    head = bytes([fin << 7 | rsv << 4 | opcode, masked << 7 | length])
    head += size.to_bytes(FURTHER[length], "big") if length in FURTHER else b""
    if not masked:
        return head + payload
    mask = os.urandom(4)
    pad = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    return head + mask + (int.from_bytes(payload, "big") ^ pad).to_bytes(size, "big")


def message(content: str) -> bytes:
    """A plain client's question, not escaped, so that every character has its UTF-8 length."""
    return frame(TEXT, json.dumps({"type": "message", "content": content}, ensure_ascii=False).encode())


STOP = frame(TEXT, b'{"type": "stop"}')
