"""News from a Redis or Valkey server: which conversations other processes have changed.

News only makes a room read again. What gets lost costs time, but no text: whenever the connection
was renewed, every room reads again.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from chat.log import report_outage
from chat.redis_calls import ATTEMPT_SECONDS, RedisCalls

# Pause between attempts to connect.
RECONNECT_SECONDS = 0.1


class RedisNews:
    """Subscribes to a channel for each watched key, and to `own_channel`, which nobody else uses.

    The message on a channel is the writer's own channel.
    One connection serves the whole process, and one task alone reads it: redis-py's own PubSub
    would reconnect in whichever task happens to send.
    """

    def __init__(self, calls: RedisCalls, own_channel: str) -> None:
        self.own_channel = own_channel
        self._calls = calls
        self._watchers: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._connection: AbstractConnection | None = None
        # By key: the subscriptions sent on this connection but not yet confirmed.
        self._unconfirmed: Counter[str] = Counter()
        self._heard: set[str] = set()

    def hears(self, key: str) -> bool:
        """Whether this process is subscribed to a key, for sure."""
        return key in self._heard

    @asynccontextmanager
    async def watch(self, key: str) -> AsyncIterator[asyncio.Event]:
        """An event that is set whenever another process may have changed the key."""
        event = asyncio.Event()
        self._watchers[key].add(event)
        try:
            await self._subscribe(key)
            yield event
        finally:
            self._watchers[key].discard(event)
            if not self._watchers[key]:
                del self._watchers[key]
                self._heard.discard(key)
                await self._send("UNSUBSCRIBE", key)

    async def listen(self) -> None:
        """Receive news until cancelled, with a new connection whenever one fails."""
        while True:
            connection = self._calls.new_connection()
            try:
                async with asyncio.timeout(ATTEMPT_SECONDS):
                    await connection.connect()  # type: ignore[no-untyped-call]
                self._connection = connection
                # Without any key there would be no subscription, and PING would get another reply.
                await self._subscribe(self.own_channel, *self._watchers)
                await self._receive(connection)
            except (RedisError, OSError):
                # The calls report that the server is away.
                pass
            except Exception as error:
                # Whatever it is, this task must not end: without news, rooms would no longer read
                # what others write.
                report_outage(error)
            finally:
                self._connection = None
                self._heard.clear()
                self._unconfirmed.clear()
                await connection.disconnect(nowait=True)
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _receive(self, connection: AbstractConnection) -> None:
        """Receive until the server is silent, a PING notwithstanding."""
        pinged = False
        while True:
            message = await connection.read_response(timeout=ATTEMPT_SECONDS)
            if message is not None:
                pinged = False
                self._handle(*(message if isinstance(message, list) else [message]))
            elif pinged:
                return
            else:
                pinged = True
                await self._send("PING")

    def _handle(self, kind: bytes, channel: bytes = b"", payload: bytes | int = b"") -> None:
        key = channel.decode()
        if kind == b"subscribe":
            self._unconfirmed[key] -= 1
            if self._unconfirmed[key] <= 0:
                del self._unconfirmed[key]
            if key in self._watchers and key not in self._unconfirmed:
                self._heard.add(key)
            # There may have been news before.
            self._wake(key)
        elif kind == b"message" and payload != self.own_channel.encode():
            self._wake(key)

    def _wake(self, key: str) -> None:
        for event in self._watchers.get(key, ()):
            event.set()

    async def _subscribe(self, *keys: str) -> None:
        # What is not sent is never confirmed, and would hide the confirmation of the next one.
        if self._connection:
            self._unconfirmed.update(keys)
            await self._send("SUBSCRIBE", *keys)

    async def _send(self, *command: str) -> None:
        # If it fails, or nobody is connected yet, listen() subscribes to everything again. On a
        # connection that has failed, send_command() would connect it anew.
        if self._connection and self._connection.is_connected:
            with suppress(RedisError, OSError):
                await self._connection.send_command(*command)
