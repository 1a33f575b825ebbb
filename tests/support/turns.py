"""Conversations that are in the store of a server already."""

import asyncio

from chat.log import open_log
from tests.support.server import Server


async def write_conversation(server: Server, conversation: str, *turns: tuple[str, str]) -> None:
    """A conversation of finished turns t0, t1, ...: a question and its answer each."""
    async with open_log(server.store_url, lease=10) as log:
        for n, (question, answer) in enumerate(turns):
            asked = {"type": "user", "turn": f"t{n}", "worker": log.worker, "content": question}
            ended = {"type": "end", "turn": f"t{n}", "status": "done", "content": answer}
            await asyncio.gather(log.append(conversation, asked), log.append(conversation, ended))
