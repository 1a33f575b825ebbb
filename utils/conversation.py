"""A conversation: what follows from its log. Pure, no I/O.

Whoever folds the same log gets the same conversation: the first question with an id, the next chunk and the first end
count; all else is a repeat or comes too late, and changes nothing.
"""

from dataclasses import dataclass, field
from typing import Any

from utils.reply_reader import Reasoning

Event = dict[str, Any]


@dataclass(eq=False)
class Turn:
    """A question and its reply, as far as it is written: pieces of text, some of them Reasoning."""

    id: str
    worker: str  # who answers it
    question: str
    pieces: list[str] = field(default_factory=list)
    status: str = "open"  # then done, length, filtered, stopped, interrupted or error
    error: Event | None = None
    chunk_ids: list[Any] = field(default_factory=list)  # in the log; superfluous when the end has the whole text

    @property
    def answer(self) -> str:
        return "".join(piece for piece in self.pieces if not isinstance(piece, Reasoning))

    @property
    def reasoning(self) -> str:
        return "".join(piece for piece in self.pieces if isinstance(piece, Reasoning))


class Conversation:
    """The fold of a log. `turns` are in order; `edits` counts how often some were dropped."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.edits = 0
        self._turn_of: dict[str, Turn] = {}  # dropped ones too: their events come too late for ever

    def apply(self, id: Any, event: Event) -> None:
        """The next event of the log; `id` is its place there."""
        turn = self.turn(event["turn"])
        match event["type"]:
            case "user" if not turn:
                self._drop_from(self.turn(event.get("replaces", "")))
                turn = self._turn_of[event["turn"]] = Turn(event["turn"], event["worker"], event["content"])
                self.turns.append(turn)
            case "chunk" if turn:
                turn.chunk_ids.append(id)
                if turn.status == "open" and event["n"] == len(turn.pieces):
                    turn.pieces.append(Reasoning(event["content"]) if "kind" in event else event["content"])
            case "end" if turn and turn.status == "open":
                # It may have the whole text too, for when the chunks are no longer in the log.
                rest = (
                    Reasoning(event.get("reasoning", "").removeprefix(turn.reasoning)),
                    event.get("content", "").removeprefix(turn.answer),
                )
                turn.pieces += [piece for piece in rest if piece]
                turn.status, turn.error = event["status"], event.get("error")

    def _drop_from(self, turn: Turn | None) -> None:
        if turn in self.turns:
            at = self.turns.index(turn)
            for dropped in self.turns[at:]:
                dropped.status = "stopped" if dropped.status == "open" else dropped.status
            del self.turns[at:]
            self.edits += 1

    def turn(self, id: str) -> Turn | None:
        """The turn with this id, also if it was dropped; None if it was never asked."""
        return self._turn_of.get(id)

    @property
    def current(self) -> Turn | None:
        """The turn that is being answered."""
        return next((turn for turn in self.turns if turn.status == "open"), None)

    def history(self, turn: Turn, budget: int) -> list[dict[str, str]]:
        """What the model is told before this turn's question: the newest turns, of `budget` characters with it.

        A turn without an answer is left out: it would only confuse the model, and roles must alternate.
        """
        budget -= len(turn.question)
        messages: list[dict[str, str]] = []
        for earlier in reversed(self.turns[: self.turns.index(turn)]):
            if answer := earlier.answer:
                budget -= len(earlier.question) + len(answer)
                if budget < 0:
                    break
                messages += {"role": "assistant", "content": answer}, {"role": "user", "content": earlier.question}
        return messages[::-1]
