"""What a log promises: the events of each conversation, in one order, at least once, for longer than this process."""

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from utils.conversation import Event

Id = Any  # of an event: only equal or not equal


class Gap(Exception):
    """The place to read on from is no longer in the log: read again from the beginning."""


class Log(Protocol):
    """Where conversations are kept. `worker` is the name of this process while it lives.

    append  adds an event and returns the ids of the one before it and of itself: now it outlives the process. It may
            raise although the event is there, or add it twice: folding it again changes nothing
    read    what came after this event (None: all there is), or raises Gap if this event is no longer there
    forget  drops these events
    alive   whether that worker gave a sign of life within the lease
    watch   gives an event that is set when another process may have added to the conversation; it may come late
    """

    worker: str

    async def append(self, conversation: str, event: Event) -> tuple[Id | None, Id]: ...
    async def read(self, conversation: str, after: Id | None) -> list[tuple[Id, Event]]: ...
    async def forget(self, conversation: str, ids: list[Id]) -> None: ...
    async def alive(self, worker: str) -> bool: ...
    def watch(self, conversation: str) -> AbstractAsyncContextManager[asyncio.Event]: ...


def open_log(url: str, lease: float) -> AbstractAsyncContextManager[Log]:
    """The log that a STORE_URL names, such as sqlite:///chat.db; `lease` is in seconds."""
    from utils.sqlite_log import SqliteLog

    return SqliteLog(url.removeprefix("sqlite:///"), lease)
