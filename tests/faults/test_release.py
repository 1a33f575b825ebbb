"""What nobody waits for any more is let go at once, and what is done with leaves nothing behind."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.support import KEY, SECRETS, Call, Client, FakeOpenAI, Server, Usage, leaks

AT_ONCE = 1.0  # seconds
TURNS = 500

Script = Callable[[Call], Awaitable[None]]
Departure = Callable[[Client], Awaitable[None]]


@pytest.fixture(scope="module")
async def server(openai: FakeOpenAI) -> AsyncIterator[Server]:
    async with Server(openai.url, watched=True) as server:
        yield server


@pytest.fixture(scope="module")
async def before(openai: FakeOpenAI, server: Server) -> AsyncIterator[Usage]:
    """What the server holds on to with one client that was answered, before anybody else came."""
    async with server.client() as client:
        await client.reply("Are you ready?")
        yield await server.usage()


async def before_the_headers(call: Call) -> None:
    await call.closed()


async def before_the_first_token(call: Call) -> None:
    await call.headers()
    await call.closed()


async def in_a_pause(call: Call) -> None:
    await call.text("Once upon")
    await call.closed()


async def while_text_flows(call: Call) -> None:
    while call.is_open:
        await call.text("on and on ")
        await asyncio.sleep(0.002)


async def with_a_close_frame(client: Client) -> None:
    await client.socket.close()


async def with_fin(client: Client) -> None:
    client.socket.transport.close()


async def with_a_reset(client: Client) -> None:
    client.socket.transport.abort()


moments: list[Script] = [before_the_headers, before_the_first_token, in_a_pause, while_text_flows]
departures: list[Departure] = [with_a_close_frame, with_fin, with_a_reset]
at_any_moment = pytest.mark.parametrize("moment", moments, ids=lambda moment: moment.__name__)


@at_any_moment
@pytest.mark.parametrize("departure", departures, ids=lambda departure: departure.__name__)
async def test_a_plain_client_that_leaves_closes_its_upstream_within_a_second(
    departure: Departure, moment: Script, openai: FakeOpenAI, server: Server, before: Usage
) -> None:
    async with server.client() as client:
        call = await under_way(client, moment, openai)
        await asyncio.gather(departure(client), closed_at_once(call))
    await back_to(before, server)


@at_any_moment
async def test_stop_closes_the_upstream_within_a_second(
    moment: Script, openai: FakeOpenAI, server: Server, before: Usage
) -> None:
    async with server.client() as client:
        openai.says("Ready.")
        await client.reply("Are you ready?")
        with_a_client = await server.usage()
        call = await under_way(client, moment, openai)
        await client.stop()
        await closed_at_once(call)
        assert (await client.frames_until_end())[-1]["status"] == "stopped"
        await back_to(with_a_client, server)
    await back_to(before, server)


@pytest.mark.parametrize("ending", [b": nothing more\n\n", b"data: [DONE]\n\n"], ids=["the reason", "done"])
async def test_U18_after_the_end_of_a_reply_its_upstream_is_not_waited_for(
    ending: bytes, openai: FakeOpenAI, server: Server, before: Usage
) -> None:
    """Not until the next token would be late, that is; a moment is well spent, for the connection is used again."""

    async def stays(call: Call) -> None:
        await call.text("Once upon")
        await call.delta({}, "stop")
        await call.raw(ending)
        await call.closed()

    openai.answers(stays)
    async with server.client() as client:
        assert (await client.reply("Tell me a story.", limit=AT_ONCE + 1)).status == "done"
        await closed_at_once(await openai.next_call())
    await back_to(before, server)


async def test_L09_500_turns_use_one_upstream_connection_and_leave_nothing_behind(
    openai: FakeOpenAI, server: Server, before: Usage
) -> None:
    openai.says("Once", " upon")
    async with server.client() as client:
        await client.reply("Tell me a story.")
        with_a_client, connections = await server.usage(), openai.connections
        for turn in range(TURNS):
            assert (await client.reply(f"And then? {turn}")).status == "done"
        await back_to(with_a_client, server)
        assert openai.connections == connections
        assert openai.open_connections == 1
    await back_to(before, server)


def test_S07_any_eight_characters_of_a_secret_are_found() -> None:
    for secret in SECRETS:
        for at in range(len(secret) - 7):
            part = secret[at : at + 8]
            assert part in leaks(f"It was {part}, I think.")
            assert not leaks(f"It was:{part[:7]}, I think.")


async def test_S07_a_frame_with_a_part_of_the_key_fails_its_server(openai: FakeOpenAI) -> None:
    openai.says(f"I was told: {KEY[-8:]}.")
    with pytest.raises(AssertionError, match="secret"):
        async with Server(openai.url) as server, server.client() as client:
            await client.reply("What were you told?")


async def under_way(client: Client, moment: Script, openai: FakeOpenAI) -> Call:
    """A call that has come to this moment."""
    openai.answers(moment)
    await client.say("Tell me a story.")
    call = await openai.next_call()
    assert (await client.frame())["type"] == "start"
    if moment in (in_a_pause, while_text_flows):
        assert (await client.frame())["type"] == "chunk"
    return call


async def closed_at_once(call: Call) -> None:
    async with asyncio.timeout(AT_ONCE):
        await call.closed()


async def back_to(before: Usage, server: Server) -> None:
    after = await server.usage_within(before, AT_ONCE)
    assert after.within(before), f"{after}, {before} before"
