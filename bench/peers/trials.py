"""What becomes of a reply whose reader, or whose server, is gone for a moment: tried with each program."""

import asyncio
import tempfile

from bench.peers.gradio_http import Gradio
from bench.peers.page import Page, Resuming
from bench.peers.programs import running
from bench.peers.socket_io import Chainlit, NiceGUI
from bench.process import Program
from bench.websocket import Failed

PAGES: dict[str, type[Page]] = {"ours": Resuming, "Chainlit": Chainlit, "Gradio": Gradio, "NiceGUI": NiceGUI}

REPLY = 200  # tokens: four seconds
SEEN = 50  # tokens that are on the screen when something happens
AWAY = 1.0  # seconds without a connection
LIMIT = 8.0  # seconds in which the rest of a reply comes, if it comes


async def try_out(name: str, openai_port: int) -> dict[str, int | None]:
    """How many tokens of the reply the page has in the end; None where it has no such thing."""
    with tempfile.TemporaryDirectory(prefix="peers-") as home:
        async with running(name, openai_port, home) as program:
            found = {
                "reload": await _reloaded(await _asked(name, program), program),
                "reconnect": await _reconnected(await _asked(name, program), program),
                "stop": await _stopped(await _asked(name, program)),
            }
            page = await _asked(name, program)
            program.kill()
            await program.stopped()
            # In the same folder, over the same log.
            async with running(name, openai_port, home, STORE_URL=program.store_url) as anew:
                found["kill"] = await _shown(page.reloaded(anew.port), SEEN)
    return found


async def _asked(name: str, program: Program) -> Page:
    """A page that has a part of its reply on the screen."""
    page = PAGES.get(name, Page)(program.port)
    await page.connect()
    page.say(f"paced {REPLY}")
    shown = await page.shows(SEEN, LIMIT)
    assert SEEN <= shown < REPLY, f"{name}: {shown} tokens"
    return page


async def _reloaded(page: Page, program: Program) -> int:
    await page.close()
    return await _shown(page.reloaded(program.port), REPLY)


async def _reconnected(page: Page, program: Program) -> int:
    page.vanish()
    await asyncio.sleep(AWAY)
    return await _shown(page.reconnected(program.port), REPLY)


async def _stopped(page: Page) -> int | None:
    if not page.can_stop:
        return None
    page.stop()
    tokens = await page.shows(REPLY, LIMIT)
    await page.close()
    return tokens


async def _shown(page: Page, tokens: int) -> int:
    try:
        await page.connect()
        tokens = await page.shows(tokens, LIMIT)
        await page.close()
    except Failed:
        # The server does not know this page any more.
        return 0
    return tokens
