"""An OpenAI server whose every byte the test decides, and which notices when it is left."""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.support.call import Call, Connection, Script, script


class FakeOpenAI:
    """`async with FakeOpenAI() as openai`; then `openai.answers(script)`, `openai.says("Once", " upon")`."""

    url: str

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._address = host, port
        self.calls: list[Call] = []
        self.says("Once", " upon", " a time")
        self._accepted: list[Connection] = []
        self._serving: set[asyncio.Task[None]] = set()
        self.mistakes: list[Exception] = []

    def answers(self, script: Script) -> None:
        """Answer all coming calls like this; `next_call` forgets the calls before."""
        self._script = script
        self._unseen: asyncio.Queue[Call] = asyncio.Queue()

    def says(self, *pieces: str) -> None:
        """Give a whole, good answer to all coming calls."""
        self.answers(script(*pieces, Call.finish))

    async def next_call(self, limit: float = 5.0) -> Call:
        """The first call since the last script that was not handed out yet."""
        async with asyncio.timeout(limit):
            return await self._unseen.get()

    @property
    def connections(self) -> int:
        """How many TCP connections were accepted so far."""
        return len(self._accepted)

    @property
    def open_connections(self) -> int:
        """How many of them neither side has closed."""
        return sum(connection.is_open for connection in self._accepted)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, *self._address, backlog=1000)
        self.url = f"http://{self._address[0]}:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        await self.close()
        if kind is None:
            assert not self.mistakes, f"the script of the fake OpenAI is wrong: {self.mistakes}"

    async def close(self) -> None:
        """Cut all connections, whatever the mistakes are."""
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        connection = Connection(reader, writer)
        self._accepted.append(connection)
        try:
            with suppress(OSError):  # The peer left, which is what `call.closed()` is for.
                while request := await connection.next_request():
                    call = Call(request, connection)
                    self.calls.append(call)
                    self._unseen.put_nowait(call)
                    await self._script(call)
                    if not call.complete:
                        break  # A script that ends in the middle of an answer cuts the connection.
        except asyncio.CancelledError:
            pass  # asyncio.start_server logs a cancelled connection as an error.
        except Exception as mistake:
            self.mistakes.append(mistake)
        finally:
            self._serving.discard(task)
            connection.close()
