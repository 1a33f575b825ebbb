"""The console: whole lines, each with something to say; and whether there is one."""

import logging
import os
import re
import sys

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from utils.settings import BadSetting

# Whatever could end a line, colour a terminal, or pass for the next field of a request's line.
UNSAFE = re.compile(r"""[^!#-\[\]-~]""")

# uvicorn's lines about requests begin with the client's address. Only they quote clients.
REQUEST = '%s - "'

REFUSED = "ASGI callable returned without completing handshake"
BAD_TEXT = "Invalid UTF-8 sequence"
FAILED = "Application startup failed"
EXHAUSTED = "socket.accept() out of system resource"


def tidy() -> None:
    """Filter the lines of uvicorn and asyncio. Calling it again changes nothing."""
    for name in ("uvicorn.access", "uvicorn.error"):
        logging.getLogger(name).addFilter(escape)
    for name in ("uvicorn.error", "asyncio"):
        logging.getLogger(name).addFilter(without_noise)


def escape(record: logging.LogRecord) -> bool:
    """Nothing that a client sent is in the line as it is."""
    if str(record.msg).startswith(REQUEST) and isinstance(record.args, tuple):
        record.args = tuple(map(escaped, record.args))
    return True


def escaped(value: object) -> object:
    """A text with escapes for all but visible ASCII, and for quotes; other values as they are."""
    if not isinstance(value, str):
        return value
    return UNSAFE.sub(lambda found: f"\\x{ord(found[0]):02x}", value)


def without_noise(record: logging.LogRecord) -> bool:
    """A client's mistake needs no traceback, and refusing a client is not an error."""
    text = str(record.msg)
    if text.startswith(BAD_TEXT):
        record.exc_info = None
    if text.startswith(EXHAUSTED):
        record.msg = "Too few descriptors are left, so no connection is accepted for a second."
        record.exc_info = None
    return not text.startswith((REFUSED, FAILED))


def has_terminal() -> bool:
    """Whether this process belongs to a terminal that is open."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


class OneLine:
    """Says in one line why the app cannot start, where Starlette has a traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_briefly(message: Message) -> None:
            # Starlette sends this while it handles the exception.
            error = sys.exception()
            failed = message["type"] == "lifespan.startup.failed"
            if failed and isinstance(error, BadSetting):
                message = {**message, "message": f"Cannot start: {error}"}
            await send(message)

        await self.app(scope, receive, send_briefly if scope["type"] == "lifespan" else send)
