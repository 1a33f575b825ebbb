"""Writes to a room: appends questions, runs the replies of this process, and appends ends.

A question is an event that names a worker (process), which writes the reply once that turn is the
current one. Stopping, deleting, giving up and draining append an `end`; an edit appends a `user`
event that closes the old turns. `_review` in the worker that is writing the reply then finds the
turn closed, and cancels its writer.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from chat import measures
from chat.conversation import Turn
from chat.ends import (
    INTERRUPTED,
    LEAVE_SECONDS,
    STOPPED,
    count_reply,
    end,
    end_ours,
    ours,
    stop_all,
    surely_end,
)
from chat.log import retry
from chat.questions import Questions
from chat.reply import Reply
from chat.room import Room
from chat.watchdog import Watchdog

logger = logging.getLogger(__name__)

# Runs the flow for a turn, and returns the finished Reply.
Answer = Callable[[Room, Turn], Awaitable[Reply]]


@dataclass(eq=False)
class Writer:
    """The task that writes the reply to one turn."""

    task: asyncio.Task[None]
    # Then there is nothing left to cancel: only the `end` remains to be appended.
    flow_has_returned: bool = False
    was_cancelled: bool = False

    def cancel(self) -> None:
        """Cancel the flow, once: a second cancellation would interrupt its clean-up."""
        if not self.flow_has_returned and not self.was_cancelled:
            self.was_cancelled = True
            self.task.cancel()


class Writers:
    """The writers of one room."""

    def __init__(
        self,
        room: Room,
        answer: Answer,
        *,
        lease_seconds: float,
        orphan_seconds: float,
        on_change: "Callable[[Writers], None]",
    ) -> None:
        self.room = room
        self._answer = answer
        # Whether this process is shutting down: its turns are interrupted instead of answered.
        self._closing = False
        self._writers: dict[str, Writer] = {}
        self._giving_up: asyncio.Task[None] | None = None
        self._questions = Questions(room, self._note_change)
        self._watchdog = Watchdog(
            room,
            lease_seconds=lease_seconds,
            orphan_seconds=orphan_seconds,
        )
        # Called when the replies or readers have changed.
        self._on_change = on_change
        room.on_turns = self._review
        room.on_readers = self._note_change

    # What clients request

    async def ask(self, turn_id: str, question: str, replaces: str = "") -> None:
        """Append a question; `_review` then starts the reply. Does nothing if the id is known.

        Raises what the log raises if the question could not be saved.
        """
        await self._questions.ask(turn_id, question, replaces)

    async def stop(self, turn_id: str = "") -> None:
        """Stop the reply to a turn ("": the current one), whichever worker is writing it."""
        current = self.room.conversation.current
        if not turn_id and current:
            turn_id = current.id
        await end(self.room, turn_id, STOPPED)

    async def delete(self) -> None:
        """Stop all replies and delete the conversation, even if the caller is cancelled."""
        await asyncio.shield(self.room.run(self._delete()))

    def surely_delete(self) -> None:
        """For a client that cannot come back: delete in the background, retrying if necessary."""
        self.room.run(retry(self._delete))

    async def _delete(self) -> None:
        if self._questions.on_their_way:
            await asyncio.wait(self._questions.on_their_way)
        await self.room.catch_up()
        writing = [writer.task for writer in self._writers.values()]
        await stop_all(self.room)
        if writing:
            await asyncio.wait(writing, timeout=LEAVE_SECONDS)
        await self.room.delete_events()

    def close(self) -> None:
        """Shut down: interrupt our open turns, and any that are opened later."""
        self._closing = True
        self.give_up()

    def give_up(self) -> None:
        """Interrupt all our open turns in this room."""
        if ours(self.room):
            self._giving_up = self.room.run(end_ours(self.room))

    @property
    def are_giving_up(self) -> bool:
        """Whether our turns here are about to be interrupted."""
        return self._giving_up is not None and not self._giving_up.done()

    @property
    def are_writing(self) -> bool:
        """Whether this process is writing a reply in this room, or is about to."""
        return bool(self._writers or self._questions.on_their_way)

    @property
    def have_text(self) -> bool:
        """Whether the current reply has any text yet."""
        turn = self.room.conversation.current
        return turn is not None and bool(turn.pieces)

    @property
    def are_idle(self) -> bool:
        """Whether there is nothing left to write or to clean up."""
        return self.room.is_idle and not ours(self.room)

    def leave(self) -> None:
        """Stop the watchdog: the room has closed."""
        self._watchdog.cancel()

    # Writers

    def _review(self) -> None:
        """Start and cancel writers to match the conversation. Idempotent."""
        conversation = self.room.conversation
        for turn_id, writer in self._writers.items():
            if not conversation.is_open(turn_id):
                writer.cancel()
        turn = conversation.current
        if turn and turn.worker == self.room.worker and turn.id not in self._writers:
            self._start(turn.id)
        self._note_change()

    def _note_change(self) -> None:
        self._watchdog.reset()
        self._on_change(self)

    def _start(self, turn_id: str) -> None:
        task = self.room.run(self._write(turn_id), then=partial(self._finish, turn_id))
        self._writers[turn_id] = Writer(task)
        measures.active_replies.add(1)

    def _finish(self, turn_id: str, task: asyncio.Task[None]) -> None:
        writer = self._writers.pop(turn_id)
        measures.active_replies.add(-1)
        is_closing = task.cancelled() and not writer.was_cancelled
        is_open = self.room.conversation.is_open(turn_id)
        if not is_open:
            count_reply(self.room.conversation.turn(turn_id))
        # The turn may be open again: its `end` was lost, or it was asked again after a deletion.
        # But when the event loop is closing, which cancels every task, start nothing.
        if is_open and not is_closing:
            self._review()
        else:
            self._on_change(self)

    async def _write(self, turn_id: str) -> None:
        self.room.run(self._delete_spare_events())
        ending = INTERRUPTED
        writer = self._writers[turn_id]
        # Look the turn up only now: an edit or a gap may have come since this task was created.
        turn = self.room.conversation.turn(turn_id)
        try:
            if turn and self._can_answer(turn):
                reply = await self._answer(self.room, turn)
                ending = reply.ending()
        except asyncio.CancelledError:
            if writer.task.cancelling():
                await self._clean_up(turn_id)
                raise
            logger.error("a flow was cancelled from within: it awaited something cancelled")
        except Exception as error:
            logger.error("a reply could not be written: %s", type(error).__name__)
        writer.flow_has_returned = True
        await surely_end(self.room, turn_id, ending)

    def _can_answer(self, turn: Turn) -> bool:
        """False if the turn has text: the log lost its `end`, and a second answer would follow."""
        return turn in self.room.conversation.turns and not turn.pieces and not self._closing

    async def _clean_up(self, turn_id: str) -> None:
        """Read the log again: the last chunk may have been appended after a deletion.

        Only if the turn is closed. Otherwise the event loop cancelled this task because it is
        closing, and the log would never answer.
        """
        if not self.room.conversation.is_open(turn_id):
            async with asyncio.timeout(LEAVE_SECONDS):
                await self.room.catch_up()

    async def _delete_spare_events(self) -> None:
        """Delete chunks whose text is in an `end`, and the events of retired turns."""
        conversation = self.room.conversation
        places = conversation.spare_places()
        # Ignore errors: this only saves space, and the next reply tries again.
        with suppress(Exception):
            if places:
                await self.room.log.drop(self.room.id, places)
                conversation.note_deleted(places)
