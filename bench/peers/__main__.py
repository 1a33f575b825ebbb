"""`python -m bench.peers`: ours beside its peers, into docs/peers.md. Linux, 15 minutes, 1 GB for what it installs."""

import asyncio
import resource
import sys
import time

from bench.peers import report
from bench.peers.programs import PEERS, install
from bench.peers.rounds import measure_all
from tests.support.server import ROOT


def main() -> None:
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:4.0f} s  {text}", file=sys.stderr)

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # for hundreds of connections
    for name in PEERS:
        say(f"install {name}")
        install(name)
    print(report.write(ROOT / "docs", *asyncio.run(measure_all(say))))
    say("written: docs/peers.md")


if __name__ == "__main__":
    main()
