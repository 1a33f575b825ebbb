"""Handles what no event reports: a dead worker, an unread reply, a reader of another's reply."""

import asyncio
import math

from chat.conversation import Turn
from chat.ends import INTERRUPTED, end, end_ours
from chat.log import RETRY_SECONDS, report_outage
from chat.room import Room

# How long a reply with no text yet may run without a reader.
UNSTARTED_SECONDS = 10.0


class Watchdog:
    """A timer for the current turn of a room.

    Our open turns are interrupted if nobody has read for `orphan_seconds` (at most
    UNSTARTED_SECONDS while the reply has no text). A turn of a worker whose lease has expired is
    interrupted too. If a reply of another worker is read here, a `watched` event informs it.
    """

    def __init__(
        self,
        room: Room,
        *,
        lease_seconds: float,
        orphan_seconds: float,
    ) -> None:
        self._room = room
        self._orphan_seconds = orphan_seconds
        self._check_seconds = lease_seconds / 5
        self._checked_at = 0.0
        self._announced_at = -math.inf
        self._timer: asyncio.TimerHandle | None = None

    def reset(self) -> None:
        """Set the timer again: turns or readers have changed."""
        self.cancel()
        due_at = self._due_at()
        if due_at is not None:
            self._timer = asyncio.get_running_loop().call_at(due_at, self._fire)

    def cancel(self) -> None:
        """Stop watching."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _due_at(self) -> float | None:
        turn = self._room.conversation.current
        if not turn:
            return None
        if turn.worker == self._room.worker:
            return None if self._room.readers else self._give_up_at(turn)
        if not self._room.readers:
            return self._check_at
        return min(self._check_at, self._announce_at(turn))

    def _give_up_at(self, turn: Turn) -> float:
        """When to interrupt our reply if nobody reads it until then."""
        orphan_at = self._room.read_at + self._orphan_seconds
        if turn.pieces:
            return orphan_at
        # A queued turn has begun only with the last event: the `end` of the one before it.
        begun_at = max(self._room.read_at, self._room.written_at)
        return min(orphan_at, begun_at + UNSTARTED_SECONDS)

    def _announce_at(self, turn: Turn) -> float:
        """When to announce a reader: well before the worker of this turn gives up."""
        patience = self._orphan_seconds
        if not turn.pieces:
            patience = min(patience, UNSTARTED_SECONDS)
        # Never without a pause, even if orphan_seconds is 0.
        return self._announced_at + max(patience / 3, 0.05)

    @property
    def _check_at(self) -> float:
        """When to check the lease next: some time after this conversation's last event."""
        return max(self._room.written_at, self._checked_at) + self._check_seconds

    def _fire(self) -> None:
        due_at = self._due_at()
        if due_at is not None and due_at <= asyncio.get_running_loop().time():
            self._room.run(self._act())
        else:
            # New chunks have moved the due time; they do not reset the timer themselves.
            self.reset()

    async def _act(self) -> None:
        try:
            turn = self._room.conversation.current
            if turn and turn.worker == self._room.worker:
                await end_ours(self._room)
            elif turn:
                await self._check_lease(turn)
                await self._announce_reader(turn)
        except Exception as error:
            report_outage(error)
            await asyncio.sleep(RETRY_SECONDS)
        self.reset()

    async def _check_lease(self, turn: Turn) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._check_at:
            return
        self._checked_at = now
        if not await self._room.log.alive(turn.worker):
            await end(self._room, turn.id, INTERRUPTED)

    async def _announce_reader(self, turn: Turn) -> None:
        now = asyncio.get_running_loop().time()
        if self._room.readers and now >= self._announce_at(turn):
            self._announced_at = now
            watched = {"type": "watched", "turn": turn.id, "worker": self._room.worker}
            await self._room.append(watched)
