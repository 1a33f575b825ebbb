"""What clients and the network do to a reply: N01-N08 and N13-N17 of the fault list, for plain clients.

A client that leaves takes its reply with it: the model's connection, the tasks and the descriptors are back within a
second (R). One that stays gets every answer whole and in order (L), and others notice nothing (O).
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from tests.faults.neighbour import but_answers_the_neighbour, call_of, question, undisturbed
from tests.faults.raw_websocket import CLOSE, STOP, TEXT, Json, RawWebSocket, frame, message
from tests.support import Call, FakeOpenAI, Server, Usage
from tests.support.fake_openai import Handler

RELEASED = 1.0  # Seconds until everything of a client that left is given back.
FILLING = 1.0  # Seconds for a fast model to fill all buffers to a frozen client.
SHUTDOWN = 8.0  # Seconds from SIGTERM to the end, however many clients are frozen.
KEEPALIVE = 45.0  # Seconds: 20 to the next ping, 20 for its pong, and some for a busy machine.
CLOSE_FRAME = frame(CLOSE, (1001).to_bytes(2, "big"))
NOTHING = Usage(0, 0)
LONG = "Once upon a time " * 60


@pytest.fixture(scope="module", autouse=True)
async def silent(openai: FakeOpenAI) -> AsyncIterator[list[RawWebSocket]]:
    """Clients that never answer a ping: they are silent from the first test of this file on, for N07."""
    async with (
        Server(openai.url) as server,
        RawWebSocket(server.ws_url) as idle,
        RawWebSocket(server.ws_url) as in_a_frame,
    ):
        await in_a_frame.send(message("hi")[:10])
        yield [idle, in_a_frame]


@pytest.fixture(scope="module")
async def server(openai: FakeOpenAI) -> AsyncIterator[Server]:
    async with Server(openai.url, watched=True, MAX_REPLY_CHARS="1000000") as server:
        yield server


@pytest.fixture(scope="module")
async def at_rest(server: Server, openai: FakeOpenAI) -> Usage:
    return await warm(server, openai)


@pytest.fixture
async def client(server: Server, at_rest: Usage) -> AsyncIterator[RawWebSocket]:
    async with RawWebSocket(server.ws_url) as client:
        yield client


async def says_once_and_hangs(call: Call) -> None:
    await call.text("Once")
    await call.closed()


async def hangs_before_the_first_token(call: Call) -> None:
    await call.headers()
    await call.closed()


async def hangs_before_the_headers(call: Call) -> None:
    await call.closed()


async def echoes(call: Call) -> None:
    await call.text(f"You said: {question(call)}")
    await call.finish()


async def test_N01_a_close_frame_mid_stream_releases_everything(
    client: RawWebSocket, server: Server, openai: FakeOpenAI, at_rest: Usage
) -> None:
    async with released(server, openai, at_rest, says_once_and_hangs):
        await ask_and_see_once(client)
        await client.send(CLOSE_FRAME)
        assert await client.close_code() == 1001


async def test_N02_a_fin_mid_stream_releases_everything(
    client: RawWebSocket, server: Server, openai: FakeOpenAI, at_rest: Usage
) -> None:
    async with released(server, openai, at_rest, says_once_and_hangs):
        await ask_and_see_once(client)
        client.socket.shutdown(socket.SHUT_WR)


async def test_N03_a_reset_mid_stream_releases_everything(
    client: RawWebSocket, server: Server, openai: FakeOpenAI, at_rest: Usage
) -> None:
    async with released(server, openai, at_rest, says_once_and_hangs):
        await ask_and_see_once(client)
        client.reset()


async def test_N03_a_reset_into_a_fast_stream_releases_everything(
    client: RawWebSocket, server: Server, openai: FakeOpenAI, at_rest: Usage
) -> None:
    async def talks_fast(call: Call) -> None:
        while True:
            await call.text("Once")
            await asyncio.sleep(0)  # The neighbour lives in the same event loop.

    async with released(server, openai, at_rest, talks_fast):
        await ask_and_see_once(client)
        client.reset()


async def test_N03_the_waiting_messages_of_a_client_that_left_are_never_asked(
    client: RawWebSocket, server: Server, openai: FakeOpenAI, at_rest: Usage
) -> None:
    async with released(server, openai, at_rest, says_once_and_hangs):
        await client.send(message("hi") + message("second") + message("third"))
        assert [(await client.next())["type"] for _ in range(2)] == ["start", "chunk"]
        client.reset()
    assert not {"second", "third"} & {question(call) for call in openai.calls}


async def test_N04_leaving_before_the_first_token_releases_everything(
    client: RawWebSocket, server: Server, openai: FakeOpenAI, at_rest: Usage
) -> None:
    async with released(server, openai, at_rest, hangs_before_the_first_token):
        await client.send(message("hi"))
        await client.next()
        client.socket.shutdown(socket.SHUT_WR)


async def test_N05_leaving_while_the_model_hangs_releases_everything(
    client: RawWebSocket, server: Server, openai: FakeOpenAI, at_rest: Usage
) -> None:
    async with released(server, openai, at_rest, hangs_before_the_headers):
        await client.send(message("hi"))
        await client.next()
        client.reset()


async def test_N06_a_frozen_client_with_full_buffers_loses_its_reply_and_sigterm_does_not_hang(
    openai: FakeOpenAI,
) -> None:
    async def never_ends(call: Call) -> None:
        while True:
            await call.text(LONG)
            await asyncio.sleep(0)

    async with Server(openai.url, watched=True, SEND_SECONDS="1", MAX_REPLY_CHARS="10000000") as server:
        at_rest = await warm(server, openai)
        openai.answers(but_answers_the_neighbour(never_ends))
        async with RawWebSocket(server.ws_url, receive_buffer=4096) as frozen:
            async with undisturbed(server):
                await frozen.send(message("hi"))
                await is_left(await call_of(openai, "hi"), limit=1 + RELEASED + FILLING)
            assert (await held(server, openai, at_rest)).tasks <= at_rest.tasks
            server.terminate()
            await server.stopped(SHUTDOWN)


async def test_N06_sigterm_does_not_hang_on_a_send_to_a_frozen_client(openai: FakeOpenAI) -> None:
    sent = 0

    async def never_ends(call: Call) -> None:
        nonlocal sent
        while True:
            await call.text(LONG)
            await asyncio.sleep(0)
            sent += 1

    openai.answers(never_ends)
    async with (
        Server(openai.url, SEND_SECONDS="60", MAX_REPLY_CHARS="10000000", GRACE_SECONDS="1") as server,
        RawWebSocket(server.ws_url, receive_buffer=4096) as frozen,
    ):
        await frozen.send(message("hi"))
        await stands_still(lambda: sent)
        server.terminate()
        await server.stopped(SHUTDOWN)


async def test_N08_a_slow_reader_gets_everything_and_slows_nobody(server: Server, openai: FakeOpenAI) -> None:
    pieces = [f"{number:1000}" for number in range(500)]  # Twice what all buffers on the way hold.

    async def talks_much(call: Call) -> None:
        for piece in pieces:
            await call.text(piece)
        await call.finish()

    openai.answers(but_answers_the_neighbour(talks_much))
    async with undisturbed(server), RawWebSocket(server.ws_url, receive_buffer=4096) as slow:
        await slow.send(message("hi"))
        for _ in range(30):
            slow.unread += await asyncio.get_running_loop().sock_recv(slow.socket, 100)
            await asyncio.sleep(0.1)  # This is what 1 kB a second means.
        frames = await slow.until_end()
    assert frames[-1]["status"] == "done"
    assert "".join(frame["content"] for frame in frames) == "".join(pieces)


async def test_N13_a_stop_ends_the_reply_and_its_text_stays_in_the_history(
    client: RawWebSocket, openai: FakeOpenAI
) -> None:
    openai.answers(says_once_and_hangs)
    await ask_and_see_once(client)
    await client.send(STOP)
    assert status(await client.until_end()) == "stopped"
    await is_left(openai.calls[-1])
    openai.answers(echoes)
    await client.send(message("And then?"))
    assert text(await client.until_end()) == "You said: And then?"
    assert openai.calls[-1].request.body["messages"] == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "Once"},
        {"role": "user", "content": "And then?"},
    ]


async def test_N13_a_stop_before_the_first_token_leaves_nothing_empty_in_the_history(
    client: RawWebSocket, openai: FakeOpenAI
) -> None:
    openai.answers(hangs_before_the_headers)
    await client.send(message("hi"))
    call = await openai.next_call()
    await client.send(STOP)
    assert status(await client.until_end()) == "stopped"
    await is_left(call)
    openai.answers(echoes)
    await client.send(message("And then?"))
    assert text(await client.until_end()) == "You said: And then?"
    assert openai.calls[-1].request.body["messages"] == [{"role": "user", "content": "And then?"}]


async def test_N13_a_stop_in_the_packet_of_its_message_stops_it(client: RawWebSocket, openai: FakeOpenAI) -> None:
    openai.answers(says_once_and_hangs)
    await client.send(message("hi") + STOP)
    assert status(await client.until_end()) == "stopped"
    openai.answers(echoes)
    await client.send(message("And then?"))
    assert text(await client.until_end()) == "You said: And then?"


async def test_N14_a_second_stop_changes_nothing(client: RawWebSocket, openai: FakeOpenAI) -> None:
    openai.answers(says_once_and_hangs)
    await ask_and_see_once(client)
    await client.send(STOP + STOP)
    assert status(await client.until_end()) == "stopped"
    openai.answers(echoes)
    await client.send(message("And then?"))
    turn = await client.until_end()
    assert (turn[0]["type"], status(turn), text(turn)) == ("start", "done", "You said: And then?")


async def test_N14_a_stop_when_idle_changes_nothing(client: RawWebSocket, openai: FakeOpenAI) -> None:
    openai.answers(echoes)
    for _ in range(2):
        await client.send(STOP)
        await client.send(message("And then?"))
        turn = await client.until_end()
        assert (turn[0]["type"], status(turn), text(turn)) == ("start", "done", "You said: And then?")


async def test_N14_a_stop_right_at_the_end_gives_one_end(client: RawWebSocket, openai: FakeOpenAI) -> None:
    stopping = asyncio.Event()

    async def ends_when_stopped(call: Call) -> None:
        await call.text(question(call))
        await stopping.wait()
        await call.finish()

    for number in range(20):
        stopping.clear()
        openai.answers(ends_when_stopped)
        await client.send(message(f"number {number}"))
        seen = [await client.next(), await client.next()]
        stopping.set()
        for _ in range(number % 5):  # Every time a little later, to meet the end before, in and after.
            await asyncio.sleep(0)
        await client.send(STOP)
        seen += await client.until_end()
        assert (seen[0]["type"], text(seen)) == ("start", f"number {number}")
        assert status(seen) in ("done", "stopped")
    openai.answers(echoes)
    await client.send(message("And then?"))
    turn = await client.until_end()
    assert (turn[0]["type"], status(turn), text(turn)) == ("start", "done", "You said: And then?")


async def test_N15_a_message_at_the_instant_of_the_end_is_answered_like_any_other(
    client: RawWebSocket, openai: FakeOpenAI
) -> None:
    ending = asyncio.Event()

    async def ends_when_told(call: Call) -> None:
        await call.text(question(call))
        await ending.wait()
        await call.finish()

    for number in range(20):
        ending.clear()
        openai.answers(ends_when_told)
        await client.send(message(f"first {number}"))
        seen = [await client.next(), await client.next()]
        ending.set()
        for _ in range(number % 5):
            await asyncio.sleep(0)
        await client.send(message(f"second {number}"))
        seen += await client.until_end()
        assert (status(seen), text(seen)) == ("done", f"first {number}")
        turn = await client.until_end()
        assert (turn[0]["type"], status(turn), text(turn)) == ("start", "done", f"second {number}")


async def test_N16_messages_while_streaming_are_answered_in_order(client: RawWebSocket, openai: FakeOpenAI) -> None:
    all_sent = asyncio.Event()

    async def waits_for_all(call: Call) -> None:
        await all_sent.wait()
        await echoes(call)

    openai.answers(waits_for_all)
    numbers = ["one", "two", "three", "four"]
    await client.send(message(numbers[0]))
    assert (await client.next())["type"] == "start"
    for number in numbers[1:]:
        await client.send(message(number))
    all_sent.set()
    for number in numbers:
        turn = await client.until_end()
        assert (status(turn), text(turn)) == ("done", f"You said: {number}")
    asked = openai.calls[-1].request.body["messages"]
    assert [turn["content"] for turn in asked[::2]] == numbers
    assert [turn["content"] for turn in asked[1::2]] == [f"You said: {number}" for number in numbers[:-1]]


async def test_N16_a_message_that_is_refused_while_streaming_does_not_end_the_reply(
    client: RawWebSocket, openai: FakeOpenAI
) -> None:
    ending = asyncio.Event()

    async def ends_when_told(call: Call) -> None:
        await call.text("Once")
        await ending.wait()
        await call.text(" upon")
        await call.finish()

    openai.answers(ends_when_told)
    await ask_and_see_once(client)
    await client.send(frame(TEXT, b'{"type": "message", "content": " "}') + message("And then?"))
    refused = await client.next()
    assert (refused["type"], refused["code"]) == ("error", "bad_message")
    ending.set()
    turn = await client.until_end()
    assert (text(turn), status(turn)) == (" upon", "done"), turn
    assert text(await client.until_end()) == "Once upon"


async def test_N17_latency_and_sliced_frames_change_nothing(server: Server, openai: FakeOpenAI) -> None:
    openai.answers(echoes)
    content = "Grüße, 你好, 🙂 " * 40
    async with far_away(server.port) as url, RawWebSocket(url) as client:
        for _ in range(2):
            await client.send(message(content))
            turn = await client.until_end()
            assert (status(turn), text(turn)) == ("done", f"You said: {content}")


async def test_N07_a_silent_client_is_closed_by_the_keepalive_idle_or_in_a_frame(silent: list[RawWebSocket]) -> None:
    """Last in this file: most of its time has passed with the tests before."""
    for client in silent:
        assert await client.close_code(KEEPALIVE) == 1011


async def warm(server: Server, openai: FakeOpenAI) -> Usage:
    """What the server holds on to when it has answered once and everybody has left."""
    openai.says("Warm.")
    async with server.client() as client:
        await client.reply("hi")
    return await held(server, openai, NOTHING)


async def held(server: Server, openai: FakeOpenAI, at_rest: Usage) -> Usage:
    """What the server holds on to once that is no more than at rest, or else RELEASED seconds from now.

    The idle connections to the model that it keeps for the next call do not count.
    """
    until = asyncio.get_running_loop().time() + RELEASED
    while True:
        usage = await server.usage()
        usage = Usage(usage.descriptors - openai.open_connections, usage.tasks)
        if usage.within(at_rest) or asyncio.get_running_loop().time() > until:
            return usage
        await asyncio.sleep(0.01)


@asynccontextmanager
async def released(server: Server, openai: FakeOpenAI, at_rest: Usage, script: Handler) -> AsyncIterator[None]:
    """A client asks "hi" and leaves in the body: then everything that was its is given back."""
    openai.answers(but_answers_the_neighbour(script))
    async with undisturbed(server):
        yield
        await is_left(await call_of(openai, "hi"))
    assert (now := await held(server, openai, at_rest)).within(at_rest), (now, at_rest)


async def is_left(call: Call, limit: float = RELEASED) -> None:
    async with asyncio.timeout(limit):
        await call.closed()


async def stands_still(count: Callable[[], int]) -> None:
    """Wait until something has come and nothing more does: all buffers are full."""
    async with asyncio.timeout(10):
        seen = 0
        while not seen or seen != count():
            seen = count()
            await asyncio.sleep(0.2)


@asynccontextmanager
async def far_away(port: int) -> AsyncIterator[str]:
    """The address of a way to the server that takes 100 ms and cuts everything into slices of seven bytes."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                await asyncio.sleep(0.1)
                for at in range(0, len(data), 7):
                    writer.write(data[at : at + 7])
                    await writer.drain()
                    await asyncio.sleep(0)
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(carry(reader, far_writer))
            tasks.create_task(carry(far_reader, writer))
        over.set()

    over = asyncio.Event()
    async with await asyncio.start_server(accept, "127.0.0.1", 0) as way:
        yield f"ws://127.0.0.1:{way.sockets[0].getsockname()[1]}/ws"
        async with asyncio.timeout(5):
            await over.wait()


async def ask_and_see_once(client: RawWebSocket) -> None:
    await client.send(message("hi"))
    assert (await client.next())["type"] == "start"
    chunk = await client.next()
    assert (chunk["type"], chunk["content"][:4]) == ("chunk", "Once")


def text(turn: list[Json]) -> str:
    assert "error" not in {frame["type"] for frame in turn}, turn
    return "".join(frame["content"] for frame in turn)


def status(turn: list[Json]) -> str:
    value: str = turn[-1]["status"]
    return value
