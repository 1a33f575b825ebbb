"""Programs to be measured: started, pinned to a core, and looked at through /proc."""

import http.client
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).parents[1]
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = CORES[0], CORES[-1]


def pin(pid: int, core: int) -> None:
    """Keep a process, or a thread, on one core."""
    os.sched_setaffinity(pid, {core})


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_kib(pid: int) -> int:
    """Memory that a process has in use (RSS)."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1])


def sockets(pid: int) -> int:
    """How many sockets a process has open."""
    opened = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            opened += os.readlink(descriptor).startswith("socket:")
    return opened


class Program:
    """`with Program(["main.py"], settings) as program`: a web server that has answered its first request.

    `seconds` is the time from its start to that answer. `pinned` to the server's core afterwards.
    """

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._arguments = [argument.replace("PORT", str(self.port)) for argument in arguments]
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        store = f"sqlite:///{self._folder.name}/chat.db"
        path = {"PATH": os.environ["PATH"], "PORT": str(self.port), "STORE_URL": store}
        self._environment = path | environment

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        log = Path(self._folder.name, "log")
        began = time.monotonic()
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, *self._arguments], cwd=ROOT, env=self._environment, stdout=output, stderr=output
            )
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() - began > 30:
                self.__exit__(None, None, None)
                raise RuntimeError(f"{self._arguments} did not start")
            time.sleep(0.005)
        self.seconds = time.monotonic() - began
        for thread in os.listdir(f"/proc/{self.pid}/task"):
            pin(int(thread), SERVER_CORE)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind:
            print(Path(self._folder.name, "log").read_text()[-2000:], file=sys.stderr)
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()
