"""Copies all conversations of a SQLite file to another store.

    python -m chat.copy sqlite:///chat.db redis://host

Stop the servers that use the file first. The command may be run again: it continues a conversation
that was copied in part, and leaves alone one that has gone on in the other store.
"""

import asyncio
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from chat.log import Log, Unusable, open_log
from utils.settings import read_settings

# Conversations copied at a time.
AT_ONCE = 50


async def copy_all(source_url: str, target_url: str) -> str:
    """Copy whatever the target lacks; returns a sentence with the figures.

    Raises Unusable, BadSetting, or whatever a store raises if it fails on the way.
    """
    path = source_url.removeprefix("sqlite:///")
    if not Path(path).is_file():  # noqa: ASYNC240
        # Opening it would create it.
        raise Unusable("the first address is not one of a SQLite file that exists")
    with closing(sqlite3.connect(path)) as db:
        names = [name for (name,) in db.execute("SELECT DISTINCT conversation FROM event")]
    settings = read_settings()
    lease = settings.lease_seconds
    counts: list[int] = []
    async with (
        open_log(source_url, lease) as source,
        open_log(target_url, lease, settings.keep_days) as target,
    ):
        for start in range(0, len(names), AT_ONCE):
            some = names[start : start + AT_ONCE]
            counts += await asyncio.gather(*(copy(source, target, name) for name in some))
            print(f"{len(counts)} of {len(names)} conversations")
    changed = sum(count > 0 for count in counts)
    return f"{changed} of {len(names)} conversations were copied: {sum(counts)} events."


async def copy(source: Log, target: Log, conversation: str) -> int:
    """Append the events that the target lacks, one after the other; returns their number."""
    # One that cannot be decoded is {}, and counts for nothing.
    events = [event for _, event in await source.read(conversation, None) if event]
    present = [event for _, event in await target.read(conversation, None)]
    if present != events[: len(present)]:
        return 0
    missing = events[len(present) :]
    for event in missing:
        await target.append(conversation, event)
    return len(missing)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("Usage: python -m chat.copy sqlite:///chat.db redis://host")
    try:
        print(asyncio.run(copy_all(*sys.argv[1:])))
    except Exception as error:
        sys.exit(f"Cannot copy: {error}. Run it again to continue.")
