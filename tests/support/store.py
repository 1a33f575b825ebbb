"""What the file of a server still holds."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any


def rows_with(text: str, store: Path) -> list[Any]:
    """All rows of all tables in which the text stands."""
    with closing(sqlite3.connect(store)) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = [row for name in tables for row in db.execute(f"SELECT * FROM {name}")]
    return [row for row in rows if text in str(row)]
