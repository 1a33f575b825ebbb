"""Attacks with large conversations, and with what is asked of the model. Each returns what is worth a note."""

import asyncio
import secrets
import time
from pathlib import Path

from bench.attacker import A_FEW, EMOJI, LONGEST, Target, page, question, text, until
from tests.support.raw_websocket import RawWebSocket


async def readers(target: Target, at_a_time: int, bytes_per_second: int = 0) -> str:
    """Resume a full conversation, at once again when it has come; or read it slowly."""
    id = await full_conversation(target)
    resume = text(type="resume", conversation=id)
    await target.begin()

    async def come() -> None:
        if bytes_per_second:
            async with RawWebSocket(target.url, receive_buffer=4096) as socket:
                await socket.send(resume)
                while await asyncio.get_running_loop().sock_recv(socket.socket, bytes_per_second // 4):
                    await asyncio.sleep(0.25)
        else:
            async with page(target, id):
                pass

    await target.attack(come, at_a_time)
    return ""


async def walks(target: Target) -> str:
    """Turn the pages of a full conversation, back to its first turn, as fast as they come."""
    id = await full_conversation(target)
    await target.begin()

    async def walk() -> None:
        async with RawWebSocket(target.url) as socket:
            await socket.send(text(type="resume", conversation=id))
            got = await until(socket, "history")
            while got.get("earlier"):
                await socket.send(text(type="earlier", before=got["turns"][0]["id"]))
                got = await until(socket, "earlier")

    await target.attack(walk, 8)
    return ""


async def full_conversation(target: Target) -> str:
    """The id of a conversation that was filled with the longest messages."""
    id = None
    while True:
        async with page(target, id) as (socket, id):
            for _ in range(A_FEW):
                await socket.send(question("burst 1 ".ljust(LONGEST, EMOJI)))
                got = await until(socket, "end", "error")
                if got["type"] == "error":
                    assert got["code"] == "conversation_full", got
                    return id


async def edits(target: Target, most: int = 800) -> str:
    """Edit one turn again and again; how large the file is then, and after its deletion."""
    async with page(target) as (socket, id):
        turn = secrets.token_hex(8)
        await socket.send(question("burst 1 ".ljust(LONGEST, "a"), id=turn))
        await until(socket, "end")
    done = 0
    await target.begin()

    async def edit() -> None:
        nonlocal turn, done
        async with page(target, id) as (socket, _):
            for _ in range(A_FEW):
                if done < most:
                    edited, turn = turn, secrets.token_hex(8)
                    await socket.send(question("burst 1 ".ljust(LONGEST, "a"), id=turn, replaces=edited))
                    await until(socket, "end")
                    done += 1

    await target.attack(edit, 1)
    kept = size(target.store)
    async with page(target, id) as (socket, _):
        await socket.send(text(type="delete"))
        await asyncio.sleep(2)
    return f"{done} edits: {kept:.1f} MB on disk, {size(target.store):.1f} MB after the deletion"


def size(store: Path) -> float:
    files = (Path(f"{store}{ending}") for ending in ("", "-wal"))
    return sum(file.stat().st_size for file in files if file.exists()) / 1e6


async def hangs(target: Target, most: int = 1100) -> str:
    """Ask a model that hangs, and leave; then one person asks, and waits."""
    asked = 0

    async def ask() -> None:
        nonlocal asked
        if asked < most:
            asked += 1
            async with page(target) as (socket, _):
                await socket.send(question("hang 1"))
                await until(socket, "start", "error")
        else:
            await asyncio.sleep(1)

    await target.begin()
    await target.attack(ask, 8)
    began = time.monotonic()
    waited = 0.0
    while not waited:
        async with page(target) as (socket, _):
            await socket.send(question("paced 1"))
            if (await until(socket, "chunk", "error"))["type"] == "chunk":
                waited = time.monotonic() - began
    return f"{asked} questions; then a person's first token took {waited:.2f} s"


async def flooding_model(target: Target, name: str) -> str:
    ends: list[str] = []

    async def ask() -> None:
        async with page(target) as (socket, _):
            await socket.send(question(f"flood {name}"))
            got = await until(socket, "error", "end")
            ends.append(got.get("code") or got["status"])

    await target.begin()
    await target.attack(ask, 4)
    return ", ".join(f"{ends.count(end)} x {end}" for end in sorted(set(ends))) or "no reply ended"
