"""Several workers behind one address: what `WORKERS=4 python main.py` runs.

The supervisor reserves the port and runs the local model. The workers are `python main.py` again, each in a
process of its own, and the kernel gives each its part of the connections. One that dies is replaced. SIGHUP
replaces all of them, one by one, with processes that read the code and `.env` anew. SIGTERM and SIGINT
drain all of them.

uvicorn's supervisor would start its own server in them, without our shutdown. While it waits for one worker
to drain it replaces no other, and when it is killed its workers live on and occupy the port.
"""

import asyncio
import json
import logging
import logging.config
import os
import signal
import socket
import sys
from contextlib import suppress

from uvicorn.config import LOGGING_CONFIG

from utils.console import has_terminal
from utils.door import listen
from utils.local_llm import LocalModel, NoLocalModel
from utils.server import address
from utils.settings import BadSetting, Settings
from utils.worker import INHERITED

# For a worker to start. A new version may have to rebuild a large store first.
START_SECONDS = 60.0

# For a worker to close sockets and files, besides GRACE_SECONDS for its replies.
CLOSING_SECONDS = 20.0

# Between tries to replace a worker.
PAUSE = 1.0

# The same form as the workers' lines.
logger = logging.getLogger("uvicorn.error")


class DidNotStart(Exception):
    """A worker ended before it served. It has said why."""


def supervise(settings: Settings) -> None:
    """Run `settings.workers` workers until SIGTERM or SIGINT."""
    if os.name != "posix":
        raise BadSetting(f"WORKERS={settings.workers}: expected 1, as this system shares no sockets")
    logging.config.dictConfig(LOGGING_CONFIG)
    # Fails if somebody is there already: among those who share a port nobody is told.
    listen(settings).close()
    with listen(settings, is_shared=True) as reserved:
        model = None
        if settings.uses_local_model:
            print(f"Loading {settings.model_name}.", flush=True)
            # Without it, the workers warn.
            with suppress(NoLocalModel):
                model = LocalModel()
        try:
            asyncio.run(Supervisor(settings, reserved.getsockname()[1], model).run())
        except DidNotStart:
            sys.exit(1)


class Worker:
    """A process, and our end of the link to it."""

    # What it is called in the log of conversations; known when it serves.
    name = ""

    def __init__(self, process: asyncio.subprocess.Process, link: asyncio.StreamWriter) -> None:
        self.pid = process.pid
        self._process = process
        # The worker drains when it closes: so it does even if we are killed.
        self._link = link

    def send(self, signal_: int) -> None:
        # It may have left by itself.
        with suppress(ProcessLookupError):
            self._process.send_signal(signal_)

    async def gone(self) -> int:
        """Wait until it has left. Returns its exit code, negative for a signal."""
        code = await self._process.wait()
        self._link.close()
        return code


class Supervisor:
    """Keeps `settings.workers` workers serving on a port."""

    def __init__(self, settings: Settings, port: int, model: LocalModel | None) -> None:
        self._settings = settings
        self._port = port
        self._model = model
        # Those that are to go on serving, and the task for each process that has not left.
        self._serving: list[Worker] = []
        self._watching: dict[Worker, asyncio.Task[None]] = {}
        # The names of dead workers whose replies may still be open.
        self._dead: list[str] = []
        # Held by whoever changes who is serving.
        self._changing = asyncio.Lock()
        self._stopping = asyncio.Event()
        # Whether the workers are to be replaced.
        self._outdated = asyncio.Event()
        self._had_terminal = has_terminal()

    async def run(self) -> None:
        """Start the workers, and return when all have left. Raises DidNotStart."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        deploying = asyncio.create_task(self._deploy())
        try:
            await self._fill()
            print(f"Pocket Chat: {address(self._settings, self._port)}", flush=True)
            await self._stopping.wait()
        except DidNotStart:
            if not self._stopping.is_set():
                self._stop(signal.SIGTERM)
                raise
        finally:
            deploying.cancel()
            await asyncio.gather(*self._watching.values())

    def _stop(self, number: int) -> None:
        """Pass the signal on. A worker drains at the first, and ends at once at a second SIGINT."""
        self._stopping.set()
        for worker in self._watching:
            worker.send(number)

    def _hang_up(self) -> None:
        if self._had_terminal and not has_terminal():
            # Somebody closed its window.
            self._stop(signal.SIGTERM)
        else:
            self._outdated.set()

    async def _fill(self) -> None:
        """Start workers until there are enough. Raises DidNotStart."""
        async with self._changing:
            # The first alone, and so on: if it cannot start, it is not said several times.
            while len(self._serving) < self._settings.workers:
                await self._start()

    async def _start(self) -> None:
        """Start a worker, and wait until it serves. Raises DidNotStart."""
        if self._stopping.is_set():
            raise DidNotStart
        dead = self._dead[:]
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *sys.orig_argv[1:],
                env=os.environ | self._inheritance(theirs.fileno(), dead),
                pass_fds=(theirs.fileno(),),
                # Ctrl+C is for the supervisor, which passes it on.
                process_group=0,
            )
        reader, link = await asyncio.open_connection(sock=ours)
        worker = Worker(process, link)
        self._watching[worker] = asyncio.create_task(self._watch(worker))
        if self._stopping.is_set():
            worker.send(signal.SIGTERM)
        try:
            async with asyncio.timeout(START_SECONDS):
                worker.name = (await reader.readline()).decode().strip()
        except TimeoutError:
            logger.error("Worker %d was not ready after %.0f s.", worker.pid, START_SECONDS)
            worker.send(signal.SIGKILL)
        if not worker.name:
            raise DidNotStart
        # It has read that they are dead.
        self._dead = [name for name in self._dead if name not in dead]
        self._serving.append(worker)

    def _inheritance(self, link: int, dead: list[str]) -> dict[str, str]:
        """What is different in the environment of a worker."""
        model = None
        if self._model:
            model = {"base_url": self._model.base_url, "api_key": self._model.api_key}
        inherited = json.dumps({"link": link, "dead": dead, "model": model})
        # The port is still ours, whatever `.env` says by now.
        return {"WORKERS": "1", "HOST": self._settings.host, "PORT": str(self._port), INHERITED: inherited}

    async def _watch(self, worker: Worker) -> None:
        """Wait until a worker has left, and replace it if nobody asked it to."""
        code = await worker.gone()
        del self._watching[worker]
        if worker in self._serving:
            self._serving.remove(worker)
            self._dead.append(worker.name)
            if not self._stopping.is_set():
                logger.error("Worker %d has died (%d). Another one takes its place.", worker.pid, code)
                await self._replace()

    async def _replace(self) -> None:
        while not self._stopping.is_set():
            with suppress(DidNotStart):
                await self._fill()
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(PAUSE):
                    await self._stopping.wait()

    async def _deploy(self) -> None:
        while True:
            await self._outdated.wait()
            self._outdated.clear()
            try:
                await self._renew()
            except DidNotStart:
                if not self._stopping.is_set():
                    logger.error("The new worker could not start. The old ones continue.")

    async def _renew(self) -> None:
        """Replace all workers that serve now, one by one. Raises DidNotStart."""
        # Who is starting just now may have read what is old.
        async with self._changing:
            outdated = self._serving[:]
        for old in outdated:
            async with self._changing:
                # One that has died meanwhile has been replaced already.
                if old not in self._serving:
                    continue
                await self._start()
                if old in self._serving:
                    self._serving.remove(old)
                    old.send(signal.SIGTERM)
            if old in self._watching:
                limit = self._settings.grace_seconds + CLOSING_SECONDS
                await asyncio.wait({self._watching[old]}, timeout=limit)
                # It is gone, or it hangs.
                old.send(signal.SIGKILL)
        logger.info("All workers are new.")
