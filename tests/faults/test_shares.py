"""Fair shares: A01, A02 and A05 of the fault list. What counts is counted, nothing is timed."""

import asyncio
import gzip
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

import nodes
from chat.client import Client
from chat.connection import FRAMES_AT_ONCE
from chat.sqlite_log import SqliteLog
from tests.support import Server, eventually
from tests.support.fake_model import FakeModel
from tests.support.frames import CONTINUATION, STOP, TEXT, frame
from tests.support.page import LIMIT, Page, served
from tests.support.raw_websocket import RawWebSocket
from tests.support.rooms import SETTINGS, app_rooms, ended, stored
from tests.support.server import ROOT
from utils.files import Files
from utils.turns import Turns


class Hanging:
    """A model that sends nothing, for ever."""

    def __init__(self) -> None:
        self.running = 0
        self.most = 0

    async def __call__(self, messages: Any) -> AsyncIterator[str]:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.Event().wait()
            yield ""
        finally:
            self.running -= 1


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> FakeModel:
    model = FakeModel()
    monkeypatch.setattr(nodes, "stream_llm", model)
    return model


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Hanging:
    hanging = Hanging()
    monkeypatch.setattr(nodes, "stream_llm", hanging)
    return hanging


# A01, A02: frames at full speed


async def test_A01_a_flood_of_valid_frames_is_closed_after_the_budget(ann: SqliteLog) -> None:
    async with served(Page(), app_rooms(ann)) as page:
        for _ in range(1000):
            page.send({"type": "stop"})
        assert await eventually(lambda: page.close_code, LIMIT) == 1008
        # What is left over when the connection is closed; the budget grows a little meanwhile.
        assert page._incoming.qsize() > 1000 - 2 * FRAMES_AT_ONCE


async def test_A01_a_page_that_comes_back_may_send_60_frames_at_once(ann: SqliteLog) -> None:
    async with served(Page(), app_rooms(ann)) as page:
        for _ in range(59):
            page.send({"type": "stop"})
        page.send({"type": "the last one"})
        await page.gets("error")
        assert page.close_code == 0


async def test_A01_a_flood_is_not_read_to_its_end(server: Server) -> None:
    async with RawWebSocket(server.ws_url) as client:
        with pytest.raises(ConnectionError):
            await client.send(STOP * 1_000_000)


async def test_A01_empty_fragments_are_limited(server: Server) -> None:
    async with RawWebSocket(server.ws_url) as client:
        await client.send_until_refused(frame(TEXT, fin=False) + frame(CONTINUATION, fin=False) * 5_000)
        assert await client.close_code() == 1009


async def test_A01_clients_are_parsed_in_turns_and_the_event_loop_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("utils.turns.TURN_SECONDS", 0)
    turns = Turns()
    order: list[str] = []

    class Flooding:
        def __init__(self, name: str, slices: int) -> None:
            self.name = name
            self.slices = slices

        def parse_slice(self) -> bool:
            order.append(self.name)
            self.slices -= 1
            return self.slices > 0

    clients: list[Any] = [Flooding("a", 3), Flooding("b", 1), Flooding("c", 2)]
    for client in [*clients, *clients]:
        turns.add(client)
    async with asyncio.timeout(LIMIT):
        while sum(client.slices for client in clients):
            order.append("|")
            await asyncio.sleep(0)
    assert re.sub(r"\|+", "|", "".join(order)).strip("|") == "a|b|c|a|c|a"


async def test_comments_in_modules_do_not_travel_and_lines_keep_their_numbers(server: Server) -> None:
    for name in ("page.js", "chat/session.js", "style.css"):
        source = (ROOT / "static" / name).read_text().splitlines()
        packed = await server.get(f"/static/{name}", 5.0, **{"Accept-Encoding": "gzip"})
        lines = gzip.decompress(packed.body).decode().splitlines()
        changed = [line.strip() for line, sent in zip(source, lines, strict=True) if line != sent]
        assert len(changed) > 5
        assert all(line.startswith(("//", "/*", "*")) for line in changed)
        assert not any(line.strip().startswith(("//", "/*")) for line in lines)
        assert (await server.get(f"/static/{name}")).body.decode().splitlines() == source


async def test_A02_a_file_is_compressed_once(server: Server) -> None:
    for path, name in {"/": "index.html", "/static/icon.svg": "icon.svg"}.items():
        content = (ROOT / "static" / name).read_bytes()
        packed = await server.get(path, 5.0, **{"Accept-Encoding": "gzip"})
        assert packed.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(packed.body) == content
        plain = await server.get(path)
        assert (plain.body, plain.headers["Content-Encoding"]) == (content, None)
        known = await server.get(path, 5.0, **{"Accept-Encoding": "gzip", "If-None-Match": packed.headers["ETag"]})
        assert (known.status, known.body) == (304, b"")
    files = Files(ROOT / "static")
    scope = {"type": "http", "method": "GET", "headers": [(b"accept-encoding", b"gzip")]}
    first, second = [await files.get_response("page.js", scope) for _ in range(2)]
    assert first.body is second.body


async def test_A02_repeats_of_a_message_are_answered_once_and_closed_too(model: FakeModel, ann: SqliteLog) -> None:
    model.may_go_on.set()
    async with served(Page(), app_rooms(ann)) as page:
        for _ in range(300):
            page.ask("t0", "a" * 16_000)
        assert await eventually(lambda: page.close_code, LIMIT) == 1008
        conversation = page.frames[0]["id"]
    assert await eventually(lambda: len(model.asked) == 1, LIMIT)
    assert [event["type"] for _, event in await ann.read(conversation, None)].count("user") == 1


# A05: replies at a time

FEW = replace(SETTINGS, max_replies=8)


async def test_A05_clients_that_left_make_room_for_the_next_person(hanging: Hanging, ann: SqliteLog) -> None:
    rooms = app_rooms(ann, FEW)
    for _ in range(50):
        async with served(Page(), rooms, FEW) as page:
            page.ask("t0")
            await page.gets("start")
    assert hanging.most <= FEW.max_replies + 1
    assert 0 < hanging.running <= FEW.max_replies
    await rooms.drain(0)


async def test_A05_readers_keep_their_replies_and_the_next_one_is_told(hanging: Hanging, ann: SqliteLog) -> None:
    rooms = app_rooms(ann, FEW)
    pages: list[Any] = [Page() for _ in range(FEW.max_replies)]
    running = [asyncio.create_task(Client(page, rooms, FEW).run()) for page in pages]
    for page in pages:
        page.ask("t0")
        await page.gets("start")
    async with served(Page(), rooms, FEW) as late:
        late.ask("t9")
        error = await late.gets("error")
        assert (error["code"], error["retry"], error["turn"]) == ("busy", True, "t9")
        end = await late.gets("end")
        assert (end["status"], end["turn"]) == ("error", "t9")
        # When one of them has stopped its reply, there is a place.
        pages[0].send({"type": "stop"})
        await pages[0].gets("end")
        late.ask("t9")
        await late.gets("start")
    assert hanging.most == FEW.max_replies
    for page in pages:
        page.leave()
    async with asyncio.timeout(LIMIT):
        await asyncio.gather(*running)
    await rooms.drain(0)


async def test_A05_a_reply_without_text_and_reader_ends_one_with_text_goes_on(
    model: FakeModel, ann: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chat.watchdog.UNSTARTED_SECONDS", 0.05)
    rooms = app_rooms(ann)
    async with served(Page("begun"), rooms) as begun:
        begun.ask("t0")
        await begun.gets("chunk")
    monkeypatch.setattr(nodes, "stream_llm", Hanging())
    async with served(Page("unbegun"), rooms) as unbegun:
        unbegun.ask("t0")
        await unbegun.gets("start")
    async with rooms.enter("unbegun", reading=False) as (room, _):
        assert await ended(room, "t0") == "interrupted"
    async with rooms.enter("begun", reading=False) as (room, _):
        assert room.conversation.is_open("t0")
        model.may_go_on.set()
        assert await ended(room, "t0") == "done"


async def test_A05_100_clients_that_lose_their_connection_lose_no_reply(model: FakeModel, ann: SqliteLog) -> None:
    rooms = app_rooms(ann)
    pages: list[Any] = [Page(f"c{n}") for n in range(100)]
    running = [asyncio.create_task(Client(page, rooms, SETTINGS).run()) for page in pages]
    for page in pages:
        page.ask("t0")
        await page.gets("chunk")
    for page in pages:
        page.leave()
    async with asyncio.timeout(LIMIT):
        await asyncio.gather(*running)
    model.may_go_on.set()
    assert await eventually(lambda: not rooms._open, LIMIT)
    for n in range(100):
        (turn,) = (await stored(ann, f"c{n}")).turns
        assert (turn.status, turn.answer) == ("done", "Once upon")
