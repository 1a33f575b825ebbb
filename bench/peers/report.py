"""docs/peers.md: one table, and what each program does not do."""

from pathlib import Path
from statistics import median

from bench.peers.programs import PROGRAMS, lines, version
from bench.peers.rounds import IDLE, ROUNDS, STREAMS, Trials, Values
from bench.peers.trials import AWAY, REPLY, SEEN
from bench.report import machine

# Ours carries so many times the streams of each peer.
TARGET = 5

FIGURES = (
    ("capacity", "capacity: paced streams until p99 of the added latency passes 50 ms", ""),
    ("cpu", f"CPU per token, {STREAMS} paced streams", " us"),
    ("p50", f"latency added to a token, {STREAMS} paced streams: p50", " ms"),
    ("p99", f"latency added to a token, {STREAMS} paced streams: p99", " ms"),
    ("first", "latency added to the first token, 1 stream", " ms"),
    ("first_many", f"latency added to the first token, {STREAMS} paced streams", " ms"),
    ("idle", "memory per idle page", " KiB"),
    ("start", "start-up to the first HTTP answer", " s"),
)
TRIALS = (
    ("reload", f"tab reloaded after {SEEN} of {REPLY} tokens: shows in the end"),
    ("reconnect", f"connection lost for {AWAY:.0f} s after {SEEN} of {REPLY} tokens: shows in the end"),
    ("kill", f"server killed after {SEEN} tokens, started again, tab reloaded: shows"),
    ("stop", f"stop after {SEEN} of {REPLY} tokens: shows in the end"),
)

TEXT = """# Beside its peers

`make bench-peers` writes this file; it installs what it compares into `.venv-peers/`. Absolute times vary by machine:
take the ratios. Cells are medians of {rounds} rounds in which the programs take turns, with the lowest and the
highest.

{table}

Target: one process of ours carries at least {target} times the streams of each peer. {verdict}

## What is compared

Each peer is the smallest streaming chat that its documentation leads to (`bench/peers/*_app.py`), from PyPI, in an
environment of its own, started as its documentation says. *Naive* is `bench/naive.py`. *PocketFlow* is a program of
ours in the shape of PocketFlow's own example, pocketflow-fastapi-websocket, which is not on PyPI: one WebSocket, one
`AsyncFlow` with one streaming node, one `send_text` for each chunk.

All talk through the `openai` client to the same fake OpenAI server, and are asked by the load of
[benchmarks.md](benchmarks.md), which explains the figures: 50 tokens a second for each stream, 100 tokens for each
reply. The server has one core, the load and the fake server share the other. The load speaks each program's own
protocol by hand, as its page does:

- Chainlit: Socket.IO; an event for each token.
- NiceGUI: Socket.IO; an update holds the HTML of the whole reply so far, so longer replies cost it more than these.
- Gradio: `queue/join`, then server-sent events with differences, and the page's heartbeat. The endpoint is `/chat`,
  which its client libraries use. Its page calls others that convert the whole conversation for each token, so a page
  costs more. Its default is one reply at a time for all users together; the program lifts that.

A token is counted when its text first arrives, whatever repeats it later. The search for the capacity begins where the
CPU time per token lets it, and a number of streams counts when it has held once: so it passes over a stall that comes
now and then, which the p99 at {streams} streams, the first load after the start, may show. A memory figure is that of
{idle} pages that are open and have asked nothing. Our lines are those of the whole server, with its log and limits.

## What the trials say

A *reloaded* tab knows what the page keeps across a reload: ours has its conversation in the address, the others begin
anew. A page whose *connection was lost* still has its session, and takes it up as its script does. The server was
*killed* with SIGKILL and started again in the same folder.

- Naive, PocketFlow: a reply is a loop in a WebSocket's handler. When the socket goes, so do reply and conversation.
  No stop: the handler does not listen while it writes.
- Chainlit: the reply goes on without its reader, and a page that reconnects while it is being written gets the rest,
  and the whole at its end. A reloaded tab is a new session with an empty page; so is every tab after a restart. A
  data layer with users and a database, neither of which is in this program, brings finished messages back. It has a
  stop button.
- Gradio: when the stream of events is closed, the reply is cancelled. A reloaded tab is a new session. With
  `save_history=True` the browser keeps conversations, but saves one only after a reply has ended. It has a stop
  button.
- NiceGUI: a page that reconnects within 3 s gets what it has missed. A reloaded tab is a new page; what it should
  show again has to be programmed. So has a stop button.
- Ours: the log has each token before it is shown, so all of this is one thing: read on from where one was. What a
  killed server had written is there, with the status `interrupted`.

## Machine and versions

{machine}
"""


def write(folder: Path, values: Values, trials: Trials) -> str:
    """Write peers.md; returns the table."""
    rows = table(values, trials)
    text = TEXT.format(
        rounds=ROUNDS, streams=STREAMS, idle=IDLE, target=TARGET, table=rows, verdict=verdict(values), machine=machine()
    )
    (folder / "peers.md").write_text(text)
    return rows


def table(values: Values, trials: Trials) -> str:
    rows = [["", *PROGRAMS], ["---", *("---:" for _ in PROGRAMS)]]
    rows.append(["version", *(version(name) for name in PROGRAMS)])
    for figure, title, unit in FIGURES:
        rows.append([title, *(_cell(values[name].get(figure, []), unit) for name in PROGRAMS)])
    for trial, title in TRIALS:
        rows.append([title, *(_shown(trials[name][trial]) for name in PROGRAMS)])
    rows.append(["lines of the server's program", *(f"{lines(name):,}" for name in PROGRAMS)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def verdict(values: Values) -> str:
    """By how much each peer is passed."""
    capacities = {name: median(values[name]["capacity"]) for name in PROGRAMS}
    ours = capacities.pop("ours")
    times = {name: ours / capacity if capacity else float("inf") for name, capacity in capacities.items()}
    holds = "It holds" if all(each >= TARGET for each in times.values()) else "**It does not hold**"
    return f"{holds}: {', '.join(f'{each:.1f} x {name}' for name, each in times.items())}."


def _cell(measured: list[float], unit: str) -> str:
    if not measured:
        return "-"
    middle, least, most = (_number(value) for value in (median(measured), min(measured), max(measured)))
    return f"{middle}{unit} ({least}-{most})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def _shown(tokens: int | None) -> str:
    return "-" if tokens is None else f"{tokens}"
