"""What a browser may send, and what it is told when it may not. Nothing past this file handles unchecked input."""

import json
import re
import secrets
from dataclasses import dataclass
from typing import Any

Frame = dict[str, Any]

ID = re.compile(r"[A-Za-z0-9_-]{0,64}")
ID_FIELD = {"resume": "conversation", "message": "id", "stop": "turn", "delete": "conversation"}

# code: (a sentence for a person, whether the same message may be sent again)
ERRORS: dict[str, tuple[str, bool]] = {
    "bad_frame": ("This could not be read. Expected a JSON object with a known type.", False),
    "bad_message": ("A message needs some text.", False),
    "message_too_long": ("This message is too long. Please shorten it.", False),
    "rate_limited": ("That was quick. Please wait a moment before the next message.", True),
    "conversation_full": ("This conversation is full. Please start a new one.", False),
    "not_kept": ("This message could not be kept, so it is not answered.", True),
    "no_model": ("There is no model to answer: see “Use another model” in the README.", False),
    "upstream_timeout": ("The model did not answer in time.", True),
    "upstream_unreachable": ("The model cannot be reached.", True),
    "upstream_auth": ("The model's service refused this server's key.", False),
    "upstream_busy": ("The model is busy. Please try again in a moment.", True),
    "upstream_quota": ("This server's quota at the model's service is used up.", False),
    "too_long": ("This conversation is too long for the model.", False),
    "upstream_error": ("The model's service failed.", True),
    "upstream_cut": ("The reply broke off before its end.", True),
    "internal_error": ("Something went wrong on this server.", True),
}


class BadFrame(Exception):
    """A frame that is not taken: `code` is a key of ERRORS, `turn` the id of the message, if it was one."""

    def __init__(self, code: str, turn: str = "") -> None:
        super().__init__(code)
        self.code, self.turn = code, turn


@dataclass(frozen=True)
class Command:
    """What a client wants: `resume` the conversation `id` ("" begins one; only as the first frame), have the
    `message` `id` answered (instead of the turn `replaces` and all after it), `stop` the reply to the turn `id`
    ("": the one that is being written), or `delete` the conversation."""

    type: str
    id: str
    content: str = ""
    replaces: str = ""


def error_frame(code: str, *, retry: bool | None = None) -> Frame:
    """The `error` frame for a code of ERRORS; `retry` overrides what stands there."""
    sentence, usually = ERRORS[code]
    return {"type": "error", "content": sentence, "code": code, "retry": usually if retry is None else retry}


def read_frame(text: str | None, max_chars: int) -> Command:
    """The command in a text frame (None: it was binary). Raises BadFrame."""
    try:
        frame = json.loads(text or "", parse_int=lambda _: 0)  # No number counts, and long ones take long.
        type = frame["type"]
        id, replaces = frame.get(ID_FIELD[type]) or "", frame.get("replaces") or ""
        if not (ID.fullmatch(id) and ID.fullmatch(replaces)):
            raise ValueError
    except (ValueError, RecursionError, LookupError, TypeError):
        raise BadFrame("bad_frame") from None
    if type != "message":
        return Command(type, id)
    id, content = id or secrets.token_urlsafe(8), frame.get("content")
    # Only a string: a list of parts can keep the openai client busy for seconds.
    # Not with half a character: no later request could be encoded.
    if not isinstance(content, str) or not content.strip() or re.search(r"[\ud800-\udfff]", content):
        raise BadFrame("bad_message", id)
    if len(content) > max_chars:
        raise BadFrame("message_too_long", id)
    return Command(type, id, content, replaces)
