"""What is measured of each program: several rounds, the programs in turn."""

import tempfile
from collections import defaultdict
from collections.abc import Callable

from bench.harness import Harness, MeasurementFailed
from bench.peers.programs import PROGRAMS, running
from bench.peers.trials import try_out
from bench.process import Program
from bench.rounds import ACCEPTABLE, LADDER

ROUNDS = 3
STREAMS = 20
# Tokens a second of each paced stream, see bench/fake_openai.py.
RATE = 50
# How busy a core may be where the search for the capacity begins.
BUSY = 0.8
IDLE = 100

# values[program][figure]: one for each round
Values = defaultdict[str, dict[str, list[float]]]
Trials = dict[str, dict[str, int | None]]


async def measure_all(say: Callable[[str], None]) -> tuple[Values, Trials]:
    values: Values = defaultdict(lambda: defaultdict(list))
    trials: Trials = {}
    for name in PROGRAMS:
        say(f"trials: {name}")
        with Harness() as harness:
            trials[name] = await try_out(name, harness.openai_port)
    for number in range(ROUNDS):
        for name in PROGRAMS:
            say(f"round {number + 1} of {ROUNDS}: {name}")
            for figure, value in (await visit(name)).items():
                values[name][figure].append(value)
    return values, trials


async def visit(name: str) -> dict[str, float]:
    """One program, started twice: once for its memory, once for its speed."""
    found: dict[str, float] = {}
    with Harness(load=f"bench.peers.load {name}") as harness, tempfile.TemporaryDirectory(prefix="peers-") as home:
        async with running(name, harness.openai_port, home) as program:
            # What is made once has been made.
            harness.measure("first", program, asks=5)
            found["idle"] = harness.measure("idle", program, connections=IDLE, first=None)["memory"]
        async with running(name, harness.openai_port, home) as program:
            found["start"] = program.seconds
            found["first"] = harness.measure("first", program, asks=20)["first"]
            paced = harness.measure("paced", program, streams=STREAMS, seconds=3)
            found |= {"cpu": paced["cpu"], "p50": paced["p50"], "p99": paced["p99"], "first_many": paced["first"]}
            found["capacity"] = capacity(harness, program, paced["cpu"])
    return found


def capacity(harness: Harness, program: Program, cpu: float) -> int:
    """The highest rung that holds, step by step from where the CPU time per token (us) lets it be."""

    def holds(rung: int) -> bool:
        try:
            p99: float = harness.measure("paced", program, streams=LADDER[rung], seconds=2.5)["p99"]
        except MeasurementFailed:
            # It gave up on some of them.
            return False
        return p99 <= ACCEPTABLE

    streams = BUSY * 1e6 / cpu / RATE
    rung = max([n for n, rung in enumerate(LADDER) if rung <= streams], default=0)
    if holds(rung):
        while rung + 1 < len(LADDER) and holds(rung + 1):
            rung += 1
        return LADDER[rung]
    while rung > 0 and not holds(rung - 1):
        rung -= 1
    return LADDER[rung - 1] if rung else 0
