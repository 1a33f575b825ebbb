"""What the store of a server still holds."""

import sqlite3
from contextlib import closing
from typing import Any

from redis import Redis


def rows_with(text: str, store_url: str) -> list[Any]:
    """All rows in which the text stands: of all tables, or of all streams."""
    path = store_url.removeprefix("sqlite:///")
    rows = _rows_of_streams(store_url) if path == store_url else _rows_of_tables(path)
    return [row for row in rows if text in str(row)]


def _rows_of_tables(path: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return [row for name in tables for row in db.execute(f"SELECT * FROM {name}")]


def _rows_of_streams(url: str) -> list[Any]:
    with Redis.from_url(url) as client:
        return [(key, *entry) for key in client.scan_iter("chat:*") for entry in client.xrange(key)]
