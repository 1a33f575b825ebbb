"""A view: what one client has been shown of a room."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import groupby

from utils.conversation import Turn
from utils.frames import Frame
from utils.reply_reader import Reasoning
from utils.room import Room

PING_SECONDS = 20  # A page cannot see the pings of its WebSocket, and takes 45 s of silence for its death.


async def show(room: Room, send: Callable[[Frame], Awaitable[None]], *, resuming: bool) -> None:
    """Send what the client's picture lacks, for as long as this runs: first the history, unless it is a plain client.

    What it lacks is the difference between what it has been sent and what the conversation is now: a slow client gets
    bigger chunks, not a queue.
    """
    at, started, sent = 0, False, 0  # the turn it sees grow, and how many pieces of it it has
    epoch = -1 if resuming else room.epoch
    while True:
        version, turns = room.version, room.conversation.turns
        behind, epoch = epoch != room.epoch, room.epoch
        if resuming and behind:
            at = next((n for n, turn in enumerate(turns) if turn.status == "open"), len(turns))
            started = at < len(turns)
            sent = len(turns[at].pieces) if started else 0
            await send({"type": "history", "turns": [_picture(turn) for turn in turns]})
        while epoch == room.epoch and at < len(turns):
            turn = turns[at]
            if not started:
                started = True
                await send({"type": "start", "content": "", "turn": turn.id, "question": turn.question})
            elif pieces := turn.pieces[sent:]:
                sent += len(pieces)
                for kind, group in groupby(pieces, type):
                    chunk = {"type": "chunk", "content": "".join(group), "turn": turn.id}
                    if kind is not Reasoning:
                        await send(chunk)
                    elif resuming:
                        await send(chunk | {"kind": "reasoning"})
            elif turn.status == "open":
                break
            else:
                at, started, sent = at + 1, False, 0
                if turn.error:
                    await send({"type": "error", **turn.error, "turn": turn.id})
                await send({"type": "end", "content": "", "turn": turn.id, "status": turn.status})
        try:
            async with asyncio.timeout(PING_SECONDS if resuming else None):
                await room.until(lambda: room.version != version)  # noqa: B023
        except TimeoutError:
            await send({"type": "ping"})


def _picture(turn: Turn) -> Frame:
    picture: Frame = {"id": turn.id, "question": turn.question, "answer": turn.answer, "status": turn.status}
    more = {"reasoning": turn.reasoning, "error": turn.error}
    return picture | {name: value for name, value in more.items() if value}
