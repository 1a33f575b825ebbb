"""nginx itself, with deploy/nginx.conf: only the addresses, the path and, for a load, the limits are others."""

import asyncio
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from tests.support.client import Client
from tests.support.server import ROOT, Server

CONFIGURATION = ROOT / "deploy" / "nginx.conf"
SETTINGS = """\
daemon off;
pid {folder}/pid;
error_log {folder}/log;
{user}
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/chat.conf;
}}
"""


class Nginx:
    """`async with Nginx(workers) as nginx`: as a server, its clients reach one worker after the other.

    `path` is where the chat is. `unlimited`: all clients are one person here, and may be hundreds.
    """

    def __init__(self, workers: Sequence[Server], path: str = "/", *, unlimited: bool = False) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="nginx-")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.host = f"127.0.0.1:{port}"
        self.url = f"http://{self.host}{path}"
        self.ws_url = f"ws://{self.host}{path}ws"
        # A server looks for secrets in what its clients were sent.
        self.frames = workers[0].frames
        self._text = adapted(CONFIGURATION.read_text(), port, [worker.port for worker in workers], path)
        if unlimited:
            self._text = re.sub(r"^ *limit_(conn|req) .*\n", "", self._text, flags=re.MULTILINE)

    def client(self, **options: Any) -> Client:
        """A plain client."""
        return Client(self.ws_url, self.frames, **options)

    async def __aenter__(self) -> Self:
        folder = Path(self._folder.name)
        # nginx would give its workers to nobody, who may not enter this folder.
        user = "user root root;" if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(SETTINGS.format(folder=folder, user=user))
        (folder / "chat.conf").write_text(self._text)
        self._log = folder / "log"
        self._process = await asyncio.create_subprocess_exec(
            nginx_program(),
            "-p",
            folder,
            "-e",
            self._log,
            "-c",
            folder / "nginx.conf",
            stdin=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(10):
            while not self._accepts():
                assert self._process.returncode is None, self._log.read_text()
                await asyncio.sleep(0.01)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        if kind:
            print(self._log.read_text())
        self._process.terminate()
        async with asyncio.timeout(10):
            await self._process.wait()
        self._folder.cleanup()

    def _accepts(self) -> bool:
        host, port = self.host.split(":")
        with socket.socket() as connection:
            return connection.connect_ex((host, int(port))) == 0


def adapted(text: str, port: int, workers: Sequence[int], path: str) -> str:
    """The file for these ports, and below this path, changed as it says."""
    servers = "".join(f"    server 127.0.0.1:{worker} max_fails=0;\n" for worker in workers)
    text, upstreams = re.subn(r"(    server app\d:8000 max_fails=0;\n)+", servers, text)
    text, ports = re.subn(r"^    listen 80;", f"    listen 127.0.0.1:{port};", text, flags=re.MULTILINE)
    text, places = re.subn(r"^    location (= )?/", rf"    location \1{path}", text, flags=re.MULTILINE)
    assert (upstreams, ports, places) == (1, 1, 3)
    return text


def nginx_program() -> str:
    """Where nginx is. Without it the test is skipped, but not on CI."""
    # Debian has it where only root looks.
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program:
        return program
    if os.environ.get("CI") == "true":
        pytest.fail("nginx is not installed")
    pytest.skip("nginx is not installed")
