"""Checkpoints of an SQLite file: they copy its write-ahead log into it, and wait for the disk.

SQLite would do that inside a commit, and every reply would wait as long. So this copies on a thread
and a connection of its own, beside the commits. But then the log grows on, because only an empty
log begins anew, and while it is emptied all commits wait. That is done seldom if the disk is slow.

Before SQLite 3.51.3 a commit that begins the log anew while a checkpoint starts damages the file.
It can do so only if the whole log has been copied. So each checkpoint here follows a commit, and no
other process runs one in between: the log cannot begin anew until this checkpoint has copied that
commit. The checkpoint of the last connection that closes needs no care: it has the file to itself.
"""

import asyncio
import os
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

# How often to look at the size of the log.
LOOK_SECONDS = 0.25

# Copied at a time. With 40 streams of 50 tokens a second the log grows by 6 MB a second.
COPY_BYTES = 4_000_000

# A small log is emptied then: text that was edited away is still in it. Deletions call empty().
IDLE_SECONDS = 60.0

# Otherwise the log is emptied when so many times the time of a copy have passed. A copy waits for
# the disk once. While the log is emptied, and in the next commit, all commits wait for it: three
# times in all, and 0.2 ms for each MB that is cut off. So less than 1 % of the tokens are late: with
# a disk that takes 5 ms every 3 s, at 20 MB, and with one that takes 0.25 s every 130 s, at 800 MB.
COPIES_PER_EMPTYING = 500

# Emptied even so: a disk may be small, and after a crash the log is read as a whole. 40 streams
# that never pause fill it in 3 minutes.
MOST_BYTES = 1_000_000_000


class Checkpoints:
    """The checkpoints of one process.

    Of the main connection these are needed: `is_there()`, whether the file at this path is still
    the one that is open; `commit()`, which commits anything; and `truncate()`, which runs a
    checkpoint that empties the log, and returns whether it could.
    """

    def __init__(
        self,
        path: str,
        *,
        is_there: Callable[[], bool],
        commit: Callable[[], Awaitable[None]],
        truncate: Callable[[], Awaitable[bool]],
    ) -> None:
        self._path = path
        self._is_there = is_there
        self._commit = commit
        self._truncate = truncate
        self._running: set[asyncio.Task[bool]] = set()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        # That thread's own.
        self._db: sqlite3.Connection | None = None
        # How much of the log has been copied.
        self._copied_bytes = 0
        self._emptied_at = time.monotonic()
        # How long the last copy took; before the first one, as long as on a slow disk.
        self._copy_seconds = 0.25

    async def run(self) -> None:
        """Copy and empty the log whenever it is time."""
        with suppress(sqlite3.Error):
            await self._in_thread(self._open_now)
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            # The disk may be full, or the file locked: try again.
            with suppress(sqlite3.Error, OSError):
                await self._run_once()

    async def close(self) -> None:
        """Wait for a checkpoint that is running, and close the connection."""
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._in_thread(self._close_now)
        self._thread.shutdown()

    async def empty(self) -> bool:
        """Copy the whole log and empty it. Returns False if it has to be tried again."""
        return not self._log_bytes() or await self._checkpoint(emptying=True)

    async def _run_once(self) -> None:
        size = self._log_bytes()
        if size < self._copied_bytes:
            # It has been emptied, perhaps by another process.
            self._copied_bytes = 0
            self._emptied_at = time.monotonic()
        rested = time.monotonic() - self._emptied_at
        is_due = size > COPY_BYTES or rested > IDLE_SECONDS
        if size > MOST_BYTES or (is_due and rested > COPIES_PER_EMPTYING * self._copy_seconds):
            await self.empty()
        elif size > self._copied_bytes + COPY_BYTES:
            # If another process has the lock, it is copying the same.
            await self._checkpoint(emptying=False)
            self._copied_bytes = size

    async def _checkpoint(self, *, emptying: bool) -> bool:
        """Run a checkpoint to its end, even if the caller is cancelled: until then it needs the lock."""
        task = asyncio.create_task(self._run_locked(emptying))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def _run_locked(self, emptying: bool) -> bool:
        with self._lock() as is_ours:
            if not is_ours:
                return False
            await self._commit()
            size = self._log_bytes()
            # Commits go on while this waits for the disk.
            began = time.monotonic()
            await self._in_thread(self._copy_now)
            self._copy_seconds = time.monotonic() - began
            if not emptying:
                return True
            # Whether or not it succeeds: a backup may prevent it for a while.
            self._emptied_at = time.monotonic()
            # If nothing has been written meanwhile, this commit begins the log anew.
            await self._commit()
            if self._log_bytes() < size:
                return True
            # Otherwise only what has come since is copied while commits wait.
            return await self._truncate()

    def _in_thread(self, function: Callable[[], None]) -> asyncio.Future[None]:
        return asyncio.get_running_loop().run_in_executor(self._thread, function)

    def _open_now(self) -> None:
        self._db = sqlite3.connect(self._path)
        # Opens the log too, so that this process holds as many descriptors from now on.
        self._db.execute("PRAGMA user_version").fetchall()

    def _copy_now(self) -> None:
        if not self._db:
            self._open_now()
        assert self._db
        self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _close_now(self) -> None:
        if self._db:
            self._db.close()

    @contextmanager
    def _lock(self) -> Iterator[bool]:
        """Keep other processes from running a checkpoint; False if one of them is at it."""
        try:
            import fcntl
        except ImportError:
            # Windows has none, and several processes cannot share a port there.
            yield True
            return
        with ExitStack() as stack:
            is_ours = True
            try:
                # The folder, since a lock of the file may be in the way of SQLite's own.
                folder = os.open(Path(self._path).absolute().parent, os.O_RDONLY)
                stack.callback(os.close, folder)
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                is_ours = False
            except OSError:
                # A file system without such locks does without: the log must not grow forever.
                pass
            yield is_ours

    def _log_bytes(self) -> int:
        if not self._is_there():
            # Opening another file in its place would be dangerous.
            return 0
        with suppress(FileNotFoundError):
            return os.stat(f"{self._path}-wal").st_size
        return 0
