"""Bounded conversations: A03 and A04 of the fault list. What counts is counted, nothing is timed."""

import asyncio
from dataclasses import replace

import pytest

import nodes
from chat.conversation import Event
from chat.frames import Frame
from chat.sqlite_log import SqliteLog
from tests.support import eventually
from tests.support.fake_model import FakeModel
from tests.support.logs import end, question
from tests.support.page import LIMIT, Page, served
from tests.support.rooms import SETTINGS, app_rooms, ended, stored
from tests.test_sqlite_log import files_hold

KIB = 1024
EMOJI = "\N{GRINNING FACE}"


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> FakeModel:
    model = FakeModel()
    monkeypatch.setattr(nodes, "stream_llm", model)
    return model


async def write_turns(log: SqliteLog, count: int, asked: str, answer: str = "Once") -> list[str]:
    """A conversation "c" of so many finished turns; their ids."""
    ids = [f"t{n}" for n in range(count)]
    events: list[Event] = []
    for id in ids:
        events += [question(id, content=asked), end(id, "done", [answer])]
    await asyncio.gather(*(log.append("c", event) for event in events))
    return ids


async def test_A03_a_full_conversation_takes_only_what_still_fits(model: FakeModel, ann: SqliteLog) -> None:
    model.may_go_on.set()
    await write_turns(ann, 1, "a" * 50, "b" * 40)
    settings = replace(SETTINGS, max_conversation_chars=100)
    async with served(Page("c"), app_rooms(ann), settings) as page:
        page.ask("large", "c" * 11)
        refused = await page.gets("error")
        assert (refused["code"], refused["turn"], refused["retry"]) == ("conversation_full", "large", False)
        assert (await page.gets("end"))["turn"] == "large"
        page.ask("fits", "c" * 10)
        assert (await page.gets("end", 2))["status"] == "done"
        # An edit drops what it replaces.
        page.ask("edit", "c" * 100, replaces="t0")
        assert (await page.gets("end", 3))["status"] == "done"


async def test_A03_pages_are_small_and_lead_back_to_the_first_turn(ann: SqliteLog) -> None:
    ids = await write_turns(ann, 120, EMOJI * 16_000)
    async with served(Page("c"), app_rooms(ann)) as page:
        history = await page.gets("history")
        seen = [turn["id"] for turn in history["turns"]]
        more, count = history["earlier"], 0
        while more:
            count += 1
            page.send({"type": "earlier", "before": seen[0]})
            earlier = await page.gets("earlier", count)
            assert earlier["before"] == seen[0]
            seen = [turn["id"] for turn in earlier["turns"]] + seen
            more = earlier["earlier"]
    assert seen == ids
    assert max(page.sizes) <= 256 * KIB
    assert count >= 120 * 16_000 * 4 // (256 * KIB)


async def test_A03_resuming_costs_what_is_new(ann: SqliteLog) -> None:
    ids = await write_turns(ann, 1000, "a" * 1000, "b" * 1000)
    after = {"turn": ids[-2], "status": "done", "chars": 1000}
    async with served(Page("c", {**after, "turn": ids[-1]}), app_rooms(ann)) as page:
        assert await page.gets("history") == {"type": "history", "turns": [], "after": ids[-1]}
        assert sum(page.sizes) < 2 * KIB
    async with served(Page("c", after), app_rooms(ann)) as page:
        history = await page.gets("history")
        assert ([turn["id"] for turn in history["turns"]], history["after"]) == ([ids[-1]], ids[-2])


@pytest.mark.parametrize("wrong", [{"status": "stopped"}, {"chars": 999}, {"turn": "unknown"}], ids=str)
async def test_A03_who_has_something_else_gets_the_newest_page(wrong: Frame, ann: SqliteLog) -> None:
    ids = await write_turns(ann, 1000, "a" * 1000, "b" * 1000)
    after = {"turn": ids[-1], "status": "done", "chars": 1000, **wrong}
    async with served(Page("c", after), app_rooms(ann)) as page:
        history = await page.gets("history")
    assert "after" not in history
    assert history["earlier"] is True
    shown = [turn["id"] for turn in history["turns"]]
    assert 10 < len(shown) < 50
    assert shown == ids[-len(shown) :]


# A04: edits


async def test_A04_turns_that_were_edited_away_leave_the_log(model: FakeModel, ann: SqliteLog, path: str) -> None:
    model.may_go_on.set()
    async with app_rooms(ann).enter("c") as (room, writers):
        for n in range(100):
            await writers.ask(f"t{n}", "secret " * 100, replaces=f"t{n - 1}" if n else "")
            assert await ended(room, f"t{n}") == "done"
        assert await eventually(lambda: writers.are_idle, LIMIT)
        rows = await ann.read("c", None)
        assert len({event["turn"] for _, event in rows}) <= 3
        assert len(rows) <= 12
    # Also for somebody who knows only the log.
    async with app_rooms(ann).enter("c") as (room, writers):
        for n in (0, 50, 98):
            await writers.ask(f"t{n}", "Once more?")
        assert [turn.id for turn in room.conversation.turns] == ["t99"]
        assert len(model.asked) == 100
        await writers.delete()
    assert (await stored(ann)).turns == []
    assert await eventually(lambda: not files_hold("secret", path), LIMIT)
