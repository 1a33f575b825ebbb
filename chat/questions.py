"""Questions on their way into the log of one room."""

import asyncio
from collections.abc import Callable

from chat.conversation import Event
from chat.room import Room


class Questions:
    """Appends questions. `on_change()` is called when one sets out and when it has arrived."""

    def __init__(self, room: Room, on_change: Callable[[], None]) -> None:
        self._room = room
        self._on_change = on_change
        self.on_their_way: set[asyncio.Task[None]] = set()

    async def ask(self, turn_id: str, question: str, replaces: str) -> None:
        """Append a question, unless its id is known, even if the caller is cancelled.

        Raises what the log raises if the question could not be saved.
        """
        conversation = self._room.conversation
        if conversation.knows(turn_id):
            return
        event: Event = {"type": "user", "turn": turn_id, "content": question}
        event["worker"] = self._room.worker
        if replaces:
            event["replaces"] = replaces
            event["drops"] = conversation.drops(replaces)
        asking = self._room.run(self._append(event), then=self._arrived)
        self.on_their_way.add(asking)
        self._on_change()
        await asyncio.shield(asking)

    def _arrived(self, asking: asyncio.Task[None]) -> None:
        self.on_their_way.discard(asking)
        self._on_change()

    async def _append(self, event: Event) -> None:
        try:
            await self._room.append(event)
        except Exception:
            # It may be in the log all the same, for us to answer: keep the room open until then.
            self._room.run(self._read_once_more())
            await self._room.catch_up()
            if not self._room.conversation.knows(event["turn"]):
                raise

    async def _read_once_more(self) -> None:
        version = self._room.version
        self._room.look_again()
        await self._room.until(lambda: self._room.version != version)
