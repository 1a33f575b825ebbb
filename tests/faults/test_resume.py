"""Clients that come back: N09-N12 and N18 of the fault list, and what they may do to a conversation.

Nothing that was seen or sent is lost, each exactly once (K), in every tab and through every worker. `other` is a
second worker on the same store, which says that a worker is dead after a second.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support import Call, FakeOpenAI, Server, Usage, dialogue, echo, eventually, script
from tests.support.resuming import LEASE, Tab, on_sqlite, tabs, worker
from tests.support.store import rows_with
from tests.support.telling import as_told, begin, questions, tell, telling, text

AT_ONCE = 1.0  # seconds
ALL = 60  # pieces of a whole reply
SENTENCE = "How long is the coast of Norway?"  # that no other test says


@pytest.fixture(scope="module")
async def server(openai: FakeOpenAI, store: str) -> AsyncIterator[Server]:
    async with worker(openai, store, watched=True) as server:
        yield server


@pytest.fixture(params=["the_same_worker", "another_worker"])
def second(request: pytest.FixtureRequest, server: Server, other: Server) -> Server:
    """Where the second tab, or the second try, goes to."""
    return server if request.param == "the_same_worker" else other


@pytest.fixture
async def tab(server: Server) -> AsyncIterator[Tab]:
    async with Tab(server) as tab:
        yield tab


@pytest.fixture
async def twin(tab: Tab, second: Server) -> AsyncIterator[Tab]:
    """The same conversation in another tab."""
    async with Tab(second, tab.conversation) as twin:
        yield twin


async def test_N09_after_a_loss_mid_answer_nothing_is_missing_or_doubled(
    openai: FakeOpenAI, tab: Tab, server: Server, second: Server
) -> None:
    id, call = await begin(openai, tab, 20)
    tab.drop()
    await tell(call, 20, 30)
    async with Tab(second, tab.conversation) as again:
        assert again.turns[0].question == "Tell me a story."
        assert again.turns[0].answer.startswith(text(0, 20))
        await again.sees(id, text(0, 30))
        await tell(call, 30, ALL)
        await call.finish()
        assert (await again.ended(id)).whole == text(0, ALL)
        assert again.histories == 1
    async with Tab(server, tab.conversation) as later:
        assert later.turns == again.turns


async def test_N09_whenever_it_is_lost_every_picture_begins_the_same_story(
    openai: FakeOpenAI, tab: Tab, server: Server, other: Server
) -> None:
    openai.answers(telling(400, pause=0.005))
    await tab.sees(await tab.ask("Tell me a story."), text(0, 1))
    pictures = 0
    while tab.turns[0].status == "open":
        before = tab.turns[0].answer
        async with Tab(random.choice([server, other]), tab.conversation) as tab:
            assert tab.turns[0].answer.startswith(before)
            more = len(tab.turns[0].answer) + random.randrange(300)
            await tab.until(lambda: tab.turns[0].status != "open" or len(tab.turns[0].answer) > more)  # noqa: B023
            assert text(0, 400).startswith(tab.turns[0].answer)
            tab.drop()
        pictures += 1
    assert tab.turns[0].whole == text(0, 400)
    assert pictures > 5


async def test_N10_the_same_message_id_again_is_answered_once(openai: FakeOpenAI, tab: Tab, twin: Tab) -> None:
    calls = len(openai.calls)
    openai.answers(as_told)
    id = await tab.ask("one")
    await tab.ask("one", id=id)
    call = await openai.next_call()
    await tell(call, 0, 1)
    await twin.ask("one", id=id)
    await call.finish()
    await twin.ended(id)
    await twin.ask("one", id=id)
    openai.answers(echo)
    await twin.answered("two")
    for each in (tab, twin):
        await each.until(lambda: [turn.status for turn in each.turns] == ["done", "done"])  # noqa: B023
        assert [turn.question for turn in each.turns] == ["one", "two"]
        assert [turn.answer for turn in each.turns] == [text(0, 1), "You said: two"]
    assert questions(openai, calls) == ["one", "two"]


async def test_N10_one_message_through_two_workers_is_answered_once(
    openai: FakeOpenAI, tab: Tab, other: Server
) -> None:
    openai.answers(echo)
    calls = len(openai.calls)
    async with Tab(other, tab.conversation) as twin:
        for number in range(20):
            id = f"number-{number}"
            await asyncio.gather(tab.ask(id, id=id), twin.ask(id, id=id))
            for each in (tab, twin):
                assert (await each.ended(id)).whole == f"You said: {id}"
        assert len(tab.turns) == len(twin.turns) == 20
    assert questions(openai, calls) == [f"number-{number}" for number in range(20)]


async def test_N11_two_tabs_see_the_same_and_a_stop_in_one_stops_both(openai: FakeOpenAI, tab: Tab, twin: Tab) -> None:
    id, call = await begin(openai, tab)
    for end in range(1, 10):
        await tell(call, end - 1, end)
        assert await tab.sees(id, text(0, end), AT_ONCE) == await twin.sees(id, text(0, end), AT_ONCE)
    await twin.stop()
    await call.closed(AT_ONCE)
    for each in (tab, twin):
        turn = await each.ended(id, AT_ONCE)
        assert (turn.question, turn.answer, turn.status) == ("Tell me a story.", text(0, 9), "stopped")
    openai.answers(echo)
    await twin.answered("And then?")
    assert (await tab.ended(twin.turns[-1].id)).whole == "You said: And then?"


async def test_N11_messages_of_two_tabs_are_answered_one_by_one(openai: FakeOpenAI, tab: Tab, twin: Tab) -> None:
    one, call = await begin(openai, tab)
    await twin.sees(one, "")
    two = await twin.ask("two")
    await twin.settled()
    three = await tab.ask("three")
    await tab.settled()
    openai.answers(echo)
    await call.finish()
    for each in (tab, twin):
        for id in (one, two, three):
            await each.ended(id)
        assert [turn.question for turn in each.turns] == ["Tell me a story.", "two", "three"]
    assert tab.turns == twin.turns


async def test_N12_100_clients_that_come_back_at_once_lose_nothing(openai: FakeOpenAI, server: Server) -> None:
    back = asyncio.Event()
    openai.answers(script(text(0, 10), lambda _: back.wait(), text(10, 20), Call.finish))
    async with tabs(server, [None] * 100) as before:
        ids = [await tab.ask("Tell me a story.") for tab in before]
        for tab, id in zip(before, ids, strict=True):
            await tab.sees(id, text(0, 10))
            tab.drop()
        async with tabs(server, [tab.conversation for tab in before]) as after:
            assert {tab.turns[0].answer for tab in after} == {text(0, 10)}
            back.set()
            for tab, id in zip(after, ids, strict=True):
                assert (await tab.ended(id)).whole == text(0, 20)
                assert len(tab.turns) == 1


@on_sqlite
async def test_N18_a_client_that_slept_sees_all_when_it_wakes(openai: FakeOpenAI, tab: Tab, server: Server) -> None:
    openai.answers(telling(ALL, pause=0))
    id = await tab.ask("Tell me a story.")
    await tab.sees(id, "")
    tab.socket.transport.pause_reading()
    async with Tab(server, tab.conversation) as awake:
        assert (await awake.ended(id)).whole == text(0, ALL)
    tab.drop()


async def test_a_silent_model_is_not_taken_for_a_dead_worker(openai: FakeOpenAI, tab: Tab, other: Server) -> None:
    id, call = await begin(openai, tab, 1)
    async with Tab(other, tab.conversation) as twin:
        with pytest.raises(AssertionError, match="not seen within"):
            await twin.ended(id, limit=LEASE * 3)
        await tell(call, 1, 2)
        await call.finish()
        assert (await twin.ended(id)).whole == text(0, 2)


@on_sqlite
async def test_waiting_messages_are_answered_in_order_without_those_taken_back(openai: FakeOpenAI, tab: Tab) -> None:
    openai.answers(as_told)
    one, two, three, four = [await tab.ask(number) for number in ("one", "two", "three", "four")]
    first = await openai.next_call()
    await tab.stop(three)
    await tab.until(lambda: [turn.id for turn in tab.turns] == [one, two, four])
    await tab.stop()
    second = await openai.next_call()
    openai.answers(echo)
    await second.finish()
    ended = [await tab.ended(id) for id in (one, two, four)]
    assert [turn.status for turn in ended] == ["stopped", "done", "done"]
    assert ended[2].answer == "You said: four"
    assert tab.turn(three) is None
    assert not first.is_open
    assert openai.calls[-1].messages == dialogue("four")


async def test_a_reply_goes_on_without_its_browser(openai: FakeOpenAI, tab: Tab, server: Server) -> None:
    one, call = await begin(openai, tab)
    two = await tab.ask("two")
    await tab.settled()
    tab.drop()
    openai.answers(echo)
    await tell(call, 0, ALL)
    await call.finish()
    assert (await openai.next_call()).question == "two"
    async with Tab(server, tab.conversation) as again:
        assert (await again.ended(one)).whole == text(0, ALL)
        assert (await again.ended(two)).whole == "You said: two"


async def test_a_reply_that_nobody_reads_through_any_worker_is_interrupted(openai: FakeOpenAI, store_url: str) -> None:
    def patient() -> Server:
        return worker(openai, store_url, ORPHAN_SECONDS="0.5")

    async with patient() as server, patient() as reading:
        async with Tab(server) as tab:
            id, call = await begin(openai, tab, 20)
            await asyncio.sleep(0.8)  # Somebody watches: this is no time alone.
            assert call.is_open
            async with Tab(reading, tab.conversation) as elsewhere:
                tab.drop()
                await asyncio.sleep(0.8)  # Somebody still does, and only the other worker knows.
                assert call.is_open
                elsewhere.drop()
        await call.closed(0.5 + AT_ONCE)
        async with Tab(server, tab.conversation) as again:
            turn = await again.ended(id)
            assert (turn.answer, turn.status) == (text(0, 20), "interrupted")


async def test_deleting_leaves_no_row_and_every_tab_empty(openai: FakeOpenAI, tab: Tab, twin: Tab, store: str) -> None:
    openai.answers(echo)
    await tab.answered(SENTENCE)
    await tab.answered(SENTENCE)
    await twin.until(lambda: [turn.status for turn in twin.turns] == ["done", "done"])
    assert rows_with(SENTENCE, store)
    await twin.delete()
    await is_deleted(tab, twin, store)
    assert rows_with(SENTENCE, store) == []
    assert (await tab.answered("Hello again.")).whole == "You said: Hello again."
    assert openai.calls[-1].messages == dialogue("Hello again.")


async def test_deleting_stops_what_is_being_written_and_leaves_no_row_of_it(
    openai: FakeOpenAI, tab: Tab, twin: Tab, store: str, server: Server
) -> None:
    openai.answers(telling(10_000, pause=0.001))
    for times in range(5):
        id = await tab.ask("Tell me a story.")
        call = await openai.next_call()
        await twin.sees(id, text(0, 5 + times))
        await twin.delete()
        await call.closed(AT_ONCE)
        await is_deleted(tab, twin, store)
    async with Tab(server, tab.conversation) as later:
        # Another process may not have noticed yet.
        await later.until(lambda: not later.turns, AT_ONCE)


async def test_deleting_forgets_waiting_messages(
    openai: FakeOpenAI, tab: Tab, twin: Tab, store: str, server: Server
) -> None:
    calls = len(openai.calls)
    before = await server.usage()
    await begin(openai, tab)
    await tab.ask("two")
    await tab.settled()
    await twin.delete()
    await is_deleted(tab, twin, store)
    await tab.settled()
    await server.comes_back_to(Usage(1000, before.tasks))
    assert questions(openai, calls) == ["Tell me a story."]


async def is_deleted(tab: Tab, twin: Tab, store: str) -> None:
    for each in (tab, twin):
        await each.until(lambda: each.histories > 1 and not each.turns, AT_ONCE)  # noqa: B023
    assert await eventually(lambda: not rows_with(tab.conversation, store))


async def test_an_edit_replaces_the_turn_and_all_after_it_in_every_tab(openai: FakeOpenAI, tab: Tab, twin: Tab) -> None:
    openai.answers(echo)
    await tab.answered("one")
    two = (await tab.answered("two")).id
    await tab.answered("three")
    await twin.until(lambda: [turn.status for turn in twin.turns] == ["done"] * 3)
    edit = await tab.ask("two, but better", replaces=two)
    for each in (tab, twin):
        assert (await each.ended(edit)).whole == "You said: two, but better"
        assert [turn.question for turn in each.turns] == ["one", "two, but better"]
        assert each.histories > 1
    assert openai.calls[-1].messages == dialogue("one", "You said: one", "two, but better")


async def test_an_edit_of_the_turn_being_written_ends_its_reply(openai: FakeOpenAI, tab: Tab, twin: Tab) -> None:
    id, call = await begin(openai, tab, 5)
    await twin.sees(id, text(0, 5))
    openai.answers(echo)
    edit = await twin.ask("Tell me a joke.", replaces=id)
    await call.closed(AT_ONCE)
    for each in (tab, twin):
        assert (await each.ended(edit)).whole == "You said: Tell me a joke."
        assert [turn.id for turn in each.turns] == [edit]
    assert openai.calls[-1].messages == dialogue("Tell me a joke.")


async def test_the_limits_of_messages_and_connections_lose_nothing(openai: FakeOpenAI, tmp_path: Path) -> None:
    openai.answers(echo)
    strict = worker(
        openai,
        f"sqlite:///{tmp_path}/chat.db",
        MESSAGES_PER_MINUTE="3",
        MAX_CONVERSATION_CHARS="70",
        MAX_CONNECTIONS="2",
    )
    async with strict as server, Tab(server) as idle:
        async with Tab(server) as tab:
            ids = [await tab.ask(number) for number in ("one", "two", "three")]
            await tab.ask("one", id=ids[0])  # A repeated message counts once.
            four = await tab.ask("four")
            await tab.settled()
            assert tab.refused[four] == "rate_limited"
            for id in ids:
                await tab.ended(id)
            async with server.client() as third:
                assert await third.close_code() == 1013
        async with Tab(server, tab.conversation) as again:
            assert [turn.question for turn in again.turns] == ["one", "two", "three"]
            assert (await again.answered("four", id=four)).whole == "You said: four"
            five = await again.ask("five")
            await again.until(lambda: five in again.refused)
            assert again.refused[five] == "conversation_full"
            assert (await again.answered("4", replaces=four)).whole == "You said: 4"  # An edit adds none.
            await again.delete()
            await again.until(lambda: not again.turns)
            assert (await again.answered("five", id=five)).whole == "You said: five"
        assert (await idle.answered("hi")).whole == "You said: hi"


async def test_a_plain_clients_conversation_leaves_no_row_after_it_left(openai: FakeOpenAI, store_url: str) -> None:
    openai.answers(echo)
    async with worker(openai, store_url) as server, server.client() as calm, server.client() as hasty:
        assert (await calm.reply(SENTENCE)).whole
        openai.answers(telling(10_000, pause=0.001))
        await hasty.say(SENTENCE)
        await hasty.say(SENTENCE)
        while (await hasty.frame())["type"] != "chunk":
            pass
        assert len(rows_with(SENTENCE, store_url)) >= 3
        hasty.socket.transport.abort()
        await calm.socket.close()
        assert await eventually(lambda: not rows_with('"turn"', store_url))


@on_sqlite
async def test_no_conversations_id_is_in_the_log_whatever_happens_to_it(
    openai: FakeOpenAI, tab: Tab, server: Server, other: Server
) -> None:
    openai.answers(lambda call: call.refuse(500))
    async with Tab(other, tab.conversation) as twin:
        id = (await tab.answered("hi")).id
        openai.answers(as_told)
        edit = await twin.ask("hi", replaces=id)
        await tab.sees(edit, "")
        await tab.stop()
        await twin.ended(edit)
        await twin.send("?")
        await twin.delete()
        await twin.until(lambda: not twin.turns)
        tab.drop()
    for log in (server.log, other.log):
        assert "WebSocket /ws" in log
        assert tab.conversation not in log
