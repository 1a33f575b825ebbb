"""What bench.crowd has found, in sentences."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from bench.rows import number

# Targets: ms, the p99 of the victim, and seconds until all are back.
VICTIM_MS = 250
BACK_SECONDS = 10

# Seconds after a fault in which the CPU time is counted.
CPU_SECONDS = 5.0

# How a page of bench.pages was lost whose machine slept.
ASLEEP = "asleep"

Loss = tuple[float, float, str]


@dataclass
class Fault:
    """Something that closed all sockets `at` a time. From `ready_at` on there was a server again."""

    name: str
    at: float
    ready_at: float = 0.0
    # Parts of a core that the server and all processes of the load needed.
    server_share: float = 0.0
    load_share: float = 0.0


@dataclass
class Found:
    """Times are by the clock that all processes share."""

    pages: int
    began: float
    ended: float
    faults: list[Fault]
    crowd: dict[str, Any]
    victim: dict[str, Any]

    def until(self, fault: Fault) -> float:
        """When the next one came."""
        later = [other.at for other in self.faults if other.at > fault.at]
        return min(later, default=self.ended)

    def losses(self, who: dict[str, Any], fault: Fault) -> list[Loss]:
        """The sockets that this fault closed; those of sleeping machines are counted apart."""
        return [loss for loss in who["losses"] if fault.at <= loss[0] < self.until(fault) and loss[2] != ASLEEP]

    def late(self, start: float, end: float) -> list[float]:
        """How late the victim's tokens were, in ms, the earliest first."""
        return sorted(late for at, late in self.victim["tokens"] if start <= at < end)


def table(found: Found) -> str:
    calm_until = found.faults[0].at if found.faults else found.ended
    lines = [f"with lids only: {_victim(found.late(found.began, calm_until))}"]
    asleep = [back - lost for lost, back, how in found.crowd["losses"] if how == ASLEEP]
    lines.append(f"{len(asleep)} woke without a socket, back after {_times(asleep)}")
    lines.append(f"failed tries {found.crowd['failed']}, sent their history again {found.crowd['told_again']}")
    for fault in found.faults:
        lines += _fault(found, fault)
    return "\n".join(lines)


def _fault(found: Found, fault: Fault) -> list[str]:
    losses = found.losses(found.crowd, fault)
    # One that woke later, or was closed later, has its own time.
    back = [max(0.0, back_at - max(fault.ready_at, lost_at)) for lost_at, back_at, _ in losses]
    seconds = Counter(int(back_at - fault.at) for _, back_at, _ in losses)
    lines = [
        f"{fault.name}: a server after {fault.ready_at - fault.at:.1f} s; "
        f"closed {dict(Counter(how for _, _, how in losses))}",
        f"  back, from then on or from waking: {_times(back)}; {_holds(max(back, default=0) <= BACK_SECONDS)}",
        "  back in each second: " + " ".join(str(seconds[n]) for n in range(max(seconds, default=0) + 1)),
        f"  {_victim(found.late(fault.at, found.until(fault)))}",
        f"  in {CPU_SECONDS:.0f} s the server needed {fault.server_share:.0%} of its core, "
        f"the load {fault.load_share:.0%}",
    ]
    for lost_at, back_at, how in found.losses(found.victim, fault):
        again = min((at for at, _ in found.victim["tokens"] if at > back_at), default=found.ended)
        lines.append(
            f"  the victim was closed with {how}, back after {back_at - lost_at:.1f} s, "
            f"and had a token {again - lost_at:.1f} s after that loss"
        )
    return lines


def _victim(late: list[float]) -> str:
    if not late:
        return "the victim had no tokens"
    p99 = late[int(len(late) * 0.99)]
    figures = f"p50 {number(late[len(late) // 2])} ms, p99 {number(p99)} ms, worst {number(late[-1])} ms"
    return f"the victim's {len(late)} tokens: {figures}; {_holds(p99 < VICTIM_MS)}"


def _times(seconds: list[float]) -> str:
    if not seconds:
        return "nobody"
    ranked = sorted(seconds)
    return f"first {ranked[0]:.1f} s, half {ranked[len(ranked) // 2]:.1f} s, all {len(ranked)} {ranked[-1]:.1f} s"


def _holds(holds: bool) -> str:
    return "holds" if holds else "MISSED"
