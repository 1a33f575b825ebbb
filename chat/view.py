"""A view: tracks what one client has been sent of a conversation. Pure, no I/O."""

import json
from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter

from chat.conversation import Turn
from chat.frames import Anchor, Frame
from chat.room import Room

# Bytes of turns in one frame; more only for a single turn.
PAGE_BYTES = 255 * 1024

# Of those that a client sees first: a phone has them in a fraction of a second.
FIRST_PAGE_BYTES = 32 * 1024


class View:
    """Computes the frames for what is new since the last frame (see `missing`).

    A slow client gets bigger chunks instead of a queue. A plain client (not `resuming`) gets no
    history and no reasoning: it understands neither. A finished turn never changes, and an edit
    drops a turn and all later ones: if `after` still exists, the client has everything before it.
    """

    def __init__(self, room: Room, *, resuming: bool, after: Anchor | None = None) -> None:
        self._room = room
        self._after = after
        self._resuming = resuming
        self._epoch = -1 if resuming else room.epoch
        # The turn being sent: its index, whether `start` was sent, and how many pieces were sent.
        self._at = 0
        self._started = False
        self._sent = 0

    def missing(self) -> Iterator[Frame]:
        """The frames that bring the client up to date, one by one.

        The conversation may change while the caller sends a frame; the next frame uses its state
        at that time.
        """
        while True:
            turns = self._room.conversation.turns
            if self._epoch != self._room.epoch:
                self._epoch = self._room.epoch
                if self._resuming:
                    yield self._history()
            elif self._at >= len(turns):
                # After a deletion by another client, a plain client's index may be past the end.
                return
            elif not self._started:
                yield self._start(turns[self._at])
            elif self._sent < len(turns[self._at].pieces):
                yield from self._chunks(turns[self._at])
            elif turns[self._at].status == "open":
                return
            else:
                yield from self._end(turns[self._at])

    def _history(self) -> Frame:
        """The `history` frame. The first open turn then continues with chunks and an `end`."""
        turns = self._room.conversation.turns
        self._at = next((n for n, turn in enumerate(turns) if turn.status == "open"), len(turns))
        self._started = self._at < len(turns)
        self._sent = len(turns[self._at].pieces) if self._started else 0
        known = self._count_known(turns)
        most = PAGE_BYTES if known else FIRST_PAGE_BYTES
        pictures, start = _page(turns, known, len(turns), most)
        frame: Frame = {"type": "history", "turns": pictures}
        if known and start == known and self._after:
            frame["after"] = self._after.turn
        elif start:
            frame["earlier"] = True
        # Only the first `history` can build on what the client has.
        self._after = None
        return frame

    def _count_known(self, turns: list[Turn]) -> int:
        after = self._after
        turn = self._room.conversation.turn(after.turn) if after else None
        if not after or not turn or turn not in turns:
            return 0
        is_same = turn.status == after.status != "open" and len(turn.answer) == after.chars
        return turns.index(turn) + 1 if is_same else 0

    def _start(self, turn: Turn) -> Frame:
        self._started = True
        return {"type": "start", "content": "", "turn": turn.id, "question": turn.question}

    def _chunks(self, turn: Turn) -> Iterator[Frame]:
        pieces = turn.pieces[self._sent :]
        self._sent += len(pieces)
        for kind, group in groupby(pieces, attrgetter("kind")):
            text = "".join(piece.text for piece in group)
            chunk = {"type": "chunk", "content": text, "turn": turn.id}
            if not kind:
                yield chunk
            elif self._resuming:
                yield {**chunk, "kind": kind}

    def _end(self, turn: Turn) -> Iterator[Frame]:
        self._at += 1
        self._started = False
        self._sent = 0
        if turn.error:
            yield {"type": "error", **turn.error, "turn": turn.id}
        yield {"type": "end", "content": "", "turn": turn.id, "status": turn.status}


def earlier_page(room: Room, before: str) -> Frame | None:
    """The page of turns before `before`; None if that turn is gone: a new history follows."""
    turns = room.conversation.turns
    turn = room.conversation.turn(before)
    if not turn or turn not in turns:
        return None
    pictures, start = _page(turns, 0, turns.index(turn), PAGE_BYTES)
    return {"type": "earlier", "before": before, "turns": pictures, "earlier": start > 0}


def _page(turns: list[Turn], start: int, end: int, most: int) -> tuple[list[Frame], int]:
    """The newest turns from `start` to `end` in at most `most` bytes, and the index of the first."""
    pictures: list[Frame] = []
    size = 0
    at = end
    while at > start:
        picture = _picture(turns[at - 1])
        size += len(json.dumps(picture, ensure_ascii=False).encode()) + 2
        if pictures and size > most:
            break
        pictures.append(picture)
        at -= 1
    pictures.reverse()
    return pictures, at


def _picture(turn: Turn) -> Frame:
    picture: Frame = {
        "id": turn.id,
        "question": turn.question,
        "answer": turn.answer,
        "status": turn.status,
    }
    if turn.reasoning:
        picture["reasoning"] = turn.reasoning
    if turn.error:
        picture["error"] = turn.error
    return picture
