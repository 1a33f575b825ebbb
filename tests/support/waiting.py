"""Waiting for something that another process does and cannot announce. Always with a limit."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(look: Callable[[], T], limit: float = 1.0) -> T:
    """Look again and again until there is something to see; what was seen last after `limit` seconds."""
    until = asyncio.get_running_loop().time() + limit
    while not (seen := look()) and asyncio.get_running_loop().time() < until:
        await asyncio.sleep(0.01)
    return seen
