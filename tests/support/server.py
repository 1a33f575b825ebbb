"""The real program: `python main.py` in a process of its own, with nothing from this environment."""

import asyncio
import http.client
import os
import signal
import socket
import sys
import tempfile
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from tests.support.client import Client
from tests.support.proc import descriptors
from tests.support.secrets import KEY, NEVER_LOGGED, leaks

ROOT = Path(__file__).parents[2]

# Without the collector, a forgotten connection stays open, where it would else be closed by chance.
WATCHED = """
import asyncio, gc, os, runpy, signal, sys
gc.disable()
signal.signal(signal.SIGUSR2, lambda *_: os.write({pipe}, b"%d\\n" % len(asyncio.all_tasks())))
sys.argv = ["main.py"]
sys.path.insert(0, "")
runpy.run_path("main.py", run_name="__main__")
"""


class DidNotStart(Exception):
    """The program ended, or did not answer in time. Its text is the log."""


@dataclass(frozen=True)
class Usage:
    """What a process holds on to."""

    descriptors: int
    tasks: int

    def within(self, other: "Usage") -> bool:
        return self.descriptors <= other.descriptors and self.tasks <= other.tasks


@dataclass
class Answer:
    status: int
    headers: Message
    body: bytes


class Server:
    """`async with Server(openai.url, NEXT_TOKEN_SECONDS="1") as server`; a setting of None is not set at all.

    Messages a minute are not limited, unless the test says so. A `watched` server runs without the garbage
    collector and can tell its `usage()`. At its end it must have left in time, without a traceback in its log
    and without any part of a secret in its log or in a frame. `program` runs in place of ours, at PORT.
    """

    def __init__(
        self, base_url: str | None, *, watched: bool = False, program: str = "main.py", **settings: str | None
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="chat-")
        self._log = Path(self._folder.name, "log")
        self._watched = watched
        self._program = program
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONWARNINGS": "error",
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "OPENAI_API_KEY": KEY,
            "OPENAI_BASE_URL": base_url,
            "STORE_URL": f"sqlite:///{self._folder.name}/chat.db",
            "MESSAGES_PER_MINUTE": "100000",
        } | settings
        self.store_url = str(environment["STORE_URL"])
        self.environment = {name: value for name, value in environment.items() if value is not None}
        self.url = f"http://127.0.0.1:{self.port}"
        self.ws_url = f"ws://127.0.0.1:{self.port}/ws"
        self.frames: list[str] = []

    def client(self, **options: Any) -> Client:
        """A plain client; options are those of `websockets.connect`."""
        return Client(self.ws_url, self.frames, **options)

    async def get(self, path: str, limit: float = 5.0, **headers: str) -> Answer:
        """GET without any politeness: the path and the headers travel as they are."""
        return await self.request("GET", path, limit=limit, **headers)

    async def request(self, method: str, path: str, body: str = "", limit: float = 5.0, **headers: str) -> Answer:
        """Any request; as impolite."""
        return await asyncio.to_thread(self._request, method, path, body, limit, headers)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log.read_text(errors="backslashreplace")

    async def usage(self) -> Usage:
        """What the server holds on to now; only a watched server knows its tasks."""
        os.kill(self.pid, signal.SIGUSR2)
        async with asyncio.timeout(5):
            tasks = int(await self._tasks.readline())
        return Usage(descriptors(self.pid), tasks)

    async def comes_back_to(self, usage: Usage, limit: float = 1.0) -> None:
        """Wait until the server holds on to no more than `usage`."""
        until = asyncio.get_running_loop().time() + limit
        while not (now := await self.usage()).within(usage) and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(0.01)
        assert now.within(usage), f"{now} instead of {usage}"

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    async def stopped(self, limit: float = 10.0) -> int:
        """Wait until the process has left; its exit code, negative for a signal."""
        async with asyncio.timeout(limit):
            return await self._process.wait()

    async def __aenter__(self) -> Self:
        ours, theirs = os.pipe()
        program = self._program.replace("PORT", str(self.port)).split()
        if self._watched:
            program = ["-c", WATCHED.format(pipe=theirs)]
        with self._log.open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, *program, cwd=ROOT, env=self.environment,
                stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, pass_fds=[theirs],
            )  # fmt: skip
        os.close(theirs)
        self._tasks = asyncio.StreamReader()
        self._pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(self._tasks), os.fdopen(ours, "rb", buffering=0)
        )
        if not await self._answers(limit=20.0):
            log, _ = await self.leave()
            raise DidNotStart(log)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        log, in_time = await self.leave()
        sys.stdout.write(log)  # pytest shows it next to a failure
        if kind is None:
            frames = "\n".join(self.frames)
            upstream = urlsplit(self.environment.get("OPENAI_BASE_URL", "")).netloc
            assert in_time, "the server did not leave within 10 s after SIGTERM"
            assert "Traceback" not in log
            assert not leaks(log, NEVER_LOGGED), "a part of a secret is in the log"
            assert not leaks(frames), "a part of a secret is in a frame"
            assert not upstream or upstream not in frames, "the upstream's address is in a frame"

    async def leave(self) -> tuple[str, bool]:
        """End the process and remove its files: its log, and whether it left in time."""
        in_time = True
        if self._process.returncode is None:
            self.terminate()
            try:
                await self.stopped()
            except TimeoutError:
                in_time = False
                self.kill()
                await self.stopped()
        self._pipe.close()
        log = self.log
        self._folder.cleanup()
        return log, in_time

    async def _answers(self, limit: float) -> bool:
        until = asyncio.get_running_loop().time() + limit
        while self._process.returncode is None and asyncio.get_running_loop().time() < until:
            try:
                await self.get("/")
                return True
            except OSError:
                await asyncio.sleep(0.01)
        return False

    def _request(self, method: str, path: str, body: str, limit: float, headers: dict[str, str]) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=limit)
        try:
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()
