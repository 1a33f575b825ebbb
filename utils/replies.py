"""The replies that this process writes, and the rooms that it has open."""

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from flow import create_streaming_chat_flow
from utils.conversation import Turn
from utils.frames import BadFrame, Command, Frame, error_frame
from utils.log import Log
from utils.room import RETRY_SECONDS, Room
from utils.settings import Settings

logger = logging.getLogger(__name__)

LEAVE_SECONDS = 5.0  # for a reply that was stopped: it only has to close its connection to the model


class Reply:
    """What the node has for a WebSocket: what it sends becomes part of the conversation.

    Each chunk waits until it is in the log. Meanwhile the model goes on; what it says then comes as one chunk.
    """

    def __init__(self, room: Room, id: str) -> None:
        self._room, self._id = room, id
        self._error: Frame = {}

    async def send_json(self, frame: Frame) -> None:
        """Take a frame of the node."""
        turn = self._room.conversation.turn(self._id)
        if frame["type"] == "chunk" and turn:
            await self._room.append({**frame, "turn": self._id, "n": len(turn.pieces)})
        elif frame["type"] == "error":
            self._error = {"error": {key: frame[key] for key in ("code", "content", "retry")}}
        elif frame["type"] == "end":
            await self.end(frame["status"])

    async def end(self, status: str) -> None:
        """End the turn, if it has not ended yet. While this process lives, this is its duty."""
        while (turn := self._room.conversation.turn(self._id)) and turn.status == "open":
            whole = {"content": turn.answer, "reasoning": turn.reasoning} if status == "done" else {}
            try:
                await self._room.append({"type": "end", "turn": self._id, "status": status, **whole, **self._error})
            except Exception as error:
                logger.warning("the end of a reply could not be kept: %s", type(error).__name__)
                await asyncio.sleep(RETRY_SECONDS)


class Replies:
    """Takes questions, and sees to it that each is answered once."""

    def __init__(self, log: Log, settings: Settings) -> None:
        self._log, self._settings = log, settings
        self._rooms: dict[str, tuple[Room, asyncio.Task[None]]] = {}
        self._answers: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._closing = False

    @asynccontextmanager
    async def room(self, conversation: str, *, readers: int = 1) -> AsyncIterator[Room]:
        """The room of a conversation, read up to now."""
        if conversation not in self._rooms:
            opened = Room(self._log, conversation, self._settings.lease_seconds / 5)
            self._rooms[conversation] = opened, asyncio.create_task(opened.follow())
        room, following = self._rooms[conversation]
        room.users += 1
        room.readers += readers
        try:
            await room.until(lambda: True)
            yield room
        finally:
            room.users -= 1
            room.readers -= readers
            room.left_at = asyncio.get_running_loop().time()
            if not room.users:
                del self._rooms[conversation]
                following.cancel()

    async def ask(self, room: Room, message: Command) -> None:
        """Take a question: when this returns it is in the conversation. Repeating it changes nothing.

        Raises BadFrame if it could not be kept.
        """
        key = room.id, message.id
        if key not in self._answers:
            # A task of its own: no socket can take it down.
            self._answers[key] = asyncio.create_task(self._answer(room.id, message))
            self._answers[key].add_done_callback(lambda _: self._answers.pop(key))
            self._answers[key].add_done_callback(lambda _: room.look_again())
        answer = self._answers[key]
        await room.until(lambda: answer.done() or room.conversation.turn(message.id) is not None)
        if answer.done() and (error := answer.exception()):
            logger.error("a message could not be kept: %s", type(error).__name__)
            raise BadFrame("not_kept", message.id)

    async def stop(self, room: Room, id: str = "") -> None:
        """Stop a reply, whatever worker writes it: to this turn, or ("") the one that is being written."""
        current = room.conversation.current
        id = id or (current.id if current else "")
        if room.is_open(id):
            await room.append({"type": "end", "turn": id, "status": "stopped"})

    async def delete(self, room: Room) -> None:
        """Forget a conversation, with whatever is being written."""
        await room.catch_up()
        answers = [task for (conversation, _), task in self._answers.items() if conversation == room.id]
        for turn in room.conversation.turns[::-1]:  # The last first, or the next would begin.
            await self.stop(room, turn.id)
        if answers:
            await asyncio.wait(answers, timeout=LEAVE_SECONDS)
        if room.conversation.turns:
            await room.drop_all()

    async def drain(self) -> None:
        """Let the replies that are being written finish, up to the grace period; then end them as interrupted."""
        for seconds in (self._settings.grace_seconds, LEAVE_SECONDS):
            if self._answers:
                await asyncio.wait([*self._answers.values()], timeout=seconds)
            self._closing = True
            for room, _ in self._rooms.values():
                room.look_again()

    async def _answer(self, conversation: str, message: Command) -> None:
        """A reply from start to end: until it is whole, or somebody ends it, or nobody is there to read it."""
        async with self.room(conversation, readers=0) as room:
            event = {"type": "user", "turn": message.id, "worker": self._log.worker, "content": message.content}
            try:
                await room.append(event | ({"replaces": message.replaces} if message.replaces else {}))
            except Exception:
                await room.catch_up()
                if not room.conversation.turn(message.id):  # It may be there all the same.
                    raise
            await room.until(lambda: self._is_due(room, message.id))
            turn = room.conversation.turn(message.id)
            if not turn or turn.status != "open" or turn.worker != self._log.worker:
                return  # Stopped before it began, or asked through another worker first.
            reply = Reply(room, turn.id)
            writing = asyncio.create_task(self._run_flow(room, turn, reply))
            over = asyncio.create_task(room.until(lambda: self._closing or not room.is_open(message.id)))
            try:
                with suppress(Exception):  # It only saves space, and is tried again with the next question.
                    await room.drop_chunks()
                patience = self._settings.orphan_seconds
                while not (writing.done() or over.done()) and patience > 0:
                    await asyncio.wait({writing, over}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                    patience = self._settings.orphan_seconds - room.alone_for()
                await reply.end("interrupted")  # The record first; then there is time to tidy up.
            finally:
                writing.cancel()
                over.cancel()
                await asyncio.wait({writing, over}, timeout=LEAVE_SECONDS)
            await room.catch_up()  # If it was deleted elsewhere, a last chunk may have come after that.

    def _is_due(self, room: Room, id: str) -> bool:
        return self._closing or not room.is_open(id) or room.conversation.turn(id) is room.conversation.current

    async def _run_flow(self, room: Room, turn: Turn, reply: Reply) -> None:
        try:
            shared = {
                "websocket": reply,
                "user_message": turn.question,
                "conversation_history": room.conversation.history(turn, self._settings.context_budget),
            }
            await create_streaming_chat_flow().run_async(shared)
            await reply.end("done")
        except Exception as error:  # Not the error's text: it may hold a key.
            where = "".join(traceback.format_tb(error.__traceback__))
            logger.error("the flow failed\nTraceback (most recent call last):\n%s%s", where, type(error).__name__)
            await reply.send_json(error_frame("internal_error"))
            await reply.end("error")
