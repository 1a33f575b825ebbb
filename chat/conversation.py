"""A conversation, computed from its log. Pure, no I/O.

The same log always gives the same conversation. Only the first question with an id, the next
chunk and the first end count; every other event is a duplicate, or too late, and is ignored.
"""

from dataclasses import dataclass, field
from itertools import chain, groupby
from operator import attrgetter
from typing import Any, NamedTuple

Event = dict[str, Any]

# How many dropped ids an edit lists. No client resends a message that was replaced that long ago.
MOST_RETIRED = 1000

# The required fields of each type of event, and the optional ones.
REQUIRED: dict[str, dict[str, type]] = {
    "user": {"turn": str, "worker": str, "content": str},
    "chunk": {"turn": str, "n": int, "content": str},
    "end": {"turn": str, "status": str},
    "watched": {"turn": str, "worker": str},
}
OPTIONAL: dict[str, type] = {
    "replaces": str,
    "drops": list,
    "kind": str,
    "content": str,
    "reasoning": str,
    "error": dict,
}


def is_known(event: Any) -> bool:
    """Whether this version knows the type and the shape of an event from a log."""
    if not isinstance(event, dict):
        return False
    event_type = event.get("type")
    required = REQUIRED.get(event_type) if isinstance(event_type, str) else None
    if required is None:
        return False
    # A plain loop: this runs for every chunk.
    for name, kind in required.items():
        if not isinstance(event.get(name), kind):
            return False
    given = event.keys() & OPTIONAL.keys()
    return all(isinstance(event[name], OPTIONAL[name]) for name in given)


class Piece(NamedTuple):
    """Part of a reply: its kind ("" for the answer, or "reasoning") and its text."""

    kind: str
    text: str


@dataclass(eq=False)
class Turn:
    """A question, and as much of its reply as has been written."""

    id: str
    # The worker (process) that answers it.
    worker: str
    question: str
    pieces: list[Piece] = field(default_factory=list)
    # Becomes done, length, filtered, stopped, interrupted or error.
    status: str = "open"
    error: Event | None = None
    # Whether the `end` event contained the whole text.
    is_whole: bool = False
    # The places in the log of its question and end, and of all its other events.
    places: list[Any] = field(default_factory=list)
    spare_places: list[Any] = field(default_factory=list)
    # Its text by kind, and how many pieces that was joined from.
    _texts: dict[str, str] = field(default_factory=dict)
    _joined: int = 0

    @property
    def answer(self) -> str:
        return self.texts.get("", "")

    @property
    def reasoning(self) -> str:
        return self.texts.get("reasoning", "")

    @property
    def texts(self) -> dict[str, str]:
        """The text by kind.

        Every later question needs it, and it may be in thousands of pieces: joined only if there are new ones.
        """
        if self._joined != len(self.pieces):
            parts: dict[str, list[str]] = {}
            for piece in self.pieces:
                parts.setdefault(piece.kind, []).append(piece.text)
            self._texts = {kind: "".join(some) for kind, some in parts.items()}
            self._joined = len(self.pieces)
        return self._texts


class Conversation:
    """The `turns` of a log, in order. `edits` counts how often some of them were dropped."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.edits = 0
        # Includes dropped turns until an edit has listed their ids.
        self._turn_of: dict[str, Turn] = {}
        # Ids that edits have listed, oldest first: resending a question must not bring it back.
        self._retired: dict[str, None] = {}
        # The places in the log of the events of retired turns.
        self._dropped_places: list[Any] = []

    def apply(self, place: Any, event: Event) -> None:
        """Apply the next event, whose place in the log is `place`. Expects `is_known(event)`."""
        turn = self.turn(event["turn"])
        match event["type"]:
            case "user" if not self.knows(event["turn"]):
                if "replaces" in event:
                    self._drop_from(self.turn(event["replaces"]))
                if "drops" in event:
                    self._retire(event["drops"])
                turn = Turn(event["turn"], event["worker"], event["content"])
                turn.places.append(place)
                self._turn_of[turn.id] = turn
                self.turns.append(turn)
            case "chunk" if turn:
                turn.spare_places.append(place)
                if turn.status == "open" and event["n"] == len(turn.pieces):
                    turn.pieces.append(Piece(event.get("kind", ""), event["content"]))
            case "end" if turn and turn.status == "open":
                turn.places.append(place)
                self._add_rest(turn, "reasoning", event.get("reasoning", ""))
                self._add_rest(turn, "", event.get("content", ""))
                turn.is_whole = "content" in event
                turn.status = event["status"]
                turn.error = event.get("error")
                if turn.status == "stopped" and self._waited(turn):
                    # It was taken back before its reply began, so every client drops it.
                    self._keep([other for other in self.turns if other is not turn])
            case _ if turn:
                turn.spare_places.append(place)

    def _add_rest(self, turn: Turn, kind: str, whole: str) -> None:
        """Add the text that the chunks lack: some may have been deleted, or never written."""
        rest = whole.removeprefix(turn.texts.get(kind, ""))
        if rest:
            turn.pieces.append(Piece(kind, rest))

    def _waited(self, turn: Turn) -> bool:
        """Whether the turn before this one is still open. Only the last few turns are looked at."""
        at = len(self.turns) - 1
        while self.turns[at] is not turn:
            at -= 1
        return at > 0 and self.turns[at - 1].status == "open"

    def _drop_from(self, turn: Turn | None) -> None:
        if turn in self.turns:
            self._keep(self.turns[: self.turns.index(turn)])

    def _keep(self, kept: list[Turn]) -> None:
        remaining = {turn.id for turn in kept}
        for turn in self.turns:
            if turn.status == "open" and turn.id not in remaining:
                turn.status = "stopped"
        self.edits += len(kept) < len(self.turns)
        self.turns = kept

    def _retire(self, ids: list[Any]) -> None:
        """Let the events of the dropped turns that an edit lists be deleted from the log.

        Not if a concurrent question was dropped too and is not listed: only the events of the
        others show that it was dropped.
        """
        listed = {id: None for id in ids if isinstance(id, str)}
        # The log may already lack some of the listed turns, while others are still in it.
        self._keep([turn for turn in self.turns if turn.id not in listed])
        remaining = {turn.id for turn in self.turns}
        dropped = [turn for turn in self._turn_of.values() if turn.id not in remaining]
        if all(turn.id in listed for turn in dropped):
            for turn in dropped:
                self._dropped_places += turn.places + turn.spare_places
                del self._turn_of[turn.id]
            self._retired.update(listed)

    def drops(self, replaced: str) -> list[str]:
        """The ids that an edit of this turn must list: those it drops and those dropped before."""
        ids = [turn.id for turn in self.turns]
        if replaced not in ids:
            return []
        remaining = set(ids[: ids.index(replaced)])
        dropped = [id for id in self._turn_of if id not in remaining]
        return [*list(self._retired)[-MOST_RETIRED:], *dropped]

    def spare_places(self) -> list[Any]:
        """The places of events that can be deleted without changing the conversation."""
        whole = [turn.spare_places for turn in self.turns if turn.is_whole]
        return [*self._dropped_places, *chain.from_iterable(whole)]

    def note_deleted(self, places: list[Any]) -> None:
        """Note that the events at these spare places are no longer in the log."""
        gone = set(places)
        self._dropped_places = [place for place in self._dropped_places if place not in gone]
        for turn in self.turns:
            turn.spare_places = [place for place in turn.spare_places if place not in gone]

    def join_pieces(self) -> None:
        """Save memory: finished replies in few pieces. Not while a view is in the middle of one."""
        for turn in self.turns:
            if turn.status != "open":
                groups = groupby(turn.pieces, attrgetter("kind"))
                turn.pieces = [Piece(kind, "".join(p.text for p in run)) for kind, run in groups]

    def knows(self, id: str) -> bool:
        """Whether a question with this id was ever asked here."""
        return id in self._turn_of or id in self._retired

    def turn(self, id: str) -> Turn | None:
        """The turn with this id, or None. Includes dropped turns that are not retired yet."""
        return self._turn_of.get(id)

    def is_open(self, id: str) -> bool:
        """Whether this turn's reply is unfinished, or not begun yet."""
        turn = self.turn(id)
        return turn is not None and turn.status == "open"

    @property
    def current(self) -> Turn | None:
        """The turn that is being answered: the oldest open one."""
        return next((turn for turn in self.turns if turn.status == "open"), None)

    def size(self, replaced: str = "") -> int:
        """Characters of all turns, or of those that remain when an edit replaces one of them."""
        chars = 0
        for turn in self.turns:
            if turn.id == replaced:
                break
            chars += len(turn.question) + sum(len(text) for text in turn.texts.values())
        return chars

    def history(self, turn: Turn, budget: int) -> list[dict[str, str]]:
        """The earlier messages to send to the model with this turn's question, oldest first.

        `budget` is in characters and includes the question; the oldest turns are left out first.
        A turn without an answer is left out too: roles must alternate.
        """
        budget -= len(turn.question)
        messages: list[dict[str, str]] = []
        for earlier in reversed(self.turns[: self.turns.index(turn)]):
            answer = earlier.answer
            if not answer:
                continue
            budget -= len(earlier.question) + len(answer)
            if budget < 0:
                break
            messages.append({"role": "assistant", "content": answer})
            messages.append({"role": "user", "content": earlier.question})
        messages.reverse()
        return messages
