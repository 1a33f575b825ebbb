"""The plot: added latency against the number of streams, both on logarithmic axes. A small SVG, legible in the dark."""

from math import log10
from pathlib import Path
from statistics import median

from bench.rounds import ACCEPTABLE, Results

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 44, 52
STREAMS, MILLISECONDS = (1, 512), (0.1, 10_000)  # what the axes show

STYLE = """
    rect { fill: #ffffff } text { fill: #24292f; font: 13px system-ui, sans-serif }
    .grid { stroke: #d8dee4 } .limit { stroke: #9a6700; stroke-dasharray: 2 4 } .limit-text { fill: #9a6700 }
    path { fill: none; stroke-width: 2 } .p99 { stroke-dasharray: 7 5 }
    .naive { stroke: #bc4c00 } .ours { stroke: #0969da } .naive-text { fill: #bc4c00 } .ours-text { fill: #0969da }
    @media (prefers-color-scheme: dark) {
        rect { fill: #0d1117 } text { fill: #e6edf3 } .grid { stroke: #30363d }
        .limit { stroke: #d29922 } .limit-text { fill: #d29922 }
        .naive { stroke: #f0883e } .ours { stroke: #58a6ff } .naive-text { fill: #f0883e } .ours-text { fill: #58a6ff }
    }
"""


def write(folder: Path, results: Results) -> None:
    """Write benchmarks.svg."""
    parts = [_axes()]
    for program in ("naive", "ours"):
        points = sorted(results.latencies[program].items())
        points = [(streams, probes) for streams, probes in points if streams <= STREAMS[1]]
        for which, name in enumerate(("p50", "p99")):
            line = [(_x(streams), _y(median(probe[which] for probe in probes))) for streams, probes in points]
            path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in line)
            parts.append(f'<path class="{program} {name}" d="{path}"/>')
            parts += [f'<circle class="{program}" fill="none" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in line]
    (folder / "benchmarks.svg").write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="Latency added to a token against the number of streams">\n<style>{STYLE}</style>\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="6"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _axes() -> str:
    parts = []
    for streams in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512):
        x = _x(streams)
        parts.append(f'<path class="grid" style="stroke-width: 1" d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
        parts.append(label(x, HEIGHT - BOTTOM + 20, str(streams), "middle"))
    for ms in (0.1, 1, 10, 100, 1000, 10_000):
        y = _y(ms)
        parts.append(f'<path class="grid" style="stroke-width: 1" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(label(LEFT - 8, y + 4, f"{ms / 1000:g} s" if ms >= 1000 else f"{ms:g} ms", "end"))
    y = _y(ACCEPTABLE)
    parts.append(f'<path class="limit" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
    parts.append(label(WIDTH - RIGHT - 4, y - 5, f"{ACCEPTABLE:.0f} ms", "end", "limit-text"))
    parts.append(label((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, "streams of 50 tokens a second", "middle"))
    x = LEFT
    for program in ("naive", "ours"):
        for name in ("p50", "p99"):
            parts.append(f'<path class="{program} {name}" d="M{x} {TOP - 22}h34"/>')
            parts.append(label(x + 40, TOP - 18, f"{program}, {name}", "start", f"{program}-text"))
            x += 130
    return "\n".join(parts)


def label(x: float, y: float, text: str, anchor: str, kind: str = "") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'


def _x(streams: float) -> float:
    low, high = STREAMS
    return LEFT + (WIDTH - LEFT - RIGHT) * log10(streams / low) / log10(high / low)


def _y(ms: float) -> float:
    low, high = MILLISECONDS
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - log10(min(max(ms, low), high) / low) / log10(high / low))
