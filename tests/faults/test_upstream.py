"""U: whatever the upstream does, the reply ends clearly, its text stays, and the next message is answered."""

import asyncio
import resource
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from tests.faults.upstream_cases import CASES, FIRST_TOKEN, LONGEST_REPLY, NEXT_TOKEN, Case
from tests.support import KEY, Call, Client, DidNotStart, FakeOpenAI, Reply, Server, eventually, leaks

POOL = 1000  # connections that the openai client opens at most
AT_A_TIME = 20


@pytest.fixture(scope="module")
async def server(openai: FakeOpenAI) -> AsyncIterator[Server]:
    limits = {
        "FIRST_TOKEN_SECONDS": str(FIRST_TOKEN),
        "NEXT_TOKEN_SECONDS": str(NEXT_TOKEN),
        "MAX_REPLY_CHARS": str(LONGEST_REPLY),
    }
    async with Server(openai.url, watched=True, **limits) as server:
        yield server


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.script.__name__)
async def test_the_reply_ends_clearly_and_the_conversation_goes_on(
    case: Case, openai: FakeOpenAI, server: Server
) -> None:
    async with a_conversation_about(case, openai, server) as client:
        case.check(await client.reply("Tell me a story."))


async def test_U24_a_reset_in_the_middle_keeps_what_was_seen(openai: FakeOpenAI, server: Server) -> None:
    async def hangs(call: Call) -> None:
        await call.text("Once upon")
        await call.closed()

    case = Case(hangs, "Once upon", "interrupted", "upstream_cut", True)
    async with a_conversation_about(case, openai, server) as client:
        await client.say("Tell me a story.")
        seen = [await client.frame(), await client.frame()]
        (await openai.next_call()).reset()  # Not before: a reset also discards what was not read yet.
        case.check(Reply.of(seen + await client.frames_until_end()))


async def test_U54_a_surrogate_pair_that_is_split_over_two_packets_arrives_whole(
    openai: FakeOpenAI, server: Server
) -> None:
    seen = asyncio.Event()

    async def two_packets(call: Call) -> None:
        await call.text("Once \ud83d")
        await seen.wait()
        await call.text("\ude42 upon")
        await call.finish()

    case = Case(two_packets, "Once 🙂 upon")
    async with a_conversation_about(case, openai, server) as client:
        await client.say("Tell me a story.")
        frames = [await client.frame(), await client.frame()]
        seen.set()
        case.check(Reply.of(frames + await client.frames_until_end()))


async def test_U45_retry_after_is_kept_when_it_is_short(openai: FakeOpenAI, server: Server) -> None:
    """A moment's wait is better than an error."""

    async def busy_for_a_moment(call: Call) -> None:
        openai.says("Once", " upon")
        await call.refuse(429, "rate_limit_exceeded", retry_after="0.1")

    case = Case(busy_for_a_moment, "Once upon", "done", None, None)
    async with a_conversation_about(case, openai, server) as client:
        case.check(await client.reply("Tell me a story."))


async def test_U46_without_a_free_connection_a_reply_waits_no_longer_than_for_its_first_token(
    openai: FakeOpenAI,
) -> None:
    async def hangs(call: Call) -> None:
        await call.text("Once")
        await call.closed()

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # Each reply takes two sockets on either side.
    openai.answers(hangs)
    async with (
        Server(openai.url, FIRST_TOKEN_SECONDS="2", MAX_CONNECTIONS=str(POOL + 1)) as server,
        server.client() as late,
        AsyncExitStack() as others,
    ):

        async def hold_a_line() -> Client:
            holder = await others.enter_async_context(server.client())
            frame = {"type": "end"}
            while frame["type"] != "chunk":
                if frame["type"] == "end":  # Again, where this machine was too busy for a first token in time.
                    await holder.say("Hold the line.")
                frame = await holder.frame()
            return holder

        for _ in range(0, POOL, AT_A_TIME):
            holder, *_ = await asyncio.gather(*(hold_a_line() for _ in range(AT_A_TIME)))
        case = Case(hangs, code="upstream_timeout", retry=True, status="error")
        case.check(await late.reply("Is there a line for me?"))

        await holder.stop()
        openai.says("Here", " you are.")
        assert (await late.reply("And now?")).text == "Here you are."


async def test_U47_an_unknown_host_is_unreachable() -> None:
    async with Server("http://nowhere.invalid/v1", watched=True) as server:
        await unreachable(server)


async def test_U48_a_refused_connection_is_unreachable() -> None:
    async with FakeOpenAI() as gone:
        pass
    async with Server(gone.url, watched=True) as server:
        await unreachable(server)


async def test_U49_a_newline_after_the_key_is_not_part_of_it(openai: FakeOpenAI) -> None:
    openai.says("Once")
    async with Server(openai.url, OPENAI_API_KEY=KEY + "\n") as server, server.client() as client:
        assert (await client.reply("Tell me a story.")).text == "Once"
        assert (await openai.next_call()).request.headers["authorization"] == f"Bearer {KEY}"


async def test_U49_a_newline_inside_the_key_is_refused_at_the_start_without_showing_it(
    openai: FakeOpenAI,
) -> None:
    with pytest.raises(DidNotStart) as failure:
        async with Server(openai.url, OPENAI_API_KEY=f"{KEY[:12]}\n{KEY[12:]}"):
            pass
    log = str(failure.value)
    assert "OPENAI_API_KEY" in log
    assert "Traceback" not in log
    assert not leaks(log)


async def test_S07_none_of_this_showed_a_part_of_a_secret(server: Server) -> None:
    """Every server is checked at its end; this names the promise, and that there was something to check."""
    assert sum('"error"' in frame for frame in server.frames) > 30
    assert not leaks("".join(server.frames))
    assert "upstream_auth" in server.log
    assert not leaks(server.log)


@asynccontextmanager
async def a_conversation_about(case: Case, openai: FakeOpenAI, server: Server) -> AsyncIterator[Client]:
    """A conversation whose second answer is the case. After it the server holds on to nothing, and the
    conversation goes on with the text that was seen."""
    async with server.client() as client:
        openai.says("Ready.")
        assert (await client.reply("Are you ready?")).text == "Ready."
        before = await server.usage()
        earlier = len(openai.calls)
        openai.answers(case.script)
        yield client

        calls = openai.calls[earlier:]
        assert await eventually(lambda: not any(call.is_open for call in calls if not call.complete))
        after = await server.usage_within(before)
        assert after.within(before), f"{after}, {before} before"

        openai.says("Yes.")
        assert (await client.reply("Are you there?")).text == "Yes."
        story = [user("Tell me a story."), assistant(case.text)] if case.text else []
        expected = [user("Are you ready?"), assistant("Ready."), *story, user("Are you there?")]
        assert (await openai.next_call()).request.body["messages"] == expected


async def unreachable(server: Server) -> None:
    """Two replies fail clearly, and the second leaves no more behind than the first."""
    case = Case(nobody, "", "error", "upstream_unreachable", True)
    async with server.client() as client:
        case.check(await client.reply("Tell me a story.", limit=30))
        before = await server.usage()
        case.check(await client.reply("Tell me a story.", limit=30))
        after = await server.usage_within(before)
        assert after.within(before), f"{after}, {before} before"


async def nobody(call: Call) -> None:
    """The script where no call can arrive."""


def user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


def assistant(content: str) -> dict[str, str]:
    return {"role": "assistant", "content": content}
