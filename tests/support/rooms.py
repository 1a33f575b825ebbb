"""Rooms whose replies are those of the app: `answer` of main.py with the flow and its node."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from chat.conversation import Conversation
from chat.log import Log
from chat.room import Room
from chat.rooms import Rooms
from chat.writers import Writers
from main import answer
from utils.settings import Settings

LEASE = 0.4  # seconds
SETTINGS = Settings(lease_seconds=LEASE, grace_seconds=0)


class OpenedRooms(Rooms):
    """Rooms to be entered once their log has been read."""

    @asynccontextmanager
    async def enter(self, conversation: str, *, reading: bool = True) -> AsyncIterator[tuple[Room, Writers]]:
        with self.held(conversation, reading=reading) as (room, writers):
            await room.opened()
            yield room, writers


def app_rooms(log: Log, settings: Settings = SETTINGS) -> OpenedRooms:
    """What main.py makes of a log."""
    writes = partial(answer, budget=settings.context_budget)
    return OpenedRooms(
        log,
        writes,
        lease_seconds=settings.lease_seconds,
        orphan_seconds=settings.orphan_seconds,
        max_replies=settings.max_replies,
    )


async def ended(room: Room, turn_id: str, limit: float = 5.0) -> str:
    """Wait for the end of a turn; its status."""
    async with asyncio.timeout(limit):
        await room.until(lambda: room.conversation.turn(turn_id) is not None and not room.conversation.is_open(turn_id))
    turn = room.conversation.turn(turn_id)
    assert turn
    return turn.status


async def stored(log: Log, conversation: str = "c") -> Conversation:
    """What the log says by now."""
    found = Conversation()
    for place, event in await log.read(conversation, None):
        found.apply(place, event)
    return found
