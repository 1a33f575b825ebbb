"""The figures of docs/benchmarks.md, each with its target."""

from dataclasses import dataclass, field, replace

from bench.rounds import Results

# The median of the rounds, the least and the most; nothing if it was not measured.
Spread = list[float]


@dataclass(frozen=True)
class Row:
    """A figure of ours beside the one that it is compared with.

    `least` and `most` bound ours; `times` and `share` bound ours divided by the other.
    """

    name: str
    title: str
    unit: str = ""
    least: float | None = None
    most: float | None = None
    times: float | None = None
    share: float | None = None
    other: Spread = field(default_factory=list)
    ours: Spread = field(default_factory=list)

    @property
    def ratio(self) -> float | None:
        return self.ours[0] / self.other[0] if self.ours and self.other and self.other[0] else None

    @property
    def target(self) -> str:
        bounds = (
            (self.least, f">= {self.least}{self.unit}"),
            (self.most, f"<= {self.most}{self.unit}"),
            (self.times, f">= {self.times} x"),
            (self.share, f"<= {self.share} x"),
        )
        return ", ".join(text for bound, text in bounds if bound is not None)

    @property
    def verdict(self) -> str:
        if not self.target or not self.ours:
            return ""
        ours = self.ours[0]
        missed = (
            (self.least is not None and ours < self.least)
            or (self.most is not None and ours > self.most)
            or (self.times is not None and self.ratio is not None and self.ratio < self.times)
            or (self.share is not None and self.ratio is not None and self.ratio > self.share)
        )
        return "**no**" if missed else "yes"

    @property
    def cells(self) -> tuple[str, ...]:
        ratio = "" if self.ratio is None else number(self.ratio)
        return self.title, text(self.other, self.unit), text(self.ours, self.unit), ratio, self.target, self.verdict


# Ours beside the naive program, in the same run.
SPEED = (
    Row("capacity", "capacity: paced streams until p99 of the added latency passes 50 ms", times=7),
    Row("cpu_40", "CPU per token, 40 paced streams", " us", share=0.38),
    Row("burst", "burst, 16 streams: tokens per second", times=13),
    Row("first", "latency added to the first token, 1 stream", " ms", share=0.15),
    Row("p50_1", "latency added to a token, 1 stream: p50", " ms", most=1.5),
    Row("p99_1", "latency added to a token, 1 stream: p99", " ms", most=4),
    Row("p50_40", "latency added to a token, 40 paced streams: p50", " ms"),
    Row("p99_40", "latency added to a token, 40 paced streams: p99", " ms"),
    Row("first_40", "latency added to the first token, 40 paced streams", " ms"),
    Row("message", "CPU per message with a reply of one token", " ms", most=1.3),
    Row("idle", "memory per idle connection: nothing said yet", " KiB", most=40),
    Row("idle_resuming", "memory per idle connection: of a page, conversation begun", " KiB", most=40),
    Row("idle_after", "memory per idle connection: after one reply", " KiB"),
    Row("turns_memory", "memory after 500 turns: more than before", " KiB", most=1024),
    Row("turns_sockets", "sockets after 500 turns: more than before", most=0),
    Row("start", "start-up to the first HTTP 200, with a key", " s", most=1),
    Row("start_local", "start-up to the first HTTP 200, with the model on this machine", " s", most=4),
)

# Ours with much of something, beside ours without. Then ours with two workers, beside one.
GROWTH = (
    Row("p99_1000_pages", "p99 of 40 streams, beside 1,000 idle pages", " ms", share=2),
    Row("p99_5000_pages", "p99 of 40 streams, beside 5,000 idle pages", " ms", share=2),
    Row("cpu_5000_pages", "CPU per token, 40 streams, beside 5,000 idle pages", " us", share=1.1),
    Row("cpu_many_events", "CPU per token, 40 streams, with a million events in the file", " us", share=1.1),
    Row("cpu_long_reply", "CPU per token in bursts, at token 50,000 of a reply (at 1,000)", " us", share=1.1),
    Row("p99_slow_disk", "p99 of 40 streams, while checkpoints take 0.5 s", " ms", most=50),
    Row("resume_after_kib", "resume with `after`, 1,000 turns (10): sent", " KiB", share=2),
    Row("resume_again_cpu", "resume with `after`, 1,000 turns (10): CPU of the server", " ms", share=2),
    Row("resume_after_cpu", "the same after a restart of the server", " ms"),
    Row("resume_fresh_kib", "resume without `after`, 1,000 turns (10): sent", " KiB", most=33),
    Row("resume_fresh_cpu", "the same after a restart of the server: CPU", " ms"),
    Row("burst", "two workers (one), on both cores: burst, tokens per second", times=1.6),
    Row("capacity", "two workers (one), on both cores: capacity", times=1.6),
)


def speed(results: Results) -> list[Row]:
    return _filled(SPEED, results, "naive", "ours")


def growth(results: Results) -> list[Row]:
    return _filled(GROWTH, results, "plain", "grown")


def _filled(rows: tuple[Row, ...], results: Results, other: str, ours: str) -> list[Row]:
    figure = results.figure
    filled = [replace(row, other=figure(other, row.name), ours=figure(ours, row.name)) for row in rows]
    return [row for row in filled if row.ours]


def text(spread: Spread, unit: str = "") -> str:
    """Such as "128 (121-140) us"."""
    if not spread:
        return ""
    middle, *ends = map(number, spread)
    around = f" ({ends[0]}-{ends[1]})" if len(set(ends)) > 1 else ""
    return f"{middle}{around}{unit}"


def number(value: float) -> str:
    """Three digits, or the whole number."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
