"""A resuming client that comes back after each loss, as the page does, and measures how long its reader waited."""

import asyncio
import random
import secrets
from dataclasses import dataclass

from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.frames import CloseCode

from tests.support.resuming import Address, Tab, Turn

# Seconds, those of static/chat/connection.js.
FIRST_WAIT = 0.5
LONGEST_WAIT = 30.0
# It is lost only while it has a reply to read.
LONGEST_WAIT_AFTER_RESTART = 0.1
SILENCE = 45.0


@dataclass
class Answer:
    """An ended turn. `stall` is the longest time without new text while it was open, in seconds."""

    turn: Turn
    stall: float


class Returning:
    """`await page.answered("hi")`, whatever becomes of its sockets; what was seen once must stay."""

    def __init__(self, address: Address) -> None:
        self.losses = 0
        self.seen = ""
        self._address = address
        self._tab: Tab | None = None
        self._conversation: str | None = None
        self._failures = 0

    async def answered(self, content: str, limit: float = 120.0) -> Answer:
        """Ask, and come back until the turn has ended. The question is sent again until it shows."""
        id = secrets.token_urlsafe(8)
        self.seen = ""
        self._grew_at = asyncio.get_running_loop().time()
        self._stall = 0.0
        async with asyncio.timeout(limit):
            while True:
                try:
                    tab = await self._joined()
                    if not tab.turn(id):
                        await tab.ask(content, id=id)
                    return Answer(await self._followed(tab, id), self._stall)
                except (ConnectionClosed, InvalidHandshake, OSError) as error:
                    await self._lost(error)

    @property
    def conversation(self) -> str:
        assert self._conversation
        return self._conversation

    async def leave(self) -> None:
        if self._tab:
            await self._tab.socket.close()

    async def _joined(self) -> Tab:
        if self._tab:
            return self._tab
        tab = Tab(self._address, self._conversation)
        try:
            await tab.__aenter__()
        except AssertionError as error:
            # A tab says what it had not seen yet. The reason is beneath.
            if error.__cause__ is None or isinstance(error.__cause__, AssertionError):
                raise
            raise ConnectionError from error
        self._tab = tab
        self._conversation = tab.conversation
        self._failures = 0
        return tab

    async def _followed(self, tab: Tab, id: str) -> Turn:
        while True:
            self._look(turn := tab.turn(id))
            if turn and turn.status != "open":
                return turn
            await tab.frame(SILENCE)
            assert id not in tab.refused, tab.refused

    def _look(self, turn: Turn | None) -> None:
        now = asyncio.get_running_loop().time()
        self._stall = max(self._stall, now - self._grew_at)
        answer = turn.answer if turn else ""
        assert answer.startswith(self.seen), f"{self.seen!r} was seen, and then {turn}"
        if answer != self.seen:
            self._grew_at = now
            self.seen = answer

    async def _lost(self, error: Exception) -> None:
        if self._tab:
            self.losses += 1
            self._tab.drop()
            self._tab = None
        longest = min(LONGEST_WAIT, FIRST_WAIT * 2**self._failures)
        if isinstance(error, ConnectionClosed) and error.rcvd and error.rcvd.code == CloseCode.SERVICE_RESTART:
            longest = LONGEST_WAIT_AFTER_RESTART
        self._failures += 1
        await asyncio.sleep(random.random() * longest)
