"""Programs to be measured: started as the tests start the server, and pinned to a core."""

import os
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support import eventually
from tests.support.server import Server

CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE = CORES[0]
LOAD_CORE = CORES[-1]

# Above 0: less than others.
NICE = 10

# For all workers to start.
START_SECONDS = 20.0


def pin(pid: int, core: int) -> None:
    """Keep a process, or a thread, on one core."""
    os.sched_setaffinity(pid, {core})


def family(pid: int) -> list[int]:
    """A process, and those that it has started."""
    found = [pid]
    for thread in os.listdir(f"/proc/{pid}/task"):
        found += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_text().split())
    return found


class Program(Server):
    """`seconds` is the time from its start to its first answer. Pinned to the server's core afterwards."""

    cores: tuple[int, ...] = (SERVER_CORE,)

    async def __aenter__(self) -> Self:
        began = time.monotonic()
        await super().__aenter__()
        self.seconds = time.monotonic() - began
        for thread in os.listdir(f"/proc/{self.pid}/task"):
            os.sched_setaffinity(int(thread), self.cores)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        """What a program promises is tested elsewhere, and the naive one promises nothing."""
        log = (await self.leave())[0]
        if kind:
            print(log[-2000:], file=sys.stderr)


class Roaming(Program):
    """Not pinned: several workers, and what is compared with them, have all cores."""

    cores = tuple(CORES)

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        # The first worker answers before the others are there.
        assert await eventually(lambda: "Pocket Chat: " in self.log, START_SECONDS)
        for process in family(self.pid):
            os.sched_setaffinity(process, self.cores)
            # The load is to be elsewhere: on a core that they share, it comes first.
            os.setpriority(os.PRIO_PROCESS, process, NICE)
        return self
