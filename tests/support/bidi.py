"""A stock Firefox under WebDriver BiDi, the protocol that it speaks by itself.

Playwright cannot take its place: it needs a Firefox of its own, or commands that the extended
support release does not have.
"""

import asyncio
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

Fields = dict[str, Any]
Listener = Callable[[str, Fields], None]

# Seconds for a start or a command: a new profile on a busy machine takes its time.
LIMIT = 60.0

# A driven Firefox itself turns updates, telemetry and first-run pages off. Whatever is left cannot
# leave this machine: every address but the local one goes through a proxy that does not exist.
# Without a screen there is no mouse either; 6 is one that points finely and hovers.
PROFILE = """
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("network.proxy.type", 1);
user_pref("network.proxy.http", "127.0.0.1");
user_pref("network.proxy.http_port", 9);
user_pref("network.proxy.ssl", "127.0.0.1");
user_pref("network.proxy.ssl_port", 9);
user_pref("ui.primaryPointerCapabilities", 6);
user_pref("ui.allPointerCapabilities", 6);
"""


class Refused(Exception):
    """Firefox refused a command. The text says which and why."""


class Firefox:
    """`async with Firefox(executable) as firefox`, then commands of the protocol."""

    def __init__(self, executable: str) -> None:
        self._executable = executable
        # It may still be writing when it is killed.
        self._folder = tempfile.TemporaryDirectory(prefix="firefox-", ignore_cleanup_errors=True)
        self._answers: list[asyncio.Future[Fields]] = []
        self._listeners: dict[str, Listener] = {}

    async def __aenter__(self) -> Self:
        profile = Path(self._folder.name)
        Path(profile, "user.js").write_text(PROFILE)
        arguments = ["--headless", "--remote-debugging-port=0", "--profile", str(profile)]
        # pytest shows what it writes next to a failure.
        self._process = await asyncio.create_subprocess_exec(
            self._executable, *arguments, stdin=asyncio.subprocess.DEVNULL
        )
        try:
            self._socket = await _connected(profile)
            self._receiving = asyncio.create_task(self._receive())
            await self.command("session.new", capabilities={})
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._receiving.cancel()
        await self._socket.close()
        await self._end()

    def listen(self, context: str, listener: Listener) -> None:
        """Call the listener with the name and the fields of each event in a tab."""
        self._listeners[context] = listener

    async def command(self, method: str, **parameters: Any) -> Fields:
        """Have Firefox do something, and wait until that is done."""
        answer: asyncio.Future[Fields] = asyncio.get_running_loop().create_future()
        command = {"id": len(self._answers), "method": method, "params": parameters}
        self._answers.append(answer)
        await self._socket.send(json.dumps(command))
        async with asyncio.timeout(LIMIT):
            fields = await answer
        if fields["type"] == "error":
            raise Refused(f"{method}: {fields['error']}: {fields['message']}")
        result: Fields = fields["result"]
        return result

    async def _receive(self) -> None:
        try:
            async for text in self._socket:
                fields = json.loads(text)
                if fields["type"] == "event":
                    self._tell(fields["method"], fields["params"])
                else:
                    self._answers[fields["id"]].set_result(fields)
        except ConnectionClosed:
            pass  # Firefox crashed: the command that waits runs into its limit.

    def _tell(self, event: str, fields: Fields) -> None:
        context = fields.get("context") or fields.get("source", {}).get("context")
        if listener := self._listeners.get(context):
            listener(event, fields)

    async def _end(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        self._folder.cleanup()


async def _connected(profile: Path) -> ClientConnection:
    """Firefox writes its port into the profile, once it listens."""
    server = Path(profile, "WebDriverBiDiServer.json")
    async with asyncio.timeout(LIMIT):
        while True:
            try:
                port = json.loads(server.read_text())["ws_port"]
                return await connect(f"ws://127.0.0.1:{port}/session", proxy=None, max_size=None)
            except (FileNotFoundError, ValueError):
                await asyncio.sleep(0.02)
