"""What a worker has from its supervisor (utils/supervisor.py)."""

import asyncio
import json
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

# The environment variable in which the supervisor passes it all on, as JSON.
INHERITED = "POCKET_CHAT_WORKER"


@dataclass(frozen=True)
class RunningModel:
    """The local model, which runs once: in the supervisor."""

    base_url: str
    api_key: str


class Supervisor:
    """The supervisor of this worker."""

    def __init__(self, link: int, dead: list[str], model: dict[str, str] | None) -> None:
        # The names of workers that have died.
        self.dead = dead
        self.model = RunningModel(**model) if model else None
        self._link = socket.socket(fileno=link)

    def report_ready(self, name: str, on_loss: Callable[[], Any]) -> None:
        """Report that the worker of this name serves.

        `on_loss()` is called when the supervisor is gone.
        """
        loop = asyncio.get_running_loop()

        def lost() -> None:
            loop.remove_reader(self._link)
            on_loss()

        # It sends nothing: all there is to read is the end.
        loop.add_reader(self._link, lost)
        with suppress(OSError):
            self._link.send(f"{name}\n".encode())


@cache
def supervisor() -> Supervisor | None:
    """None if this process is not a worker of a supervisor."""
    inherited = os.environ.get(INHERITED)
    return Supervisor(**json.loads(inherited)) if inherited else None
