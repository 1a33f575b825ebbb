"""What a frame must look like: always, and where a case expects one."""

import json
import re
import secrets
from collections.abc import Callable
from typing import Any

Frame = dict[str, Any]
Names = dict[str, Any]

NAME = re.compile(r"\$(\w+)")
REPEATED = re.compile(r"\{(.)\*(\d+)\}")
ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
STATUSES = ("done", "length", "filtered", "stopped", "interrupted", "error")


class Mismatch(Exception):
    """What was expected, and what came."""


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and bool(ID.fullmatch(value))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_sentence(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_turns(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(turn, dict) and _fault(TURN, turn) == "" for turn in value)


Fields = dict[str, Callable[[Any], bool]]
PLAIN: dict[str, Fields] = {
    "start": {"content": _is_text},
    "chunk": {"content": _is_text},
    "error": {"content": _is_sentence, "code": _is_sentence, "retry": _is_bool},
    "end": {"content": _is_text, "status": STATUSES.__contains__},
}
TURN: Fields = {"id": _is_id, "question": _is_text, "answer": _is_text, "status": ("open", *STATUSES).__contains__}
ABOUT: Fields = {"model": _is_text, "demo": _is_bool, "limit": _is_number, "loading": _is_bool}
RESUMING: dict[str, Fields] = {
    "conversation": {"id": _is_id} | ABOUT,
    "history": {"turns": _is_turns},
    "start": PLAIN["start"] | {"turn": _is_id, "question": _is_text},
    "chunk": PLAIN["chunk"] | {"turn": _is_id},
    "error": PLAIN["error"],
    "end": PLAIN["end"] | {"turn": _is_id},
    "earlier": {"before": _is_id, "turns": _is_turns, "earlier": _is_bool},
    "ping": {},
}


def read_frame(text: str | bytes, *, resuming: bool) -> Frame:
    """The frame, of one of the types that the server may send to such a client. Raises Mismatch."""
    try:
        frame = json.loads(text)
    except ValueError:
        frame = None
    if isinstance(text, bytes) or not isinstance(frame, dict):
        raise Mismatch(f"expected a JSON object in a text frame, but got {show(text)}")
    fields = (RESUMING if resuming else PLAIN).get(str(frame.get("type")))
    if fields is None:
        raise Mismatch(f"the protocol has no such frame for this client: {show(frame)}")
    fault = _fault(fields, frame)
    if fault:
        raise Mismatch(f"{fault} in {show(frame)}")
    return frame


def _fault(fields: Fields, frame: Frame) -> str:
    for name, is_right in fields.items():
        if name not in frame or not is_right(frame[name]):
            return f'"{name}" is missing or wrong'
    return ""


def fill(value: Any, names: Names) -> Any:
    """A value to send: with names in place of $names, which are made up if new, and {x*3} as xxx."""
    match value:
        case dict():
            return {key: fill(each, names) for key, each in value.items()}
        case list():
            return [fill(each, names) for each in value]
        case str():
            named = NAME.sub(lambda name: str(names.setdefault(name[1], secrets.token_urlsafe(12))), value)
            return REPEATED.sub(lambda repeated: repeated[1] * int(repeated[2]), named)
    return value


def compare(expected: Any, value: Any, names: Names, path: str = "") -> None:
    """Check a received value against an expected one, and remember new $names. Raises Mismatch."""
    match expected:
        case "*":
            return
        case str() if (name := NAME.fullmatch(expected)) and name[1] not in names:
            names[name[1]] = value
            return
        case dict() if isinstance(value, dict):
            for key, each in expected.items():
                if key not in value and each is not None:
                    raise Mismatch(f'expected a field "{path}{key}"')
                compare(each, value.get(key), names, f"{path}{key}.")
            return
        case list() if isinstance(value, list) and len(value) == len(expected):
            for at, (each, one) in enumerate(zip(expected, value, strict=True)):
                compare(each, one, names, f"{path}{at}.")
            return
        case str():
            expected = names[name[1]] if (name := NAME.fullmatch(expected)) else fill(expected, names)
    if expected is None and value in (None, False):
        return
    if type(value) is not type(expected) or value != expected:
        raise Mismatch(f'expected "{path[:-1]}" to be {show(expected)}, but it is {show(value)}')


def show(value: Any) -> str:
    """A value for people: JSON, shortened."""
    text = json.dumps(value, ensure_ascii=False) if not isinstance(value, bytes) else repr(value)
    return text if len(text) <= 400 else f"{text[:200]} ... {text[-100:]}"
