"""Checks cases, several at a time, and reports each in its turn."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from tests.conformance.cases import Case
from tests.conformance.frames import Mismatch
from tests.conformance.run import Run, Settings

# So many cases at a time: fast, and no burden for a small server.
AT_ONCE = 8


@dataclass(frozen=True)
class Outcome:
    """What became of a case: "ok", "FAILED" or "skipped", and why."""

    case: Case
    result: str
    why: str = ""


async def check(cases: list[Case], settings: Settings, report: Callable[[Outcome], None]) -> list[Outcome]:
    """The outcomes, in order. Each is reported as soon as those before it are."""
    places = asyncio.Semaphore(AT_ONCE)

    async def outcome(case: Case) -> Outcome:
        async with places:
            return await _check(case, settings)

    outcomes = []
    async with asyncio.TaskGroup() as group:
        for checking in [group.create_task(outcome(case)) for case in cases]:
            outcomes.append(await checking)
            report(outcomes[-1])
    return outcomes


async def _check(case: Case, settings: Settings) -> Outcome:
    given = {"--model": settings.model, "--rate": settings.rate, "--slow": settings.slow}
    lacking = [option for option in case.needs if not given[option]]
    if lacking:
        return Outcome(case, "skipped", f"needs {' '.join(lacking)}")
    try:
        await Run(case, settings).play()
    except Mismatch as why:
        return Outcome(case, "FAILED", str(why))
    return Outcome(case, "ok")
