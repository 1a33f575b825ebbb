"""One client: what it sends is read all the time, and it is shown its conversation."""

import asyncio
import json
import secrets
import time
from dataclasses import replace
from functools import lru_cache
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect

from utils.frames import BadFrame, Command, Frame, error_frame, read_frame
from utils.replies import Replies
from utils.room import Room
from utils.settings import Settings
from utils.view import show

FLOOD = 100  # refused frames on one connection; a page sends none


class Gone(Exception):
    """The client has left, or takes nothing any more."""


class Connection:
    """A WebSocket, and what its client may do with it. `model` is done when the model is ready to answer."""

    def __init__(
        self, socket: WebSocket, replies: Replies, settings: Settings, model: asyncio.Future[Any] | None = None
    ) -> None:
        self._socket, self._replies, self._settings = socket, replies, settings
        self._loading = None if model is None or model.done() else model
        self._refused = 0
        self._plain_room: Room | None = None  # of a client that does not know turns
        self._asked: list[float] = []  # when the messages of the last minute came

    async def run(self) -> None:
        """Serve the client until it leaves."""
        try:
            first = await self._receive()
        except Gone:
            return
        settings, resuming = self._settings, first.type == "resume"
        conversation = (first.id if resuming else "") or secrets.token_urlsafe(16)
        async with self._replies.room(conversation) as room:
            try:
                self._plain_room = None if resuming else room
                about = {"model": settings.model_name, "demo": settings.uses_local_model}
                about |= {"type": "conversation", "id": conversation, "limit": settings.max_message_chars}
                if resuming:
                    await self._send(about | {"loading": self._loading is not None})
                async with asyncio.TaskGroup() as tasks:  # The end of one is the end of both.
                    tasks.create_task(show(room, self._send, resuming=resuming))
                    tasks.create_task(self._obey(room, first))
                    if resuming and self._loading:
                        await asyncio.wait({self._loading})
                        await self._send(about | {"loading": False})
            except* Gone:
                pass
            finally:
                if not resuming:  # Nobody can come back for it.
                    await self._replies.delete(room)

    async def _obey(self, room: Room, first: Command) -> None:
        command = first
        while True:
            try:
                match command.type:
                    case "message" if not room.conversation.turn(command.id):
                        self._check_limits(room, command)
                        if self._plain_room:  # It could not be shown that something is gone.
                            command = replace(command, replaces="")
                        await self._replies.ask(room, command)
                    case "stop":
                        await self._replies.stop(room, command.id)
                    case "delete":
                        await self._replies.delete(room)
                    case "resume" if command is not first:
                        raise BadFrame("bad_frame")
            except BadFrame as bad:
                await self._refuse(bad)
            command = await self._receive()

    def _check_limits(self, room: Room, message: Command) -> None:
        now = time.monotonic()
        self._asked = [at for at in self._asked if now - at < 60]
        if len(self._asked) >= self._settings.messages_per_minute:
            raise BadFrame("rate_limited", message.id)
        if len(room.conversation.turns) >= self._settings.max_turns and not room.conversation.turn(message.replaces):
            raise BadFrame("conversation_full", message.id)
        self._asked.append(now)

    async def _receive(self) -> Command:
        while self._refused <= FLOOD:
            received = await self._socket.receive()
            if received["type"] == "websocket.disconnect":
                raise Gone
            try:
                return read_frame(received.get("text"), self._settings.max_message_chars)
            except BadFrame as bad:
                await self._refuse(bad)
        await self._socket.close(1008, "Too many bad frames.")
        raise Gone

    async def _refuse(self, bad: BadFrame) -> None:
        """Say why a frame is not taken. A message gets its end too, so that every client unlocks.

        A plain client that is reading a reply would take it for the reply's: that one's will unlock it.
        """
        self._refused += 1
        turn = {"turn": bad.turn} if bad.turn else {}
        await self._send(error_frame(bad.code) | turn)
        if bad.turn and not (self._plain_room and self._plain_room.conversation.current):
            await self._send({"type": "end", "content": "", "status": "error", **turn})

    async def _send(self, frame: Frame) -> None:
        try:
            async with asyncio.timeout(self._settings.send_seconds):
                await self._socket.send_text(_as_text(**frame) if frame["type"] == "chunk" else json.dumps(frame))
        except (TimeoutError, RuntimeError, WebSocketDisconnect):  # RuntimeError: after the server's own close
            raise Gone from None


@lru_cache(maxsize=32)
def _as_text(**chunk: str) -> str:
    """Made once, however many look at the conversation."""
    return json.dumps(chunk)
