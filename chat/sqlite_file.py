"""The SQLite file of a log: its tables, its statements, its upkeep. One thread uses it."""

import json
import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from typing import Any

from chat.conversation import Event
from chat.log import Unusable, decoded
from chat.sqlite_news import SCHEMA as NEWS_SCHEMA
from chat.sqlite_news import SqliteNews

logger = logging.getLogger(__name__)

# Version 1 had no user_version and no clock table, and did not erase deleted text.
SCHEMA_VERSION = 2

# For ->>, which the statements use.
OLDEST_SQLITE = (3, 38)

# How long to wait while another process is writing.
BUSY_MS = 5000

# Bytes. A commit writes whole pages, and most of it is one page for each reply: of 4096 bytes, SQLite's
# own choice, the write-ahead log would grow twice as fast. A file that exists keeps its own.
PAGE_SIZE = 1024

# Released at a time, in a few ms.
FREE_PAGES = 200

CONNECT = f"""
    PRAGMA busy_timeout = {BUSY_MS};
    PRAGMA journal_mode = WAL;
    -- No commit runs a checkpoint: chat.sqlite_checkpoints does.
    PRAGMA wal_autocheckpoint = 0;
    -- A log that begins anew is cut, so that its size tells how much there is to copy.
    PRAGMA journal_size_limit = 0;
    -- Commits survive the death of the process; a power cut may undo the last few.
    PRAGMA synchronous = NORMAL;
    -- Overwrite deleted text with zeros, instead of only unlinking it.
    PRAGMA secure_delete = ON;
"""
SCHEMA = """
    CREATE TABLE IF NOT EXISTS event (
        -- AUTOINCREMENT never reuses an id, so a reader's place stays unambiguous.
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        conversation TEXT NOT NULL,
        body TEXT NOT NULL
    );
    CREATE INDEX IF NOT EXISTS event_of_conversation ON event (conversation);
    CREATE TABLE IF NOT EXISTS worker (name TEXT PRIMARY KEY, seen REAL NOT NULL);
    -- The last event at given times: it tells the age of events, which have no date.
    CREATE TABLE IF NOT EXISTS clock (at REAL PRIMARY KEY, last_event INTEGER NOT NULL);
    DELETE FROM worker WHERE seen < unixepoch() - 86400;
"""
APPEND = """
    INSERT INTO event (conversation, body)
    SELECT value ->> 0, value -> 1 FROM json_each(?)
"""
BEFORE = """
    SELECT json_group_array((
        SELECT max(id) FROM event
        WHERE conversation = place.value ->> 0 AND id < place.value ->> 1
    )) FROM json_each(?) AS place
"""
READ = """
    SELECT id, CAST(body AS BLOB) FROM event
    WHERE conversation = ? AND id >= ? ORDER BY id
"""
FORGET = "DELETE FROM event WHERE id IN (SELECT value FROM json_each(?))"
SOME_OLD = "SELECT id, conversation FROM event WHERE id > ? AND id <= ? ORDER BY id LIMIT 200"
LAST_EVENT = "SELECT max(id) FROM event WHERE conversation = ?"
FORGET_CONVERSATION = "DELETE FROM event WHERE conversation = ?"
TICK = "INSERT OR IGNORE INTO clock SELECT ?, coalesce(max(id), 0) FROM event"
LAST_EVENT_AT = "SELECT coalesce(max(last_event), 0) FROM clock WHERE at <= ?"
FORGET_TICKS = "DELETE FROM clock WHERE at < (SELECT max(at) FROM clock WHERE at <= ?)"


class SqliteFile:
    """The open file. Raises Unusable, with a text for the operator, if it cannot be used."""

    def __init__(self, path: str) -> None:
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            expected = ".".join(map(str, OLDEST_SQLITE))
            raise Unusable(f"expected SQLite {expected} or later, found {sqlite3.sqlite_version}")
        self._path = path
        # The last event that forget_old() has checked.
        self._swept = 0
        try:
            # Made here and not by SQLite, for this mode: it is the owner's alone from the start.
            # Not if it exists: closing it here would drop the locks of another connection.
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except FileExistsError:
            if os.path.isdir(path):
                raise Unusable("Is a directory") from None
        except OSError as error:
            raise Unusable(str(error.strerror)) from None
        self._inode = self._current_inode()
        try:
            self._db = sqlite3.connect(path, isolation_level=None)
        except sqlite3.Error as error:
            raise Unusable(str(error)) from None
        try:
            self._prepare()
            self._news = SqliteNews(self.execute)
        except sqlite3.Error as error:
            self._db.close()
            raise Unusable(str(error)) from None

    def execute(self, sql: str, *values: Any) -> list[Any]:
        """All rows of one statement, which is one transaction."""
        return self._db.execute(sql, values).fetchall()

    def close(self) -> None:
        self._db.close()

    def is_there(self) -> bool:
        """Whether the file at this path is still the one that is open."""
        return self._current_inode() == self._inode

    def append_all(self, calls: list[tuple[str, str]]) -> list[tuple[int | None, int]]:
        """Append (conversation, body) pairs, both JSON. Returns the ids before and of each."""
        if not self.is_there():
            raise Unusable(f"{self._path} was deleted or replaced: restart the server")
        rows = ",".join(f"[{conversation},{event}]" for conversation, event in calls)
        # One statement is one transaction, with one writer at a time: the ids are contiguous.
        last = self._db.execute(APPEND, (f"[{rows}]",)).lastrowid or 0
        ids = range(last - len(calls) + 1, last + 1)
        conversations = [conversation for conversation, _ in calls]
        places = ",".join(f"[{name},{id}]" for name, id in zip(conversations, ids, strict=True))
        ((before,),) = self.execute(BEFORE, f"[{places}]")
        # Not before: if that fails, the callers are to look for their events.
        self._news.note_own(ids)
        return list(zip(json.loads(before), ids, strict=True))

    def read_all(self, calls: list[tuple[str, int]]) -> list[list[tuple[int, Event]] | Exception]:
        """For each (conversation, first id), the events from there on, or the error."""
        return [self._read(*call) for call in calls]

    def _read(self, conversation: str, start: int) -> list[tuple[int, Event]] | Exception:
        # Return the error instead of raising it: it affects only this conversation.
        try:
            rows = self.execute(READ, conversation, start)
        except sqlite3.Error as error:
            return error
        return [(id, decoded(body)) for id, body in rows]

    def look(self) -> set[str]:
        """The marks of the conversations that other processes have changed since the last call."""
        return self._news.look()

    def forget(self, conversation: str, ids: str) -> bool:
        """Delete the events with these ids, a JSON list; whether the conversation is gone."""
        with self._transaction():
            self.execute(FORGET, ids)
            self._news.note_deletion(conversation)
        ((last,),) = self.execute(LAST_EVENT, conversation)
        return last is None

    def drop_all(self, calls: list[list[int]]) -> list[None]:
        """Delete the events with these ids, all in one transaction."""
        self.execute(FORGET, json.dumps(list(chain.from_iterable(calls))))
        return [None] * len(calls)

    def forget_old(self, keep_seconds: float) -> bool:
        """Delete some of the conversations unchanged for `keep_seconds`.

        Returns whether there may be more.
        """
        now = time.time()
        if not self._swept:
            self.execute(TICK, now)
            self.execute(FORGET_TICKS, now - keep_seconds)
        ((limit,),) = self.execute(LAST_EVENT_AT, now - keep_seconds)
        rows = self.execute(SOME_OLD, self._swept, limit)
        for conversation in {conversation for _, conversation in rows}:
            ((last,),) = self.execute(LAST_EVENT, conversation)
            if last is not None and last <= limit:
                with self._transaction():
                    self.execute(FORGET_CONVERSATION, conversation)
                    self._news.note_deletion(conversation)
        self._swept = rows[-1][0] if rows else 0
        return bool(rows)

    def shrink(self) -> bool:
        """Release some free pages. Few, so that no commit waits long; returns whether more remain."""
        if not self._shrinks:
            return False
        # execute() runs this pragma for a single page; executescript() runs it to completion.
        self._db.executescript(f"PRAGMA incremental_vacuum({FREE_PAGES})")
        ((free,),) = self.execute("PRAGMA freelist_count")
        return bool(free)

    def truncate(self) -> bool:
        """Copy the write-ahead log into the file and empty it; False if somebody is reading it.

        Only chat.sqlite_checkpoints may call this: it knows the hazard.
        """
        # Do not wait for a long reader, such as a backup: commits would have to wait too.
        self.execute("PRAGMA busy_timeout = 0")
        try:
            ((busy, _, _),) = self.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            self.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        return not busy

    def _prepare(self) -> None:
        ((version,),) = self.execute("PRAGMA user_version")
        if version > SCHEMA_VERSION:
            self._db.close()
            expected = f"newer than {SCHEMA_VERSION}: update this program"
            raise Unusable(f"its schema has version {version}, {expected}")
        ((tables,),) = self.execute("SELECT count(*) FROM sqlite_master")
        # Both take effect only in an empty file; auto_vacuum also with a VACUUM.
        self.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        ((shrinks,),) = self.execute("PRAGMA auto_vacuum")
        self.execute("PRAGMA auto_vacuum = INCREMENTAL")
        self._db.executescript(CONNECT)
        if tables and not shrinks:
            logger.warning("%s is of an older version: rebuilding it once", self._path)
            # Another process may be using the file: then it is rebuilt at the next start.
            with suppress(sqlite3.OperationalError):
                self.execute("VACUUM")
        ((self._shrinks,),) = self.execute("PRAGMA auto_vacuum")
        # In one transaction: another process that starts now must not see half of it.
        number = f"PRAGMA user_version = {SCHEMA_VERSION}"
        self._db.executescript(f"BEGIN IMMEDIATE; {SCHEMA}; {NEWS_SCHEMA}; {number}; COMMIT")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.execute("COMMIT")
        except sqlite3.Error:
            # SQLite may have done it already, if the disk is full for example.
            with suppress(sqlite3.Error):
                self.execute("ROLLBACK")
            raise

    def _current_inode(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._path)
        except OSError:
            return None
        return status.st_dev, status.st_ino
