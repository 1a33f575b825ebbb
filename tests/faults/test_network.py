"""What clients and the network do to a reply: N01-N08 and N13-N17 of the fault list, for plain clients.

A client that leaves takes its reply with it: the model's connection, the tasks and the descriptors are back within a
second (R). One that stays gets every answer whole and in order (L), and others notice nothing (O).
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from tests.support import Call, FakeOpenAI, Script, Server, Usage, dialogue, echo, script
from tests.support.frames import CLOSE, STOP, TEXT, frame, message
from tests.support.neighbour import but_answers_the_neighbour, call_of, undisturbed
from tests.support.raw_websocket import Json, RawWebSocket

RELEASED = 1.0  # Seconds until everything of a client that left is given back.
FILLING = 1.0  # Seconds for a fast model to fill all buffers to a frozen client.
SHUTDOWN = 8.0  # Seconds from SIGTERM to the end, however many clients are frozen.
KEEPALIVE = 45.0  # Seconds: 20 to the next ping, 20 for its pong, and some for a busy machine.
RESUME = frame(TEXT, b'{"type": "resume", "conversation": null}')
LONG = "Once upon a time " * 60


@pytest.fixture(scope="module", autouse=True)
async def silent(openai: FakeOpenAI) -> AsyncIterator[list[RawWebSocket]]:
    """Clients that never answer a ping: they are silent from the first test of this file on, for N07."""
    async with (
        Server(openai.url) as server,
        RawWebSocket(server.ws_url) as idle,
        RawWebSocket(server.ws_url) as in_a_frame,
    ):
        for client in (idle, in_a_frame):
            await client.send(RESUME)
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


def never_ends(text: str, sent: list[int]) -> Script:
    """The script that says this for ever, and notes each time."""

    async def play(call: Call) -> None:
        while True:
            await call.text(text)
            await asyncio.sleep(0)  # The neighbour lives in the same event loop.
            sent.append(len(text))

    return play


says_once_and_hangs = script("Once", Call.closed)

# What the model does when something happens, and the frames that have come until then.
MOMENTS: dict[str, tuple[Script, list[str]]] = {
    "N05 the model hangs": (script(Call.closed), ["start"]),
    "N04 before the first token": (script(Call.headers, Call.closed), ["start"]),
    "in a pause": (says_once_and_hangs, ["start", "chunk"]),
    "while text flows": (never_ends("Once", []), ["start", "chunk"]),
}
at_any_moment = pytest.mark.parametrize("moment", MOMENTS)


async def with_a_close_frame(client: RawWebSocket) -> None:
    await client.send(frame(CLOSE, (1001).to_bytes(2, "big")))
    assert await client.close_code() == 1001


async def with_fin(client: RawWebSocket) -> None:
    client.socket.shutdown(socket.SHUT_WR)


async def with_a_reset(client: RawWebSocket) -> None:
    client.reset()


DEPARTURES = {"N01 a close frame": with_a_close_frame, "N02 FIN": with_fin, "N03 a reset": with_a_reset}


@at_any_moment
@pytest.mark.parametrize("leave", DEPARTURES.values(), ids=DEPARTURES)
async def test_a_client_that_leaves_releases_everything_and_disturbs_nobody(
    client: RawWebSocket,
    server: Server,
    openai: FakeOpenAI,
    at_rest: Usage,
    moment: str,
    leave: Callable[[RawWebSocket], Awaitable[None]],
) -> None:
    async with undisturbed(server):
        call, _ = await under_way(client, openai, moment)
        await leave(client)
        await call.closed(RELEASED)
    await is_at_rest(server, openai, at_rest)


async def test_N03_messages_that_wait_are_never_asked_after_their_client_left(
    client: RawWebSocket, server: Server, openai: FakeOpenAI, at_rest: Usage
) -> None:
    call, _ = await under_way(client, openai, "in a pause")
    await client.send(message("second") + message("third"))
    client.reset()
    await call.closed(RELEASED)
    await is_at_rest(server, openai, at_rest)
    assert not {"second", "third"} & {call.question for call in openai.calls}


async def test_N06_a_frozen_client_loses_its_reply_and_disturbs_nobody(openai: FakeOpenAI) -> None:
    async with Server(openai.url, watched=True, SEND_SECONDS="1", MAX_REPLY_CHARS="10000000") as server:
        at_rest = await warm(server, openai)
        openai.answers(but_answers_the_neighbour(never_ends(LONG, [])))
        async with RawWebSocket(server.ws_url, receive_buffer=4096) as frozen:
            async with undisturbed(server):
                await frozen.send(message("hi"))
                await (await call_of(openai, "hi")).closed(1 + RELEASED + FILLING)
            await server.comes_back_to(Usage(1000, at_rest.tasks))
            server.terminate()
            await server.stopped(SHUTDOWN)


async def test_N06_sigterm_does_not_hang_on_a_send_to_a_frozen_client(openai: FakeOpenAI) -> None:
    sent: list[int] = []
    openai.answers(never_ends(LONG, sent))
    async with (
        Server(openai.url, SEND_SECONDS="60", MAX_REPLY_CHARS="10000000", GRACE_SECONDS="1") as server,
        RawWebSocket(server.ws_url, receive_buffer=4096) as frozen,
    ):
        await frozen.send(message("hi"))
        seen = 0
        async with asyncio.timeout(10):
            while not seen or seen != len(sent):  # Until all buffers are full.
                seen = len(sent)
                await asyncio.sleep(0.2)
        server.terminate()
        await server.stopped(SHUTDOWN)


async def test_N08_a_slow_reader_gets_everything_and_slows_nobody(server: Server, openai: FakeOpenAI) -> None:
    pieces = [f"{number:1000}" for number in range(500)]  # Twice what all buffers on the way hold.
    openai.answers(but_answers_the_neighbour(script(*pieces, Call.finish)))
    async with undisturbed(server), RawWebSocket(server.ws_url, receive_buffer=4096) as slow:
        await slow.send(message("hi"))
        for _ in range(30):
            slow.unread += await asyncio.get_running_loop().sock_recv(slow.socket, 100)
            await asyncio.sleep(0.1)  # This is what 1 kB a second means.
        assert (await slow.until_end()).whole == "".join(pieces)


@at_any_moment
async def test_N13_a_stop_releases_the_model_and_the_text_stays_in_the_history(
    client: RawWebSocket, server: Server, openai: FakeOpenAI, moment: str
) -> None:
    openai.answers(echo)
    await client.reply("Ready?")
    before = await server.usage()
    call, seen = await under_way(client, openai, moment)
    await client.send(STOP)
    await call.closed(RELEASED)
    stopped = await client.until_end(seen)
    assert stopped.status == "stopped"
    await server.comes_back_to(before)
    await goes_on(client, openai)
    story = ["hi", stopped.text] if stopped.text else []
    assert openai.calls[-1].messages == dialogue("Ready?", "You said: Ready?", *story, "And then?")


@pytest.mark.parametrize("stops", [STOP, STOP + STOP], ids=["N13 in the packet of its message", "N14 twice"])
async def test_a_stop_at_once_or_twice_ends_one_reply(client: RawWebSocket, openai: FakeOpenAI, stops: bytes) -> None:
    openai.answers(says_once_and_hangs)
    await client.send(message("hi") + stops)
    assert (await client.until_end()).status == "stopped"
    await goes_on(client, openai)


async def test_N14_a_stop_when_idle_changes_nothing(client: RawWebSocket, openai: FakeOpenAI) -> None:
    for _ in range(2):
        await client.send(STOP)
        await goes_on(client, openai)


async def test_N14_a_stop_right_at_the_end_gives_one_end(client: RawWebSocket, openai: FakeOpenAI) -> None:
    async for question, seen in ends(client, openai):
        await client.send(STOP)
        reply = await client.until_end(seen)
        assert reply.text == question
        assert reply.status in ("done", "stopped")
    await goes_on(client, openai)


async def test_N15_a_message_at_the_instant_of_the_end_is_answered(client: RawWebSocket, openai: FakeOpenAI) -> None:
    async for question, seen in ends(client, openai):
        await client.send(message("and then"))
        assert (await client.until_end(seen)).whole == question
        assert (await client.until_end()).whole == "and then"


async def ends(client: RawWebSocket, openai: FakeOpenAI) -> AsyncIterator[tuple[str, list[Json]]]:
    """Twenty replies that end: the first a moment after, the next a little later, to meet the end before and in it."""
    ending = asyncio.Event()

    async def ends_when_told(call: Call) -> None:
        await call.text(call.question)
        await ending.wait()
        await call.finish()

    openai.answers(ends_when_told)
    for number in range(20):
        ending.clear()
        await client.send(message(f"number {number}"))
        seen = [await client.next(), await client.next()]
        ending.set()
        for _ in range(number % 5):
            await asyncio.sleep(0)
        yield f"number {number}", seen


async def test_N16_messages_while_streaming_are_answered_in_order(client: RawWebSocket, openai: FakeOpenAI) -> None:
    all_sent = asyncio.Event()
    openai.answers(script(lambda _: all_sent.wait(), echo))
    numbers = ["one", "two", "three", "four"]
    await client.send(message(numbers[0]))
    first = await client.next()
    for number in numbers[1:]:
        await client.send(message(number))
    all_sent.set()
    assert (await client.until_end([first])).whole == "You said: one"
    for number in numbers[1:]:
        assert (await client.until_end()).whole == f"You said: {number}"
    pairs = [(number, f"You said: {number}") for number in numbers[:-1]]
    assert openai.calls[-1].messages == dialogue(*(text for pair in pairs for text in pair), "four")


async def test_N16_a_refusal_while_streaming_does_not_end_the_reply(client: RawWebSocket, openai: FakeOpenAI) -> None:
    ending = asyncio.Event()
    openai.answers(script("Once", lambda _: ending.wait(), " upon", Call.finish))
    await client.send(message("hi"))
    seen = [await client.next(), await client.next()]
    await client.send(frame(TEXT, b'{"type": "message", "content": " "}') + message("And then?"))
    refused = await client.next()
    assert (refused["type"], refused["code"]) == ("error", "bad_message")
    ending.set()
    assert (await client.until_end(seen)).whole == "Once upon"
    assert (await client.until_end()).whole == "Once upon"


async def test_N17_latency_and_sliced_frames_change_nothing(server: Server, openai: FakeOpenAI) -> None:
    openai.answers(echo)
    content = "Grüße, 你好, 🙂 " * 40
    async with far_away(server.port) as url, RawWebSocket(url) as client:
        for _ in range(2):
            assert (await client.reply(content)).whole == f"You said: {content}"


async def test_N07_a_silent_client_is_closed_by_the_keepalive(silent: list[RawWebSocket]) -> None:
    """Idle, or in a frame. Last in this file: most of its time has passed with the tests before."""
    for client in silent:
        assert await client.close_code(KEEPALIVE) == 1011


async def warm(server: Server, openai: FakeOpenAI) -> Usage:
    """What the server holds on to when it has answered once and everybody has left.

    The idle connections to the model that it keeps for the next call do not count.
    """
    openai.says("Warm.")
    async with server.client() as client:
        await client.reply("hi")
    await asyncio.sleep(RELEASED)
    usage = await server.usage()
    return Usage(usage.descriptors - openai.open_connections, usage.tasks)


async def is_at_rest(server: Server, openai: FakeOpenAI, at_rest: Usage) -> None:
    await server.comes_back_to(Usage(at_rest.descriptors + openai.open_connections, at_rest.tasks), RELEASED)


async def under_way(client: RawWebSocket, openai: FakeOpenAI, moment: str) -> tuple[Call, list[Json]]:
    """The call of a client that asks "hi", come to this moment, and the frames so far."""
    play, types = MOMENTS[moment]
    openai.answers(but_answers_the_neighbour(play))
    await client.send(message("hi"))
    seen = [await client.next() for _ in types]
    assert [frame["type"] for frame in seen] == types
    return await call_of(openai, "hi"), seen


async def goes_on(client: RawWebSocket, openai: FakeOpenAI) -> None:
    """The next message is answered."""
    openai.answers(echo)
    assert (await client.reply("And then?")).whole == "You said: And then?"


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
