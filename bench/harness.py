"""The fake OpenAI server and the load client, each a process, both on the core that the server does not have."""

import json
import subprocess
import sys
from types import TracebackType
from typing import Any, Self

from bench.process import LOAD_CORE, Program, pin
from tests.support.server import ROOT


class MeasurementFailed(Exception):
    """The server did not do what was asked of it; the text says what came instead."""


class Harness:
    """`with Harness() as harness: harness.measure("first", program, asks=20)`; `model` is the fake OpenAI server.

    `load` is the module that asks, with its arguments.
    """

    def __init__(self, model: str = "bench.fake_openai", load: str = "bench.load") -> None:
        self._model = model
        self._load_command = load

    def __enter__(self) -> Self:
        self._openai = self.start(self._model)
        assert self._openai.stdout
        self.openai_port = int(self._openai.stdout.readline())
        self.openai_pid = self._openai.pid
        self._load = self.start(*self._load_command.split())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for process in (self._load, self._openai):
            process.kill()
            process.communicate()

    def measure(self, measurement: str, program: Program | None, **wish: Any) -> dict[str, Any]:
        """What bench.load measures; without a program, of the harness itself."""
        port, pid = (program.port, program.pid) if program else (self.openai_port, self._openai.pid)
        assert self._load.stdin
        assert self._load.stdout
        self._load.stdin.write(json.dumps({"measure": measurement, "port": port, "pid": pid, **wish}) + "\n")
        self._load.stdin.flush()
        result: dict[str, Any] = json.loads(self._load.stdout.readline())
        if "failed" in result:
            raise MeasurementFailed(f"{measurement} {wish}: {result['failed']}")
        return result

    def start(self, module: str, *arguments: str) -> subprocess.Popen[str]:
        """A module of ours as a process, on the core that the server does not have."""
        command = [sys.executable, "-m", module, *arguments]
        process = subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        pin(process.pid, LOAD_CORE)
        return process
