"""What a process uses and holds on to, as Linux shows it in /proc."""

import os
from contextlib import suppress
from pathlib import Path


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_kib(pid: int, kind: str = "VmRSS") -> int:
    """The memory that a process has now, or the most that it has ever had (VmHWM)."""
    return int(Path(f"/proc/{pid}/status").read_text().partition(f"{kind}:")[2].split()[0])


def forget_peak(pid: int) -> None:
    """The most memory that a process has ever had is, from now on, what it has now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def descriptors(pid: int, kind: str = "") -> int:
    """How many descriptors a process has open; `kind` is how their targets begin, such as "socket:"."""
    found = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found += os.readlink(descriptor).startswith(kind)
    return found
