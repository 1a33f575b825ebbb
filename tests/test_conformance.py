"""The conformance suite: our server passes it on each store, and a server with a fault does not."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.conformance import __main__ as command
from tests.conformance.cases import read_cases
from tests.conformance.check import Outcome, check
from tests.conformance.frames import Frame
from tests.conformance.model import ScriptedModel
from tests.conformance.run import Settings
from tests.support import Server
from tests.support.server import ROOT

RATE = 20  # messages a minute
CASES = {case.promise: case for case in read_cases()}
Change = Callable[[Frame], list[Frame]]

# The suite's command in an environment that has no pytest.
COMMAND = """
import runpy, sys
sys.modules["pytest"] = None
sys.argv[0] = "conformance"
runpy.run_module("tests.conformance", run_name="__main__")
"""


def silent(outcome: Outcome) -> None:
    """No report: the outcomes are enough."""


@pytest.fixture(scope="module")
async def model() -> AsyncIterator[ScriptedModel]:
    async with ScriptedModel() as model:
        yield model


@pytest.fixture(scope="module")
async def server(model: ScriptedModel) -> AsyncIterator[Server]:
    async with Server(model.url) as server:
        yield server


async def test_our_server_keeps_the_protocol_on_each_store(model: ScriptedModel, store_url: str) -> None:
    async with Server(model.url, STORE_URL=store_url, MESSAGES_PER_MINUTE=str(RATE)) as server:
        outcomes = await check(list(CASES.values()), Settings(server.ws_url, model, RATE, timeout=20), silent)
    assert [outcome.why for outcome in outcomes if outcome.result == "FAILED"] == []
    assert {outcome.why for outcome in outcomes if outcome.result == "skipped"} == {"needs --slow"}
    assert sum(outcome.result == "ok" for outcome in outcomes) >= 50


def test_each_case_stands_under_a_sentence_of_the_protocol() -> None:
    protocol = " ".join((ROOT / "docs/protocol.md").read_text().split())
    assert [case.promise for case in CASES.values() if case.sentence not in protocol] == []
    assert len(CASES) == len(read_cases()), "two cases have one name"


# A server with a fault: ours, behind a proxy that changes frames.


def same(frame: Frame) -> list[Frame]:
    return [frame]


def lose(kind: str) -> Change:
    return lambda frame: [] if frame["type"] == kind else [frame]


def repeat(kind: str) -> Change:
    return lambda frame: [frame, frame] if frame["type"] == kind else [frame]


def without(name: str) -> Change:
    return lambda frame: [{key: value for key, value in frame.items() if key != name}]


def with_double_length(frame: Frame) -> list[Frame]:
    """What a server that counts in UTF-16 would compare."""
    if "after" in frame:
        frame["after"]["chars"] *= 2
    return [frame]


def with_new_id(frame: Frame) -> list[Frame]:
    """What a server that does not look at the ids of messages would do."""
    return [without("id")(frame)[0]] if frame["type"] == "message" else [frame]


@asynccontextmanager
async def proxy(url: str, received: Change = same, sent: Change = same) -> AsyncIterator[str]:
    """The address of a proxy that changes what the server receives and sends, and closes with 1000."""

    async def copy(source: AsyncIterator[str | bytes], target: Callable[..., object], change: Change) -> None:
        async for text in source:
            for frame in change(json.loads(text)):
                await target(json.dumps(frame))  # type: ignore[misc]

    async def pass_on(client: ServerConnection) -> None:
        async with connect(url, proxy=None, max_size=None) as server:
            copying = {
                asyncio.create_task(copy(aiter(client), server.send, received)),
                asyncio.create_task(copy(aiter(server), client.send, sent)),
            }
            await asyncio.wait(copying, return_when=asyncio.FIRST_COMPLETED)
            for task in copying:
                task.cancel()
            with suppress(ConnectionClosed):
                await asyncio.gather(*copying, return_exceptions=True)

    async with serve(pass_on, "127.0.0.1", 0, max_size=None) as listening:
        yield f"ws://127.0.0.1:{next(iter(listening.sockets)).getsockname()[1]}/ws"


# A promise, what the server makes of the frames that it receives and sends, and what is reported.
FAULTS: list[tuple[str, Change, Change, str]] = [
    ("A reply is a start, chunks and an end", same, lose("end"), "not within"),
    ("A reply is a start, chunks and an end", same, repeat("end"), "at the end"),
    ("Every character arrives as it is", same, repeat("chunk"), "世"),
    ("Messages sent at once are answered in order", same, lose("start"), "text outside of a reply"),
    ("A stopped reply keeps its text, and the next message is answered", lose("stop"), same, "not within"),
    ("A frame of more than 64 KiB is closed with 1009", same, same, "it was closed with 1000"),
    ("A reply names its turn and its question", same, without("turn"), '"turn" is missing'),
    ("A message that is sent twice is answered once", with_new_id, same, 'expected "turn"'),
    ("After a turn that is unchanged, only later ones are sent", with_double_length, same, '"after"'),
    ("Two clients see the same reply", same, lose("chunk"), "not within"),
    ("An edit drops the turn and all after it, also on other screens", without("replaces"), same, "history"),
    ("A new conversation has an id and no turns", same, repeat("history"), "expected nothing more"),
]


@pytest.mark.parametrize(("promise", "received", "sent", "report"), FAULTS)
async def test_a_broken_promise_is_reported(
    promise: str, received: Change, sent: Change, report: str, server: Server, model: ScriptedModel
) -> None:
    timeout = 1 if report == "not within" else 10
    async with proxy(server.ws_url, received, sent) as url:
        (outcome,) = await check([CASES[promise]], Settings(url, model, timeout=timeout), silent)
    assert outcome.result == "FAILED"
    assert report in outcome.why


async def test_a_proxy_without_a_fault_passes(server: Server, model: ScriptedModel) -> None:
    promises = {promise for promise, *_ in FAULTS} - {"A frame of more than 64 KiB is closed with 1009"}
    async with proxy(server.ws_url) as url:
        outcomes = await check([CASES[promise] for promise in promises], Settings(url, model, timeout=20), silent)
    assert {outcome.result for outcome in outcomes} == {"ok"}


# The command


async def test_the_command_needs_no_pytest_and_counts_what_it_skips(server: Server) -> None:
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-c", COMMAND, server.ws_url, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(30):
        output, _ = await running.communicate()
    *_, last = output.decode().splitlines()
    skipped = sum(bool(case.needs) for case in CASES.values())
    assert (running.returncode, last) == (0, f"{len(CASES) - skipped} ok, 0 failed, {skipped} skipped")


async def test_the_command_fails_if_a_promise_is_broken(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    async with proxy(server.ws_url, sent=lose("error")) as url:
        arguments = [url, "--only", "binary", "--timeout", "0.3"]
        assert await asyncio.to_thread(command.main, arguments) == 1
    output = capsys.readouterr().out
    assert "FAILED   A binary frame is refused\n         plain.txt:" in output
    assert output.endswith("0 ok, 1 failed, 0 skipped\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "expected ws://host/path"),
        (["http://127.0.0.1/ws"], "expected ws://host/path"),
        (["ws://127.0.0.1/ws", "--model", "9099"], "expected HOST:PORT"),
        (["ws://127.0.0.1/ws", "--rate", "many"], "expected a whole number"),
        (["ws://127.0.0.1/ws", "--timeout", "0"], "expected a number of seconds"),
        (["ws://127.0.0.1/ws", "--only", "walrus"], "no case is called like that"),
    ],
)
def test_a_bad_argument_is_a_sentence(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        command.main(arguments)
    assert exit.value.code == 2
    assert sentence in capsys.readouterr().err


def test_a_server_that_is_not_there_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["ws://127.0.0.1:1/ws"]) == 1
    assert capsys.readouterr().err.startswith("Cannot begin: ")


def test_the_cases_can_be_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--list", "--only", "edit"]) == 0
    assert "    An edit during the reply cancels it --model\n" in capsys.readouterr().out
