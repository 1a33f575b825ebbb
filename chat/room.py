"""A room: one conversation in this process, kept up to date from the log.

It reads the log, applies the events, and wakes the tasks that wait for a condition. `chat.writers`
does the writing; its events are applied here like those of any other process.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from chat.conversation import Conversation, Event, is_known
from chat.log import AtMostEvery, Gap, Id, Log, note_append, retry

logger = logging.getLogger(__name__)
unknown_events = logging.getLogger("chat.unknown_events")
unknown_events.addFilter(AtMostEvery(math.inf))


class Room:
    """Stays open while it has a holder (a client or a task), then calls `on_empty()`."""

    def __init__(self, id: str, log: Log, *, on_empty: Callable[[], None]) -> None:
        self.id = id
        self.log = log
        # The name of this process.
        self.worker = log.worker
        self.conversation = Conversation()
        # Incremented by every read and append, even with nothing new; 0 until the first read.
        self.version = 0
        # Incremented when turns already shown were changed or removed (edit, deletion, gap).
        self.epoch = 0
        now = asyncio.get_running_loop().time()
        # When the last event was applied, and when a reader, in any process, was last seen.
        self.written_at = now
        self.read_at = now
        self.readers = 0
        # Called after events that may have opened or closed a turn: Writers._review.
        self.on_turns: Callable[[], None] = lambda: None
        # Called when a reader joins or leaves.
        self.on_readers: Callable[[], None] = lambda: None
        self._on_empty = on_empty
        # The place of the last event applied.
        self._cursor: Id | None = None
        # The places of events whose turn no longer exists, to be deleted from the log.
        self._strays: list[Id] = []
        self._reading = asyncio.Lock()
        self._news = asyncio.Event()
        self._waiters: dict[asyncio.Future[None], Callable[[], bool]] = {}
        self._holders = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def reopen(self) -> None:
        """Prepare for follow(): a cached conversation may be out of date until the next read."""
        self.version = 0
        self.read_at = asyncio.get_running_loop().time()

    async def follow(self) -> None:
        """Apply new events from the log until cancelled."""
        await retry(self._follow)

    async def _follow(self) -> None:
        async with self.log.watch(self.id) as self._news:
            while True:
                await self.catch_up()
                await self._news.wait()
                self._news.clear()

    def look_again(self) -> None:
        """Make follow() read again: there may be events that watch() did not signal."""
        self._news.set()

    async def catch_up(self) -> None:
        """Apply everything that is in the log by now."""
        # One read at a time: the slower of two could bring back deleted events.
        async with self._reading:
            start = self._cursor
            try:
                events = await self.log.read(self.id, start)
            except Gap:
                await self._start_over()
                return
            # append() may have advanced the cursor during this read: skip what it applied already.
            if self._cursor != start:
                places = [place for place, _ in events]
                known = places.index(self._cursor) + 1 if self._cursor in places else len(places)
                events = events[known:]
            self._apply(events)

    async def _start_over(self) -> None:
        events = await self.log.read(self.id, None)
        self.conversation = Conversation()
        self._cursor = None
        self.epoch += 1
        self._apply(events)
        self.on_turns()
        # Events appended here during this read may be missing from it.
        self.look_again()

    async def append(self, event: Event) -> None:
        """Append an event to the log, and only then apply it, which shows it to the clients."""
        started_at = time.monotonic()
        before, place = await self.log.append(self.id, event)
        note_append(started_at)
        if before == self._cursor:
            self._apply([(place, event)])
        else:
            # Another event was appended in between: read it too.
            await self.catch_up()

    def _apply(self, events: list[tuple[Id, Event]]) -> None:
        edits = self.conversation.edits
        may_change_turns = False
        for place, event in events:
            self._cursor = place
            if not is_known(event):
                unknown_events.warning("events of an unknown type or shape are skipped")
                continue
            self.conversation.apply(place, event)
            may_change_turns |= event["type"] in ("user", "end")
            self._note_activity(event)
            if not self.conversation.turn(event["turn"]):
                self._note_stray(place)
        self.epoch += self.conversation.edits - edits
        self.version += 1
        if may_change_turns:
            self.on_turns()
        self._wake()

    def _note_activity(self, event: Event) -> None:
        now = asyncio.get_running_loop().time()
        if event["type"] != "watched":
            self.written_at = now
        elif event["worker"] != self.worker:
            self.read_at = now

    def _note_stray(self, place: Id) -> None:
        """Delete an event written after a deletion that its writer had not seen yet."""
        self._strays.append(place)
        if len(self._strays) == 1:
            self.run(self._delete_strays())

    async def _delete_strays(self) -> None:
        while self._strays:
            strays = self._strays[:]
            await retry(partial(self.log.forget, self.id, strays))
            self._strays = [place for place in self._strays if place not in strays]

    async def delete_events(self) -> None:
        """Delete the conversation's events from the log."""
        events = await self.log.read(self.id, None)
        # Repeat: another process may append meanwhile, and a leftover event would hide the gap
        # from readers.
        while events:
            await self.log.forget(self.id, [place for place, _ in events])
            events = await self.log.read(self.id, None)
        await self.catch_up()

    # Waiting

    async def opened(self) -> None:
        """Wait until the log has been read."""
        await self.until(lambda: True)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the log has been read and the condition holds."""
        if self.version and condition():
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters[done] = condition
        try:
            await done
        finally:
            del self._waiters[done]

    def _wake(self) -> None:
        for done, condition in self._waiters.items():
            if not done.done() and self.version and condition():
                done.set_result(None)

    # Holders

    @contextmanager
    def held(self, *, reading: bool) -> Iterator[None]:
        """Keep the room open during the `with` block; `reading` counts the holder as a reader."""
        self._holders += 1
        self.readers += reading
        if reading:
            self.on_readers()
        try:
            yield
        finally:
            self.readers -= reading
            if reading:
                self.read_at = asyncio.get_running_loop().time()
                self.on_readers()
            self._release()

    def run(
        self,
        work: Coroutine[Any, Any, None],
        then: Callable[[asyncio.Task[None]], None] | None = None,
    ) -> asyncio.Task[None]:
        """Start a task that outlives any socket, and keeps the room open while it runs.

        `then(task)` is called when it is done, before the room may close.
        """
        # Hold the room from now on: a task cancelled before its first step runs no `finally`.
        self._holders += 1
        task = asyncio.create_task(work)
        self._tasks.add(task)
        if then:
            task.add_done_callback(then)
        task.add_done_callback(self._finished)
        return task

    @property
    def is_idle(self) -> bool:
        """Whether no task started by run() is running."""
        return not self._tasks

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        with suppress(asyncio.CancelledError):
            error = task.exception()
            if error:
                # A caller that awaits the task receives the error too.
                logger.debug("a task of a room failed: %s", type(error).__name__)
        self._wake()
        self._release()

    def _release(self) -> None:
        self._holders -= 1
        if not self._holders:
            self._on_empty()
