"""Logs of conversations: made by hand, or drawn by Hypothesis; and what a fold of them shows."""

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from chat.conversation import Conversation, Event, Turn
from utils.pieces import Reasoning

Fold = type[Conversation]
Picture = list[dict[str, Any]]

QUICK = settings(max_examples=100, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
TURNS = st.sampled_from(["t0", "t1", "t2"])
WORKERS = st.sampled_from(["ann", "bob"])
TEXTS = st.text(max_size=3)
SAID = st.builds(lambda text, thought: Reasoning(text) if thought else text, TEXTS, st.booleans())
CUT = st.sampled_from(["stopped", "interrupted", "length", "filtered", "error"])
PLACES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=12)


def question(turn: str, worker: str = "ann", content: str = "Why?", replaces: str = "") -> Event:
    event = {"type": "user", "turn": turn, "worker": worker, "content": content}
    return event | ({"replaces": replaces} if replaces else {})


def chunk(turn: str, n: int, content: str) -> Event:
    kind = {"kind": "reasoning"} if isinstance(content, Reasoning) else {}
    return {"type": "chunk", "turn": turn, "n": n, "content": str(content), **kind}


def end(turn: str, status: str, pieces: list[str] | None = None) -> Event:
    event: Event = {"type": "end", "turn": turn, "status": status}
    if status == "error":
        event["error"] = {"code": "upstream_error"}
    if status == "done" and pieces is not None:
        event["content"] = "".join(piece for piece in pieces if not isinstance(piece, Reasoning))
        event["reasoning"] = "".join(piece for piece in pieces if isinstance(piece, Reasoning))
    return event


# Whatever could stand in a log, in any order.
WILD = st.lists(
    st.one_of(
        st.builds(question, TURNS, WORKERS, TEXTS, st.one_of(st.just(""), TURNS)),
        st.builds(lambda turn, n, thought: chunk(turn, n, Reasoning(f"<{n}>") if thought else f"<{n}>"),
                  TURNS, st.integers(0, 3), st.booleans()),
        st.builds(end, TURNS, st.one_of(CUT, st.just("done"))),
    ),
    max_size=30,
)  # fmt: skip


@st.composite
def told(draw: st.DrawFn) -> list[Event]:
    """What workers write: each reply in order, the turns mixed with each other, anybody's stop anywhere."""
    scripts: list[list[Event]] = []
    for at in range(draw(st.integers(1, 4))):
        turn, pieces = f"t{at}", draw(st.lists(SAID, max_size=4))
        replaces = draw(st.one_of(st.just(""), st.sampled_from([f"t{n}" for n in range(at + 1)])))
        asked = question(turn, draw(WORKERS), draw(st.text(min_size=1, max_size=5)), replaces)
        written = [chunk(turn, n, piece) for n, piece in enumerate(pieces)]
        ended = draw(st.lists(st.one_of(CUT, st.just("done")), max_size=2))
        scripts.append([asked, *written, *(end(turn, status, pieces) for status in ended)])
    log: list[Event] = []
    while scripts:
        script = draw(st.sampled_from(scripts))
        log.append(script.pop(0))
        scripts = [script for script in scripts if script]
    for place, which in draw(PLACES):
        asked = log[which % len(log)]["turn"]
        first = next(at for at, event in enumerate(log) if event["turn"] == asked)
        stray = end(asked, "stopped") if which % 2 else question(asked, "bob")
        log.insert(first + 1 + place % (len(log) - first), stray)
    return log


def fold(events: list[Event], make: Fold = Conversation) -> Conversation:
    conversation = make()
    for id, event in enumerate(events):
        conversation.apply(id, event)
    return conversation


def picture_of(turn: Turn) -> dict[str, Any]:
    """All that anybody is shown of a turn."""
    names = ("id", "worker", "question", "answer", "reasoning", "status", "error")
    return {name: getattr(turn, name) for name in names}


def picture(conversation: Conversation) -> Picture:
    return [picture_of(turn) for turn in conversation.turns]


def ids_of(events: list[Event]) -> list[str]:
    return sorted({event["turn"] for event in events})
