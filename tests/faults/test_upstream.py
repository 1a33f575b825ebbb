"""U: whatever the upstream does, the reply ends clearly, its text stays, and the next message is answered."""

import asyncio
import json
import resource
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from tests.faults.upstream_cases import (
    CASES,
    FIRST_TOKEN,
    LONGEST_REPLY,
    NEXT_TOKEN,
    STOP,
    Case,
    fails,
    for_ever,
)
from tests.support import (
    KEY,
    NEVER_LOGGED,
    UPSTREAM_WORDS,
    Call,
    Client,
    DidNotStart,
    FakeOpenAI,
    Server,
    dialogue,
    eventually,
    leaks,
    script,
)
from tests.support.proc import forget_peak, memory_kib

POOL = 1000  # connections that the openai client opens at most
AT_A_TIME = 20
AT_ONCE = 1.0  # seconds
MOST_MEMORY = 100 * 1024  # KiB that a reply may take at its worst


@pytest.fixture(scope="module")
async def server(openai: FakeOpenAI) -> AsyncIterator[Server]:
    limits = {
        "FIRST_TOKEN_SECONDS": str(FIRST_TOKEN),
        "NEXT_TOKEN_SECONDS": str(NEXT_TOKEN),
        "MAX_REPLY_CHARS": str(LONGEST_REPLY),
    }
    async with Server(openai.url, watched=True, **limits) as server:
        yield server


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_the_reply_ends_clearly_and_the_next_is_answered(case: Case, openai: FakeOpenAI, server: Server) -> None:
    async with a_conversation_about(case, openai, server) as client:
        case.check(await client.reply("Tell me a story."))


async def test_U24_a_reset_in_the_middle_keeps_what_was_seen(openai: FakeOpenAI, server: Server) -> None:
    case = Case(script("Once upon", Call.closed), "Once upon", "interrupted", "upstream_cut", True)
    async with a_conversation_about(case, openai, server) as client:
        await client.say("Tell me a story.")
        seen = [await client.frame(), await client.frame()]
        (await openai.next_call()).reset()  # Not before: a reset also discards what was not read yet.
        case.check(await client.until_end(seen))


async def test_U54_a_surrogate_pair_split_over_packets_arrives_whole(openai: FakeOpenAI, server: Server) -> None:
    seen = asyncio.Event()
    case = Case(script("Once \ud83d", lambda _: seen.wait(), "\ude42 upon", Call.finish), "Once 🙂 upon")
    async with a_conversation_about(case, openai, server) as client:
        await client.say("Tell me a story.")
        frames = [await client.frame(), await client.frame()]
        seen.set()
        case.check(await client.until_end(frames))


async def test_U45_retry_after_is_kept_when_it_is_short(openai: FakeOpenAI, server: Server) -> None:
    """A moment's wait is better than an error."""

    async def busy_for_a_moment(call: Call) -> None:
        openai.says("Once", " upon")
        await call.refuse(429, "rate_limit_exceeded", retry_after="0.1")

    case = Case(busy_for_a_moment, "Once upon")
    async with a_conversation_about(case, openai, server) as client:
        case.check(await client.reply("Tell me a story."))


@pytest.mark.parametrize("ending", [b": nothing more\n\n", b"data: [DONE]\n\n"], ids=["the reason", "done"])
async def test_U18_a_finished_reply_does_not_wait_for_its_upstream(ending: bytes, openai: FakeOpenAI) -> None:
    """Not until the next token would be late, that is; a moment is well spent, for the connection is used again."""
    openai.answers(script("Once upon", STOP, ending, Call.closed))
    async with Server(openai.url) as server, server.client() as client:
        assert (await client.reply("Tell me a story.", limit=AT_ONCE + 1)).whole
        await (await openai.next_call()).closed(AT_ONCE)


async def test_U46_without_a_free_connection_a_reply_fails_in_time(openai: FakeOpenAI) -> None:
    hangs = script("Once", Call.closed)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # Each reply takes two sockets on either side.
    openai.answers(hangs)
    async with (
        Server(openai.url, FIRST_TOKEN_SECONDS="2", MAX_CONNECTIONS=str(POOL + 1), MAX_REPLIES=str(POOL + 1)) as server,
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
    await is_unreachable("http://nowhere.invalid/v1")


async def test_U48_L08_with_an_upstream_that_is_gone_it_starts_and_says_so() -> None:
    async with FakeOpenAI() as gone:
        pass
    await is_unreachable(gone.url)


async def is_unreachable(url: str) -> None:
    """Two replies fail clearly, and the second leaves no more behind than the first."""
    case = Case(script(), "", "error", "upstream_unreachable", True)
    async with Server(url, watched=True) as server, server.client() as client:
        case.check(await client.reply("Tell me a story.", limit=30))
        before = await server.usage()
        case.check(await client.reply("Tell me a story.", limit=30))
        await server.comes_back_to(before)
        assert "upstream_unreachable" in server.log


async def test_U49_a_newline_after_the_key_is_not_part_of_it(openai: FakeOpenAI) -> None:
    openai.says("Once")
    async with Server(openai.url, OPENAI_API_KEY=KEY + "\n") as server, server.client() as client:
        assert (await client.reply("Tell me a story.")).text == "Once"
        assert (await openai.next_call()).request.headers["authorization"] == f"Bearer {KEY}"


async def test_U49_a_newline_inside_the_key_is_refused_and_not_shown(openai: FakeOpenAI) -> None:
    with pytest.raises(DidNotStart) as failure:
        async with Server(openai.url, OPENAI_API_KEY=f"{KEY[:12]}\n{KEY[12:]}"):
            pass
    log = str(failure.value)
    assert "OPENAI_API_KEY" in log
    assert "Traceback" not in log
    assert not leaks(log)


async def test_U57_the_server_is_asked_not_to_compress(openai: FakeOpenAI, server: Server) -> None:
    openai.says("Once")
    async with server.client() as client:
        await client.reply("Tell me a story.")
    assert (await openai.next_call()).request.headers["accept-encoding"] == "identity"


NOTHING = {
    "events": b"data: {}\n\n",
    "lines of data": b"data:\n",
    "blank lines": b"\n",
    "comments": b": keep-alive\n\n",
}


@pytest.mark.parametrize("nothing", NOTHING.values(), ids=NOTHING)
async def test_U55_U58_a_flood_of_nothing_ends_before_a_token_is_late(nothing: bytes, openai: FakeOpenAI) -> None:
    case = fails("upstream_error", "Once", for_ever(nothing * 1000), after="Once")
    async with Server(openai.url, watched=True) as server, a_conversation_about(case, openai, server) as client:
        case.check(await client.reply("Tell me a story.", limit=25))
        assert "a stream without text" in server.log


async def test_U59_the_log_has_the_servers_own_words_and_no_more_lines(openai: FakeOpenAI) -> None:
    message = f"{UPSTREAM_WORDS} \x1b[31m at\nWARNING forged {'very ' * 100}long"
    body = json.dumps({"error": {"message": message}}).encode()
    openai.answers(lambda call: call.whole(404, body))
    async with Server(openai.url) as server, server.client() as client:
        earlier = server.log.count("\n")
        error = (await client.reply("Tell me a story.")).error
        assert error
        assert error["content"] == "The model's service failed. Try again in a moment."
        assert server.log.count("\n") == earlier + 1
        assert f"{UPSTREAM_WORDS} \\x1b[31m at WARNING forged very" in server.log
        assert "long" not in server.log


async def test_U59_the_sentence_names_the_setting(openai: FakeOpenAI, server: Server) -> None:
    openai.answers(lambda call: call.refuse(404, "model_not_found"))
    async with server.client() as client:
        error = (await client.reply("Tell me a story.")).error
    assert error
    assert "OPENAI_MODEL" in error["content"]
    assert UPSTREAM_WORDS in server.log


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_U60_a_redirect_is_not_followed(status: int, openai: FakeOpenAI, server: Server) -> None:
    async with FakeOpenAI() as elsewhere:
        location = f"{elsewhere.url}/chat/completions"

        async def elsewhere_please(call: Call) -> None:
            await call.whole(status, b"", location=location)

        case = Case(elsewhere_please, "", "error", "upstream_error", False)
        async with a_conversation_about(case, openai, server) as client:
            case.check(await client.reply("Tell me a story."))
        assert elsewhere.connections == 0


async def test_S07_none_of_this_showed_a_part_of_a_secret(server: Server) -> None:
    """Every server is checked at its end; this names the promise, and that there was something to check."""
    assert sum('"error"' in frame for frame in server.frames) > 30
    assert not leaks("".join(server.frames))
    assert "upstream_auth" in server.log
    assert not leaks(server.log, NEVER_LOGGED)


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
        forget_peak(server.pid)
        memory = memory_kib(server.pid)
        yield client

        assert memory_kib(server.pid, "VmHWM") < memory + MOST_MEMORY
        calls = openai.calls[earlier:]
        assert await eventually(lambda: not any(call.is_open for call in calls if not call.complete))
        await server.comes_back_to(before)

        openai.says("Yes.")
        assert (await client.reply("Are you there?")).text == "Yes."
        story = ["Tell me a story.", case.text] if case.text else []
        expected = dialogue("Are you ready?", "Ready.", *story, "Are you there?")
        assert (await openai.next_call()).messages == expected
