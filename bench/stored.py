"""Conversations written straight into an SQLite file, before any server opens it: a million events take seconds."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from chat.sqlite_file import SqliteFile

# Events in one transaction.
AT_A_TIME = 20_000

ANSWER = "~abc" * 20


def write(path: Path, conversations: int, turns: int) -> None:
    """Add that many conversations of that many finished turns: two events for each turn."""
    file = SqliteFile(str(path))
    events = _events(conversations, turns)
    while batch := list(islice(events, AT_A_TIME)):
        file.append_all(batch)
    file.close()


def name(turns: int, number: int) -> str:
    """The id of a conversation; `number` counts from 0."""
    return f"stored-{turns}-{number}"


def last_turn(turns: int) -> dict[str, object]:
    """What a page that has read one of these conversations to its end sends as `after`."""
    return {"turn": f"t{turns - 1}", "status": "done", "chars": len(ANSWER)}


def _events(conversations: int, turns: int) -> Iterator[tuple[str, str]]:
    bodies = []
    for turn in range(turns):
        bodies.append(json.dumps({"type": "user", "turn": f"t{turn}", "worker": "nobody", "content": "burst 20"}))
        bodies.append(json.dumps({"type": "end", "turn": f"t{turn}", "status": "done", "content": ANSWER}))
    for number in range(conversations):
        conversation = json.dumps(name(turns, number))
        for body in bodies:
            yield conversation, body
