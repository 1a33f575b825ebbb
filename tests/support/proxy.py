"""A TCP proxy before a server, which cuts, stalls and swallows as networks do."""

import asyncio
import socket
import ssl
import struct
from contextlib import suppress
from types import TracebackType
from typing import Self

# Linger on, 0 seconds: close with a reset instead of the usual farewell.
RESET = struct.pack("ii", 1, 0)


class Proxy:
    """`async with Proxy(port) as proxy`: connect to `proxy.port`. With `tls` it also ends TLS there."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        # Where connections lead from now on: another port is another server behind the same name.
        self.target = port
        # Whether what the server answers gets lost.
        self.swallows = False
        # How many connections have been accepted.
        self.accepted = 0
        self._tls = tls
        self._flows = asyncio.Event()
        self._flows.set()
        self._ends: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        """Reset all connections."""
        for end in self._ends:
            if not end.is_closing():
                end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                end.transport.abort()

    def stall(self) -> None:
        """Transmit nothing, and lose nothing, until `go_on()`."""
        self._flows.clear()

    def go_on(self) -> None:
        self._flows.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        try:
            with suppress(OSError, asyncio.CancelledError):
                await self._connect(reader, writer)
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.target)
        ends = {writer, up_writer}
        self._ends |= ends
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pump(reader, up_writer))
                tasks.create_task(self._pump(up_reader, writer, is_answer=True))
        except* OSError:
            pass
        finally:
            self._ends -= ends
            up_writer.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, is_answer: bool = False) -> None:
        while data := await source.read(65_536):
            await self._flows.wait()
            if is_answer and self.swallows:
                continue
            target.write(data)
            await target.drain()
        # The other direction ends with this one.
        raise ConnectionResetError
