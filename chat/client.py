"""One client: receives its commands and sends it its conversation, at the same time."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from traceback import clear_frames
from typing import Any

from starlette.websockets import WebSocket

from chat.connection import Connection, Gone
from chat.ends import LEAVE_SECONDS
from chat.frames import Anchor, BadFrame, Command, Frame, error_frame, read_frame
from chat.limits import Budget
from chat.log import report_outage
from chat.room import Room
from chat.rooms import Rooms
from chat.view import View, earlier_page
from chat.writers import Writers
from utils.settings import Settings
from utils.time_limit import TimeLimit

# After so many refused frames the connection is closed. A page sends none.
FLOOD = 100

# For the first command. A page sends one at once, and a silent socket takes somebody's place.
FIRST_FRAME_SECONDS = 10.0

# For the first look into a conversation. The page comes back later, by itself.
OPEN_SECONDS = 5.0

# A page cannot see the pings of its WebSocket, and takes 45 s of silence for a dead connection.
PING_SECONDS = 20.0


class Client:
    """A WebSocket and its conversation. `model` completes when the model has loaded."""

    def __init__(
        self,
        socket: WebSocket,
        rooms: Rooms,
        settings: Settings,
        model: asyncio.Future[Any] | None = None,
    ) -> None:
        self._connection = Connection(socket, settings.send_seconds)
        self._rooms = rooms
        self._settings = settings
        self._model = model
        # Whether it started with `resume`. A plain client knows neither turns nor histories.
        self._resuming = False
        self._room: Room | None = None
        self._refused = 0
        messages = settings.messages_per_minute
        self._messages = Budget(messages, messages / 60)

    async def run(self) -> None:
        """Serve the client until it leaves."""
        try:
            first = await self._read_first()
            self._resuming = first.type == "resume"
            conversation = (first.id if self._resuming else "") or secrets.token_urlsafe(16)
            # Held until the last task that uses the room is done.
            with self._rooms.held(conversation) as (room, writers):
                self._room = room
                try:
                    await self._serve(first, room, writers)
                finally:
                    # A plain client cannot come back for it.
                    if not self._resuming and room.version:
                        writers.surely_delete()
        except* Gone as gone:
            # The error holds its frames, and they hold it: all that belongs to this connection
            # would stay until a full garbage collection.
            for error in (gone, *gone.exceptions):
                clear_frames(error.__traceback__)

    async def _serve(self, first: Command, room: Room, writers: Writers) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._show(first, room, tasks))
            handling: asyncio.Task[None] | None = None
            if not self._resuming:
                handling = tasks.create_task(self._obey(first, room, writers))
            while True:
                # Receive while a frame is handled: a disconnect must be noticed at once.
                try:
                    text = await self._connection.receive()
                except Gone:
                    # What the client asked for before it left still counts.
                    if handling and room.version:
                        await asyncio.wait({handling}, timeout=LEAVE_SECONDS)
                    raise
                if handling:
                    await handling
                handling = tasks.create_task(self._handle(text, room, writers))

    # Showing

    async def _show(self, first: Command, room: Room, tasks: asyncio.TaskGroup) -> None:
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await room.opened()
        except TimeoutError:
            await self._refuse(BadFrame("unavailable", "" if self._resuming else first.id))
            await self._connection.close(1013, "Conversations cannot be read right now.")
        if self._resuming:
            await self._introduce(room.id, tasks)
        await show(room, self._connection.send, resuming=self._resuming, after=first.after)

    async def _introduce(self, conversation: str, tasks: asyncio.TaskGroup) -> None:
        about = {
            "type": "conversation",
            "id": conversation,
            "model": self._settings.model_name,
            "demo": self._settings.uses_local_model,
            "limit": self._settings.max_message_chars,
        }
        loading = self._model is not None and not self._model.done()
        await self._connection.send({**about, "loading": loading})
        if loading:
            tasks.create_task(self._announce_model(about))

    async def _announce_model(self, about: Frame) -> None:
        if self._model:
            await asyncio.wait({self._model})
        await self._connection.send({**about, "loading": False})

    # Receiving

    async def _read(self, text: str | None) -> Command | None:
        """The command in a frame; None if it was refused."""
        try:
            return read_frame(text, self._settings.max_message_chars)
        except BadFrame as bad:
            await self._refuse(bad)
            return None

    async def _read_first(self) -> Command:
        try:
            async with asyncio.timeout(FIRST_FRAME_SECONDS):
                while True:
                    command = await self._read(await self._connection.receive())
                    if command:
                        return command
        except TimeoutError:
            await self._connection.close(1008, "Nothing was asked for in time.")

    async def _handle(self, text: str | None, room: Room, writers: Writers) -> None:
        command = await self._read(text)
        if command:
            await self._obey(command, room, writers)

    async def _obey(self, command: Command, room: Room, writers: Writers) -> None:
        await room.opened()
        try:
            match command.type:
                case "message" if not room.conversation.knows(command.id):
                    if not self._resuming:
                        # A plain client has no frame for removed turns, so it cannot edit.
                        command = replace(command, replaces="")
                    self._check_limits(room, command)
                    await writers.ask(command.id, command.content, command.replaces)
                case "stop":
                    await writers.stop(command.id)
                case "delete":
                    await writers.delete()
                case "earlier":
                    page = earlier_page(room, command.id)
                    if page:
                        await self._connection.send(page)
                case "resume":
                    raise BadFrame("bad_frame")
        except BadFrame as bad:
            await self._refuse(bad)
        except Gone:
            raise
        except Exception as error:
            report_outage(error)
            turn = command.id if command.type == "message" else ""
            await self._refuse(BadFrame("not_kept", turn))

    def _check_limits(self, room: Room, message: Command) -> None:
        size = room.conversation.size(message.replaces) + len(message.content)
        if size > self._settings.max_conversation_chars:
            raise BadFrame("conversation_full", message.id)
        if not self._messages.spend():
            raise BadFrame("rate_limited", message.id)
        # Last: it may cost somebody else an unread reply.
        if not self._rooms.make_room():
            raise BadFrame("busy", message.id)

    async def _refuse(self, bad: BadFrame) -> None:
        """Send the reason. A refused message gets its end too, so that the client unlocks."""
        self._refused += 1
        turn = {"turn": bad.turn} if bad.turn else {}
        await self._connection.send({**error_frame(bad.code), **turn})
        if bad.turn and not self._reads_plainly():
            await self._connection.send({"type": "end", "content": "", "status": "error", **turn})
        if self._refused > FLOOD:
            await self._connection.close(1008, "Too many bad frames.")

    def _reads_plainly(self) -> bool:
        """A plain client that is reading a reply would mistake this end for the reply's."""
        if self._resuming or not self._room:
            return False
        return self._room.conversation.current is not None


async def show(
    room: Room,
    send: Callable[[Frame], Awaitable[None]],
    *,
    resuming: bool,
    after: Anchor | None = None,
) -> None:
    """Send whatever the conversation has gained since the last frame, until cancelled."""
    view = View(room, resuming=resuming, after=after)
    until_ping = TimeLimit(PING_SECONDS)
    while True:
        version = room.version
        for frame in view.missing():
            await send(frame)
        try:
            async with until_ping:
                await room.until(lambda: room.version != version)  # noqa: B023
        except TimeoutError:
            if resuming:
                await send({"type": "ping"})
