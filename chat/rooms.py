"""The rooms open in this process, and the limit on replies written at a time."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

from chat.ends import LEAVE_SECONDS
from chat.log import Log
from chat.room import Room
from chat.writers import Answer, Writers

# At the limit on replies, one is interrupted only if more than this part of them is unread.
UNREAD_PART = 0.25

# How many characters of closed conversations to cache, so that a reload reads only new events.
CACHED_CHARS = 4_000_000

# A room takes about as much memory as so many characters, however short its conversation is.
ROOM_CHARS = 5_000


class Rooms:
    """The open rooms, and the writers of each. `answer(room, turn)` writes a reply.

    Create one `Rooms` for each `Log`: two would both write every reply. At most `max_replies` are
    written at a time (see `make_room`).
    """

    def __init__(
        self,
        log: Log,
        answer: Answer,
        *,
        lease_seconds: float,
        orphan_seconds: float,
        max_replies: int,
    ) -> None:
        self._log = log
        self._answer = answer
        self._lease_seconds = lease_seconds
        self._orphan_seconds = orphan_seconds
        self._max_replies = max_replies
        self._open: dict[str, tuple[Writers, asyncio.Task[None]]] = {}
        # Closed rooms with their size in characters, the longest closed first.
        self._cached: dict[str, tuple[Writers, int]] = {}
        # Those of the rooms in which a reply is being written.
        self._writing: set[Writers] = set()
        self._closing = False

    @contextmanager
    def held(
        self,
        conversation: str,
        *,
        reading: bool = True,
    ) -> Iterator[tuple[Room, Writers]]:
        """Keep a conversation's room open; its log may not have been read yet.

        `reading` counts the caller as a reader.
        """
        if conversation not in self._open:
            self._open[conversation] = self._open_room(conversation)
        writers, _ = self._open[conversation]
        with writers.room.held(reading=reading):
            yield writers.room, writers

    def make_room(self) -> bool:
        """Free a slot for another reply. False if there is none.

        At the limit, if too many replies are unread, one of those is interrupted: one without text
        if there is any, otherwise the one unread for longest.
        """
        if len(self._writing) < self._max_replies:
            return True
        unread = [each for each in self._writing if not each.room.readers]
        unread = [each for each in unread if not each.are_giving_up]
        if len(unread) <= self._max_replies * UNREAD_PART:
            return False
        min(unread, key=lambda each: (each.have_text, each.room.read_at)).give_up()
        return True

    def _open_room(self, conversation: str) -> tuple[Writers, asyncio.Task[None]]:
        cached, _ = self._cached.pop(conversation, (None, 0))
        writers = cached or self._new_writers(conversation)
        writers.room.reopen()
        if self._closing:
            writers.close()
        return writers, asyncio.create_task(writers.room.follow())

    def _new_writers(self, conversation: str) -> Writers:
        room = Room(conversation, self._log, on_empty=partial(self._close, conversation))
        return Writers(
            room,
            self._answer,
            lease_seconds=self._lease_seconds,
            orphan_seconds=self._orphan_seconds,
            on_change=self._count,
        )

    def _close(self, conversation: str) -> None:
        writers, following = self._open.pop(conversation)
        writers.leave()
        following.cancel()
        # No view is in the middle of a reply any more.
        writers.room.conversation.join_pieces()
        size = writers.room.conversation.size()
        if size:
            self._cached[conversation] = (writers, size + ROOM_CHARS)
        while sum(size for _, size in self._cached.values()) > CACHED_CHARS:
            del self._cached[next(iter(self._cached))]

    def _count(self, writers: Writers) -> None:
        if writers.are_writing:
            self._writing.add(writers)
        else:
            self._writing.discard(writers)

    async def drain(self, grace_seconds: float) -> None:
        """Let running replies finish within `grace_seconds`, then interrupt the rest."""
        await self._wait_until_idle(grace_seconds)
        self._closing = True
        for writers in self._all_writers():
            writers.close()
        await self._wait_until_idle(LEAVE_SECONDS)

    async def _wait_until_idle(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for writers in self._all_writers():
                    await writers.room.until(lambda: writers.are_idle)  # noqa: B023

    def _all_writers(self) -> list[Writers]:
        return [writers for writers, _ in self._open.values()]
