"""A room: one conversation as this process follows it."""

import asyncio
import logging
from collections.abc import Callable

from utils.conversation import Conversation, Event
from utils.log import Gap, Id, Log

logger = logging.getLogger(__name__)

RETRY_SECONDS = 0.5  # between tries while the log cannot be reached


class Room:
    """Followed for as long as somebody in this process needs it: `users`, some of which are `readers`."""

    def __init__(self, log: Log, id: str, look_seconds: float) -> None:
        self.id, self._log, self._look_seconds = id, log, look_seconds
        self.conversation = Conversation()
        self.version = 0  # grows with each look at the log; 0 means: not read yet
        self.epoch = 0  # grows when what was shown is no longer the beginning of what is
        self.users = self.readers = 0
        self.left_at = asyncio.get_running_loop().time()  # when the last reader left
        self._cursor: Id | None = None
        self._reads_begun = self._reads_done = 0
        self._news = asyncio.Event()
        self._waiting: dict[asyncio.Future[None], Callable[[], bool]] = {}

    async def follow(self) -> None:
        """Keep up with the log, for as long as this runs."""
        while True:
            try:
                async with self._log.watch(self.id) as self._news:
                    self._news.set()
                    while True:
                        await self._read_on()
            except Exception as error:  # The log cannot be reached. Nothing is lost: try again.
                logger.warning("the log of a conversation cannot be read: %s", type(error).__name__)
                await asyncio.sleep(RETRY_SECONDS)

    async def _read_on(self) -> None:
        turn = self.conversation.current
        theirs = turn is not None and turn.worker != self._log.worker  # Nobody notifies of another worker's death.
        quiet = False
        try:
            async with asyncio.timeout(self._look_seconds if theirs else None):
                await self._news.wait()
        except TimeoutError:
            quiet = True
        self._news.clear()
        self._reads_begun += 1
        after = self._cursor
        try:
            news = await self._log.read(self.id, after)
        except Gap:
            news = await self._log.read(self.id, None)
            self.conversation, self._cursor, after = Conversation(), None, None
            self.epoch += 1
            self._news.set()  # What was added here during this look may be missing.
        await self._take_in(news, after)
        self._reads_done = self._reads_begun
        self.look_again()
        if turn and quiet and not news and not await self._log.alive(turn.worker):
            await self._log.append(self.id, {"type": "end", "turn": turn.id, "status": "interrupted"})
            self._news.set()

    async def _take_in(self, news: list[tuple[Id, Event]], after: Id | None) -> None:
        edits = self.conversation.edits
        for id, event in news:
            self.conversation.apply(id, event)
        # Not backwards, to before what was added here while the log was read.
        if news and (self._cursor == after or any(id == self._cursor for id, _ in news)):
            self._cursor = news[-1][0]
        self.epoch += self.conversation.edits - edits
        self.version += 1
        self.look_again()
        # A reply elsewhere may have gone on for a moment after its conversation was deleted.
        if strays := [id for id, event in news if not self.conversation.turn(event["turn"])]:
            await self._log.forget(self.id, strays)

    def look_again(self) -> None:
        """Wake those whose condition holds now."""
        for done, condition in self._waiting.items():
            if not done.done() and condition():
                done.set_result(None)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the conversation has been read and the condition holds."""
        if not (self.version and condition()):
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting[done] = condition
            try:
                await done
            finally:
                del self._waiting[done]

    def is_open(self, id: str) -> bool:
        """Whether the reply to this turn goes on."""
        turn = self.conversation.turn(id)
        return turn is not None and turn.status == "open"

    def alone_for(self) -> float:
        """Seconds since somebody read this conversation here."""
        return 0 if self.readers else asyncio.get_running_loop().time() - self.left_at

    async def append(self, event: Event) -> None:
        """Add to the log, and to what is known here: without reading it back if nobody else wrote in between."""
        before, id = await self._log.append(self.id, event)
        if before == self._cursor:
            await self._take_in([(id, event)], before)
        else:
            await self.catch_up()

    async def catch_up(self) -> None:
        """Wait until all that is in the log now is known here."""
        begun = self._reads_begun
        self._news.set()
        await self.until(lambda: self._reads_done > begun)

    async def drop_chunks(self) -> None:
        """Take from the log the chunks of replies whose end has the whole text."""
        whole = [turn for turn in self.conversation.turns if turn.status == "done"]
        if ids := [id for turn in whole for id in turn.chunk_ids]:
            await self._log.forget(self.id, ids)
        for turn in whole:
            turn.chunk_ids.clear()

    async def drop_all(self) -> None:
        """Take everything from the log."""
        await self._log.forget(self.id, [id for id, _ in await self._log.read(self.id, None)])
        await self.catch_up()
