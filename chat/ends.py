"""Ends of turns. Stopping, giving up and finishing a reply all append one; the first counts."""

from functools import partial

from chat import measures
from chat.conversation import Event, Turn
from chat.frames import ERRORS, STATUSES
from chat.log import retry
from chat.room import Room

STOPPED: Event = {"status": "stopped"}
INTERRUPTED: Event = {"status": "interrupted"}

# In measures: any status or error that is not one of ours.
OTHER = "_OTHER"

# Time for a cancelled writer to close its connection to the model.
LEAVE_SECONDS = 5.0


async def end(room: Room, turn_id: str, ending: Event) -> None:
    """End a turn, whichever worker is writing it. Does nothing if it has ended."""
    if room.conversation.is_open(turn_id):
        await room.append({"type": "end", "turn": turn_id, **ending})


async def surely_end(room: Room, turn_id: str, ending: Event) -> None:
    """End one of our turns, retrying until the log accepts it: no other process will."""
    await retry(partial(end, room, turn_id, ending))


def ours(room: Room) -> list[Turn]:
    """The open turns that this process is to answer, oldest first."""
    turns = room.conversation.turns
    return [turn for turn in turns if turn.status == "open" and turn.worker == room.worker]


async def end_ours(room: Room) -> None:
    """Interrupt all the turns that this process is to answer in a room."""
    # Newest first: ending the oldest would start the next reply.
    for turn in ours(room)[::-1]:
        await surely_end(room, turn.id, INTERRUPTED)


async def stop_all(room: Room) -> None:
    """Stop all the replies in a room, whichever worker is writing them."""
    for turn in room.conversation.turns[::-1]:
        await end(room, turn.id, STOPPED)


def count_reply(turn: Turn | None) -> None:
    """Count a reply that was written here, by how it ended. None: its turn was edited away."""
    if not turn:
        measures.replies.add(1, {"status": "stopped"})
        return
    # A newer version, or a flow, may have others: any number of them.
    attributes = {"status": turn.status if turn.status in STATUSES else OTHER}
    if turn.error:
        code = str(turn.error.get("code"))
        attributes["error.type"] = code if code in ERRORS else OTHER
    measures.replies.add(1, attributes)
