"""The fold: whoever reads the same log gets the same conversation, however it is read and whatever comes twice."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import Phase, assume, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from chat.conversation import Conversation, Event
from tests.support.logs import (
    PLACES,
    QUICK,
    WILD,
    Fold,
    chunk,
    end,
    fold,
    ids_of,
    picture,
    picture_of,
    question,
    told,
)
from utils.pieces import Reasoning

# The promises. Each holds for a kind of fold and a log, or fails with AssertionError.


def text_only_grows(events: list[Event], make: Fold = Conversation) -> None:
    conversation = make()
    for id, event in enumerate(events):
        before = {turn.id: (turn.answer, turn.reasoning) for turn in conversation.turns}
        conversation.apply(id, event)
        for name, (answer, reasoning) in before.items():
            turn = conversation.turn(name)
            assert turn
            assert turn.answer.startswith(answer)
            assert turn.reasoning.startswith(reasoning)


def pieces_come_in_order_and_once(events: list[Event], make: Fold = Conversation) -> None:
    """For logs whose chunks are `<n>`."""
    for turn in fold(events, make).turns:
        assert "".join(piece.text for piece in turn.pieces) == "".join(f"<{n}>" for n in range(len(turn.pieces)))


def an_end_is_final(events: list[Event], make: Fold = Conversation) -> None:
    conversation = make()
    ended: dict[str, dict[str, Any]] = {}
    for id, event in enumerate(events):
        conversation.apply(id, event)
        for turn in filter(None, map(conversation.turn, ids_of(events))):
            if turn.status != "open":
                assert ended.setdefault(turn.id, picture_of(turn)) == picture_of(turn)


def the_owner_and_the_question_never_change(events: list[Event], make: Fold = Conversation) -> None:
    conversation = make()
    first: dict[str, tuple[str, str]] = {}
    for id, event in enumerate(events):
        if event["type"] == "user":
            first.setdefault(event["turn"], (event["worker"], event["content"]))
        conversation.apply(id, event)
        for name, asked in first.items():
            turn = conversation.turn(name)
            assert turn
            assert (turn.worker, turn.question) == asked
        ids = [turn.id for turn in conversation.turns]
        assert len(ids) == len(set(ids))


def an_event_twice_in_a_row_is_one(events: list[Event], make: Fold = Conversation) -> None:
    assert picture(fold([event for event in events for _ in range(2)], make)) == picture(fold(events, make))


def what_is_dropped_stays_dropped(events: list[Event], make: Fold = Conversation) -> None:
    conversation = make()
    dropped: set[str] = set()
    for id, event in enumerate(events):
        before = [turn.id for turn in conversation.turns]
        new = event["type"] == "user" and conversation.turn(event["turn"]) is None
        edits = conversation.edits
        waiting = [turn.id for last, turn in pairwise(conversation.turns) if last.status == turn.status == "open"]
        conversation.apply(id, event)
        after = [turn.id for turn in conversation.turns]
        if new and event.get("replaces") in before:
            at = before.index(event["replaces"])
            dropped |= set(before[at:])
            assert after == [*before[:at], event["turn"]]
            assert conversation.edits == edits + 1
        elif event["type"] == "end" and event["status"] == "stopped" and event["turn"] in waiting:
            dropped.add(event["turn"])
            assert after == [name for name in before if name != event["turn"]]
            assert conversation.edits == edits + 1
        else:
            assert after == [*before, event["turn"]] if new else after == before
            assert conversation.edits == edits
        assert not dropped & set(after)
        assert all(turn.status != "open" for turn in map(conversation.turn, dropped) if turn)


EVERYWHERE = [
    text_only_grows,
    pieces_come_in_order_and_once,
    an_end_is_final,
    the_owner_and_the_question_never_change,
    an_event_twice_in_a_row_is_one,
    what_is_dropped_stays_dropped,
]


@pytest.mark.parametrize("holds", EVERYWHERE, ids=lambda promise: promise.__name__)
def test_the_fold_keeps_its_promises_for_any_log(holds: Callable[[list[Event]], None]) -> None:
    @QUICK
    @given(WILD)
    def any_log(events: list[Event]) -> None:
        holds(events)

    any_log()


@QUICK
@given(WILD, PLACES)
def test_repeating_an_event_that_counted_changes_nothing_wherever_it_comes_again(
    events: list[Event], repeats: list[tuple[int, int]]
) -> None:
    """An event that came too early may count when it comes again; one that counted never does."""
    conversation, counted = Conversation(), []
    for id, event in enumerate(events):
        before = picture(conversation)
        conversation.apply(id, event)
        if picture(conversation) != before:
            counted.append(id)
    assume(counted)
    again = list(enumerate(events))
    for which, later in repeats:
        id = counted[which % len(counted)]
        first = next(at for at, (known, _) in enumerate(again) if known == id)
        again.insert(first + 1 + later % (len(again) - first), (id, events[id]))
    assert picture(fold([event for _, event in again])) == picture(conversation)


@QUICK
@given(told(), PLACES)
def test_repeating_any_event_of_a_worker_changes_nothing(events: list[Event], repeats: list[tuple[int, int]]) -> None:
    again = list(events)
    for which, later in repeats:
        first = which % len(again)
        again.insert(first + 1 + later % (len(again) - first), again[first])
    assert picture(fold(again)) == picture(fold(events))


@QUICK
@given(told(), st.lists(st.tuples(st.integers(1, 6), st.integers(0, 8)), max_size=20))
def test_two_readers_of_one_log_agree_however_they_read_it(events: list[Event], batches: list[tuple[int, int]]) -> None:
    """Also one that begins a batch with what it has read before: its cursor is an event that it knows."""
    conversation, known = Conversation(), 0
    for size, back in [*batches, (len(events), 1)]:
        for id in range(max(known - back, 0), min(known + size, len(events))):
            conversation.apply(id, events[id])
        known = min(known + size, len(events))
    assert picture(conversation) == picture(fold(events))


@QUICK
@given(told(), st.data())
def test_spare_events_may_leave_the_log_in_any_order(events: list[Event], data: st.DataObject) -> None:
    """Chunks whose text the end has, and turns that an edit dropped; a repeated question does not come back."""
    conversation, log = Conversation(), []
    for place, event in enumerate(events):
        if "replaces" in event:
            event = {**event, "drops": conversation.drops(event["replaces"])}
        log.append(event)
        conversation.apply(place, event)
    spare = conversation.spare_places()
    gone = data.draw(st.sets(st.sampled_from(spare))) if spare else set()
    stays = [event for place, event in enumerate(log) if place not in gone]
    assert picture(fold(stays)) == picture(conversation)
    assert picture(fold([*stays, *(event for event in log if event["type"] == "user")])) == picture(conversation)


@pytest.mark.parametrize("read", range(4))
def test_the_end_brings_whatever_is_missing_of_its_text(read: int) -> None:
    pieces = [Reasoning("Hm"), "So", " be it"]
    chunks = [chunk("t0", n, piece) for n, piece in enumerate(pieces)]
    (turn,) = fold([question("t0"), *chunks[:read], end("t0", "done", pieces)]).turns
    assert (turn.reasoning, turn.answer) == ("Hm", "So be it")


def test_a_later_question_does_not_join_the_texts_before_it_again() -> None:
    chunks = [chunk("t0", n, "word ") for n in range(1000)]
    conversation = fold([question("t0"), *chunks, end("t0", "done")])
    (turn,) = conversation.turns
    text = turn.answer
    assert text == "word " * 1000
    conversation.apply(len(chunks) + 2, question("t1"))
    _, answer = conversation.history(conversation.turns[1], 100_000)
    assert answer["content"] is text
    assert conversation.size() == len(text) + sum(len(turn.question) for turn in conversation.turns)


def test_an_edit_drops_that_turn_and_all_after_it() -> None:
    turns = [question("t0"), end("t0", "done"), question("t1"), chunk("t1", 0, "So"), question("t2")]
    conversation = fold([*turns, question("t3", replaces="t1"), chunk("t1", 1, " late"), end("t2", "done")])
    assert [turn.id for turn in conversation.turns] == ["t0", "t3"]
    assert conversation.current is conversation.turn("t3")
    dropped = conversation.turn("t1")
    assert dropped
    assert (dropped.answer, dropped.status) == ("So", "stopped")


def test_the_current_turn_is_the_first_that_has_not_ended() -> None:
    conversation = fold([question("t0"), question("t1"), end("t0", "stopped")])
    assert conversation.current is conversation.turn("t1")
    conversation.apply(3, end("t1", "done"))
    assert conversation.current is None


def test_a_question_that_is_stopped_before_its_reply_began_is_taken_back() -> None:
    events = [
        question("t0"),
        question("t1"),
        question("t2"),
        end("t1", "stopped"),
        question("t1"),
        end("t0", "stopped"),
    ]
    conversation = fold(events)
    assert [(turn.id, turn.status) for turn in conversation.turns] == [("t0", "stopped"), ("t2", "open")]
    assert conversation.knows("t1")


# Folds with a defect. The checks above are worth something only if they find each of them.


class ChunksInAnyOrder(Conversation):
    def apply(self, id: Any, event: Event) -> None:
        turn = self.turn(event["turn"])
        super().apply(id, event | {"n": len(turn.pieces)} if turn and event["type"] == "chunk" else event)


class ChunksAfterTheEnd(Conversation):
    def apply(self, id: Any, event: Event) -> None:
        turn = self.turn(event["turn"])
        if not turn or event["type"] != "chunk":
            return super().apply(id, event)
        status, turn.status = turn.status, "open"
        super().apply(id, event)
        turn.status = status


class TheLastEndWins(Conversation):
    def apply(self, id: Any, event: Event) -> None:
        turn = self.turn(event["turn"])
        if turn and event["type"] == "end":
            turn.status = "open"
        super().apply(id, event)


class TheLastQuestionWins(Conversation):
    def apply(self, id: Any, event: Event) -> None:
        turn = self.turn(event["turn"])
        if turn and event["type"] == "user":
            turn.worker, turn.question = event["worker"], event["content"]
        super().apply(id, event)


class EachQuestionIsATurn(Conversation):
    def apply(self, id: Any, event: Event) -> None:
        turn = self.turn(event["turn"])
        super().apply(id, event)
        if turn and event["type"] == "user":
            self.turns.append(turn)


class EditsDropNothing(Conversation):
    def apply(self, id: Any, event: Event) -> None:
        super().apply(id, {key: value for key, value in event.items() if key != "replaces"})


class DroppedTurnsComeBack(Conversation):
    def apply(self, id: Any, event: Event) -> None:
        super().apply(id, event)
        turn = self.turn(event["turn"])
        if turn and event["type"] == "chunk" and turn not in self.turns:
            self.turns.append(turn)


DEFECTS: list[tuple[Fold, Callable[[list[Event], Fold], None]]] = [
    (ChunksInAnyOrder, pieces_come_in_order_and_once),
    (ChunksInAnyOrder, an_event_twice_in_a_row_is_one),
    (ChunksAfterTheEnd, an_end_is_final),
    (TheLastEndWins, an_end_is_final),
    (TheLastQuestionWins, the_owner_and_the_question_never_change),
    (EachQuestionIsATurn, the_owner_and_the_question_never_change),
    (EachQuestionIsATurn, an_event_twice_in_a_row_is_one),
    (EditsDropNothing, what_is_dropped_stays_dropped),
    (DroppedTurnsComeBack, what_is_dropped_stays_dropped),
]


@pytest.mark.parametrize(("defect", "holds"), DEFECTS, ids=lambda part: part.__name__)
def test_a_fold_with_this_defect_is_found_out(defect: Fold, holds: Callable[[list[Event], Fold], None]) -> None:
    def fails(events: list[Event]) -> bool:
        try:
            holds(events, defect)
        except AssertionError:
            return True
        return False

    try:
        find(WILD, fails, settings=settings(QUICK, max_examples=1000, phases=[Phase.generate]))
    except NoSuchExample:
        pytest.fail(f"{holds.__name__} cannot tell {defect.__name__} from the right one")
