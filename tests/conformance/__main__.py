"""`python -m tests.conformance ws://127.0.0.1:8000/ws` says which promises of docs/protocol.md a server keeps.

Most cases need a model that answers as they wish. `--model 127.0.0.1:9099` starts it there: start your server with
OPENAI_BASE_URL=http://127.0.0.1:9099/v1 and any key. Without it these cases are skipped.
"""

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from textwrap import indent

from websockets.exceptions import WebSocketException

from tests.conformance.cases import Case, read_cases
from tests.conformance.check import Outcome, check
from tests.conformance.model import ScriptedModel
from tests.conformance.run import Settings
from tests.conformance.visitor import Visitor


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code. Bad arguments exit with 2."""
    parser, options = _read(arguments)
    cases = [case for case in read_cases() if options.only.lower() in case.promise.lower()]
    if not cases:
        parser.error(f"--only {options.only!r}: no case is called like that (see --list)")
    if options.list:
        _list(cases)
        return 0
    if not options.url.startswith(("ws://", "wss://")):
        parser.error(f"{options.url!r} is no address of a server: expected ws://host/path or wss://host/path")
    try:
        return asyncio.run(_check(cases, options))
    except (OSError, WebSocketException) as why:
        print(f"Cannot begin: {why}", file=sys.stderr)
        return 1


def _read(arguments: Sequence[str] | None) -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    parser = argparse.ArgumentParser(
        "python -m tests.conformance", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url", nargs="?", default="", help="the server's WebSocket, such as ws://127.0.0.1:8000/ws")
    parser.add_argument("--model", type=_address, metavar="HOST:PORT", help="start the scripted model here")
    parser.add_argument("--rate", type=_count, default=0, help="how many messages a minute the server accepts")
    parser.add_argument("--slow", action="store_true", help="also run the cases that take up to 25 s")
    parser.add_argument("--only", default="", metavar="TEXT", help="only the cases with this in their name")
    parser.add_argument("--list", action="store_true", help="list the cases and what they need; check nothing")
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=5.0,
        help="seconds for each step (5); steps of many frames have four times as long",
    )
    return parser, parser.parse_args(arguments)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r}: expected HOST:PORT, such as 127.0.0.1:9099")
    return host, int(port)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from 1 to 1000")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds <= 600:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number of seconds up to 600")
    return seconds


def _list(cases: list[Case]) -> None:
    sentence = ""
    for case in cases:
        if case.sentence != sentence:
            sentence = case.sentence
            print(f"\n{sentence}")
        print(f"    {case.promise}{' '.join(['', *case.needs])}")


async def _check(cases: list[Case], options: argparse.Namespace) -> int:
    async with AsyncExitStack() as stack:
        model = await stack.enter_async_context(ScriptedModel(*options.model)) if options.model else None
        await (await Visitor.connect(options.url)).socket.close()
        settings = Settings(options.url, model, options.rate, options.slow, options.timeout)
        outcomes = await check(cases, settings, _report)
    for mistake in model.mistakes if model else []:
        print(f"The model could not read a request: {mistake!r}")
    counts = Counter(outcome.result for outcome in outcomes)
    print(f"{counts['ok']} ok, {counts['FAILED']} failed, {counts['skipped']} skipped")
    return int(counts["FAILED"] > 0)


def _report(outcome: Outcome) -> None:
    print(f"{outcome.result:8} {outcome.case.promise}", end="")
    match outcome.result:
        case "FAILED":
            print(f"\n{indent(outcome.why, ' ' * 9)}\n         the protocol: {outcome.case.sentence}", flush=True)
        case "skipped":
            print(f" ({outcome.why})", flush=True)
        case _:
            print(flush=True)


if __name__ == "__main__":
    sys.exit(main())
