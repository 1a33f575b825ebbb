"""The plot of bench.crowd: how late the victim's tokens are, and how many pages have a socket, over time."""

from math import log10
from pathlib import Path

from bench.crowd_report import VICTIM_MS, Found
from bench.plot import LEFT, RIGHT, STYLE, WIDTH, label

HEIGHT = 470
UPPER = (44, 230)
LOWER = (270, 420)
MILLISECONDS = (1, 10_000)

# Seconds of which one p99 is shown.
STEP = 0.5

MORE_STYLE = """
    .fault { stroke: #cf222e; stroke-width: 1 } .fault-text { fill: #cf222e }
    .pages { stroke: #1a7f37 } .pages-text { fill: #1a7f37 }
    @media (prefers-color-scheme: dark) {
        .fault { stroke: #ff7b72 } .fault-text { fill: #ff7b72 }
        .pages { stroke: #3fb950 } .pages-text { fill: #3fb950 }
    }
"""


def write(folder: Path, found: Found) -> None:
    """Write crowd.svg."""
    title = f"Latency added to a victim's tokens, and pages with a socket, of {found.pages:,}"
    parts = [*_axes(found), *_faults(found), *_victim(found), _pages(found)]
    (folder / "crowd.svg").write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{title}">\n<style>{STYLE}{MORE_STYLE}</style>\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="6"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _axes(found: Found) -> list[str]:
    parts = [label(LEFT, 24, "the victim's tokens: p99 of each half second", "start", "ours-text")]
    parts.append(label(LEFT, LOWER[0] - 12, "pages with a socket", "start", "pages-text"))
    for ms in (1, 10, 100, 1000, 10_000):
        y = _late(ms)
        parts.append(_line("grid", y))
        parts.append(label(LEFT - 8, y + 4, f"{ms / 1000:g} s" if ms >= 1000 else f"{ms} ms", "end"))
    parts.append(_line("limit", _late(VICTIM_MS)))
    parts.append(label(WIDTH - RIGHT - 4, _late(VICTIM_MS) - 5, f"{VICTIM_MS} ms", "end", "limit-text"))
    for part in (0, 0.5, 1):
        y = _share(part)
        parts.append(_line("grid", y))
        parts.append(label(LEFT - 8, y + 4, f"{found.pages * part:,.0f}", "end"))
    seconds = range(0, int(found.ended - found.began) + 1, 10)
    parts += [label(_time(found, found.began + each), LOWER[1] + 20, f"{each} s", "middle") for each in seconds]
    return parts


def _faults(found: Found) -> list[str]:
    parts = []
    for fault in found.faults:
        x = _time(found, fault.at)
        parts.append(f'<path class="fault" d="M{x:.1f} {UPPER[0]}V{LOWER[1]}"/>')
        parts.append(label(x + 4, UPPER[0] + 10, fault.name, "start", "fault-text"))
        x = _time(found, fault.ready_at)
        parts.append(f'<path class="fault" stroke-dasharray="2 4" d="M{x:.1f} {UPPER[0]}V{LOWER[1]}"/>')
    return parts


def _victim(found: Found) -> list[str]:
    """A line for each time in which it had tokens."""
    lines: list[list[str]] = [[]]
    for n in range(int((found.ended - found.began) / STEP)):
        start = found.began + n * STEP
        late = found.late(start, start + STEP)
        if late:
            x = _time(found, start + STEP / 2)
            lines[-1].append(f"{x:.1f} {_late(late[int(len(late) * 0.99)]):.1f}")
        elif lines[-1]:
            lines.append([])
    return [f'<path class="ours" d="M{"L".join(line)}"/>' for line in lines if line]


def _pages(found: Found) -> str:
    """Where it stands every quarter of a second."""
    moves = found.crowd["moves"]
    points = []
    count = 0
    at = 0
    for n in range(int((found.ended - found.began) / STEP * 2) + 1):
        moment = found.began + n * STEP / 2
        while at < len(moves) and moves[at][0] <= moment:
            count += moves[at][1]
            at += 1
        points.append(f"{_time(found, moment):.1f} {_share(count / found.pages):.1f}")
    return f'<path class="pages" d="M{"L".join(points)}"/>'


def _line(kind: str, y: float) -> str:
    return f'<path class="{kind}" style="stroke-width: 1" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'


def _time(found: Found, moment: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * (moment - found.began) / (found.ended - found.began)


def _late(ms: float) -> float:
    low, high = MILLISECONDS
    top, bottom = UPPER
    return bottom - (bottom - top) * log10(min(max(ms, low), high) / low) / log10(high / low)


def _share(part: float) -> float:
    top, bottom = LOWER
    return bottom - (bottom - top) * part
