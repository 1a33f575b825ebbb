"""What other processes have changed in the SQLite file of a log. Used by the thread of `SqliteFile`."""

import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any

# How long a deletion stays noted. Other processes look many times a second.
DELETION_SECONDS = 3600

SCHEMA = """
    -- The marks of conversations of which something was deleted lately: events that are gone leave no
    -- trace. Not their ids, which are gone too.
    CREATE TABLE IF NOT EXISTS deletion (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        mark TEXT NOT NULL,
        at REAL NOT NULL
    );
"""
VERSION = "PRAGMA data_version"
LAST_IDS = "SELECT (SELECT coalesce(max(id), 0) FROM event), (SELECT coalesce(max(id), 0) FROM deletion)"
APPENDED = "SELECT id, conversation FROM event WHERE id > ? ORDER BY id"
DELETED = "SELECT id, mark FROM deletion WHERE id > ? ORDER BY id"
NOTE_DELETION = "INSERT INTO deletion (mark, at) VALUES (?, ?)"
FORGET_DELETIONS = "DELETE FROM deletion WHERE at < ?"


def mark_of(conversation: str) -> str:
    """What stands for a conversation where its id must not stand."""
    return sha256(conversation.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class SqliteNews:
    """`execute(sql, *values)` returns all rows."""

    def __init__(self, execute: Callable[..., list[Any]]) -> None:
        self._execute = execute
        # Changes with every commit of another connection.
        ((self._version,),) = execute(VERSION)
        # The last ones that look() has seen.
        ((self._last_event, self._last_deletion),) = execute(LAST_IDS)
        # The events of this process since then.
        self._own: set[int] = set()

    def note_own(self, ids: range) -> None:
        """These events are nothing new to this process."""
        self._own.update(ids)

    def note_deletion(self, conversation: str) -> None:
        """Tell the other processes; in the transaction that deletes the events."""
        now = time.time()
        self._execute(NOTE_DELETION, mark_of(conversation), now)
        self._execute(FORGET_DELETIONS, now - DELETION_SECONDS)

    def look(self) -> set[str]:
        """The marks of the conversations that other processes have changed since the last call."""
        ((version,),) = self._execute(VERSION)
        if version == self._version:
            self._last_event = max(self._own, default=self._last_event)
            self._own.clear()
            return set()
        appended = self._execute(APPENDED, self._last_event)
        deleted = self._execute(DELETED, self._last_deletion)
        self._version = version
        if appended:
            self._last_event = appended[-1][0]
        if deleted:
            self._last_deletion = deleted[-1][0]
        changed = {conversation for id, conversation in appended if id not in self._own}
        self._own.clear()
        return {mark_of(conversation) for conversation in changed} | {mark for _, mark in deleted}
