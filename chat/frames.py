"""The frames a client may send, and the errors it receives. All input is validated here."""

import json
import re
import secrets
from dataclasses import dataclass
from typing import Any

Frame = dict[str, Any]

ID = re.compile(r"[A-Za-z0-9_-]{0,64}")
SURROGATES = re.compile(r"[\ud800-\udfff]")

# Bytes. `python main.py` refuses longer frames before they are read; other servers may not.
LONGEST_FRAME = 64 * 1024

# How a reply may end: docs/protocol.md.
STATUSES = ("done", "length", "filtered", "stopped", "interrupted", "error")

# The field that contains the id, by type of frame.
ID_FIELD = {
    "resume": "conversation",
    "message": "id",
    "stop": "turn",
    "delete": "conversation",
    "earlier": "before",
}

# code: (what happened and what a person can do next, whether the same message may be sent again)
ERRORS: dict[str, tuple[str, bool]] = {
    "bad_frame": ("This frame could not be read. Send a JSON object with a known type.", False),
    "bad_message": ("This message is empty or not valid text. Edit it and send it again.", False),
    "message_too_long": ("This message is too long. Shorten it and send it again.", False),
    "rate_limited": ("You are sending messages too quickly. Wait a moment, then try again.", True),
    "conversation_full": ("This conversation is full. Continue in a new chat.", False),
    "busy": ("The server is busy. Try again in a moment.", True),
    "not_kept": ("This could not be saved, so nothing was changed. Try again in a moment.", True),
    "unavailable": ("Conversations cannot be read right now. Try again in a moment.", True),
    "no_model": (
        "This server has no model. Ask whoever runs it: see “Use another model” in the README.",
        False,
    ),
    "upstream_timeout": ("The model did not answer in time. Try again.", True),
    "upstream_unreachable": ("The model cannot be reached. Try again in a moment.", True),
    "upstream_auth": (
        "The model's service refused this server's key. Ask whoever runs the server to check it.",
        False,
    ),
    "upstream_model": (
        "There is no such model. Ask whoever runs this server to check OPENAI_MODEL.",
        False,
    ),
    "upstream_busy": ("The model is busy. Try again in a moment.", True),
    "upstream_quota": (
        "This server has used up its quota for the model. Ask whoever runs it to raise it.",
        False,
    ),
    "too_long": ("This conversation is too long for the model. Continue in a new chat.", False),
    "upstream_error": ("The model's service failed. Try again in a moment.", True),
    "upstream_cut": ("The reply broke off before it was complete. Try again.", True),
    "internal_error": ("Something went wrong on this server. Try again in a moment.", True),
}


class BadFrame(Exception):
    """A refused frame. `code` is a key of ERRORS; `turn` is the message's id, if it was one."""

    def __init__(self, code: str, turn: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.turn = turn


@dataclass(frozen=True)
class Anchor:
    """The last finished turn that a client has.

    If it is unchanged, the client need not be sent it, or anything before it, again. `chars` is
    the length of its answer, in code points.
    """

    turn: str
    status: str
    chars: int


@dataclass(frozen=True)
class Command:
    """What a client asks for, by type.

    resume   open the conversation `id` ("" starts a new one); must be the first frame
    message  answer `content` as the turn `id`, in place of the turn `replaces` and all after it
    stop     end the reply to the turn `id` ("": the current one)
    delete   delete the open conversation; `id` is ignored
    earlier  send the page of turns before the turn `id`
    """

    type: str
    id: str
    content: str = ""
    replaces: str = ""
    after: Anchor | None = None


def error_frame(code: str, *, retry: bool | None = None) -> Frame:
    """The `error` frame for a key of ERRORS; `retry` overrides the default."""
    sentence, usual_retry = ERRORS[code]
    if retry is None:
        retry = usual_retry
    return {"type": "error", "content": sentence, "code": code, "retry": retry}


def read_frame(text: str | None, max_chars: int) -> Command:
    """The command in a text frame (None: the frame was binary).

    A message has at most `max_chars` characters (code points). Raises BadFrame.
    """
    try:
        # Cut integers to 9 digits: parsing a huge one would block the event loop, and the protocol
        # needs none.
        frame = json.loads(text or "", parse_int=lambda digits: int(digits[:9]))
        frame_type = frame["type"]
        frame_id = frame.get(ID_FIELD[frame_type]) or ""
        replaces = frame.get("replaces") or ""
        if not ID.fullmatch(frame_id) or not ID.fullmatch(replaces):
            raise ValueError
        after = _anchor(frame.get("after"))
    except (ValueError, RecursionError, LookupError, TypeError):
        raise BadFrame("bad_frame") from None
    if frame_type != "message":
        return Command(frame_type, frame_id, after=after)
    message_id = frame_id or secrets.token_urlsafe(8)
    content = _checked(frame.get("content"), message_id, max_chars)
    return Command(frame_type, message_id, content, replaces)


def _anchor(after: Any) -> Anchor | None:
    if after is None:
        return None
    anchor = Anchor(after["turn"], after["status"], after["chars"])
    if not ID.fullmatch(anchor.turn) or not isinstance(anchor.chars, int):
        raise ValueError
    return anchor


def _checked(content: Any, message_id: str, max_chars: int) -> str:
    # Only a string: a list of parts can keep the openai client busy for seconds.
    if not isinstance(content, str) or not content.strip():
        raise BadFrame("bad_message", message_id)
    # Reject lone surrogates: every later request to the model would fail to encode.
    if SURROGATES.search(content):
        raise BadFrame("bad_message", message_id)
    if len(content) > max_chars:
        raise BadFrame("message_too_long", message_id)
    return content
