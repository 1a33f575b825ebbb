"""The web server: `python main.py`, or `uvicorn main:app` without its hardened defaults.

GET /          the page
GET /static    the page's files; its libraries are under /vendor
GET /healthz   200 while the process lives
GET /readyz    200 while it takes new clients, 503 before and after
GET /metrics   the figures for Prometheus, with METRICS=1
WS  /ws        the chat; docs/protocol.md has the frames
"""

import logging
import sys
import traceback
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from fastapi import FastAPI, WebSocket
from fastapi.telemetry import TelemetryConfig
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import WebSocketRoute

from chat import measures
from chat.client import Client
from chat.conversation import Turn
from chat.log import Unusable, open_log
from chat.reply import Reply
from chat.room import Room
from chat.rooms import Rooms
from flow import create_streaming_chat_flow
from utils.access import Access
from utils.console import OneLine, tidy
from utils.files import Files
from utils.guard import Guard
from utils.metrics import open_metrics
from utils.server import serve
from utils.settings import BadSetting, Settings, read_settings
from utils.stream_llm import open_model
from utils.supervisor import supervise
from utils.worker import supervisor

logger = logging.getLogger(__name__)

HERE = Path(__file__).parent
VENDOR = {
    "markdown-it": "markdown-it/dist/browser",
    "speed-highlight": "@speed-highlight/core/dist",
    "temml": "temml/dist",
}
# FastAPI's logs would export the texts of exceptions, which may contain keys. A span would last as
# long as a page is open. And only METRICS decides whether anything is exported.
TELEMETRY: TelemetryConfig = {"tracing": False, "logs": False, "auto_configure": False}


def create_app(settings: Settings) -> FastAPI:
    """The web app.

    At start-up it opens the model and the log; at shutdown it drains the replies and closes both.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        tidy()
        async with AsyncExitStack() as stack:
            if settings.metrics:
                app.router.routes.append(stack.enter_context(open_metrics()))
            app.state.model = await stack.enter_async_context(open_model(settings))
            try:
                log = await stack.enter_async_context(
                    open_log(settings.store_url, settings.lease_seconds, settings.keep_days)
                )
            except Unusable as error:
                raise BadSetting(f"STORE_URL={settings.shown_store_url!r}: {error}") from error
            # utils/server.py passes it on to a supervisor.
            app.state.worker = log.worker
            parent = supervisor()
            for worker in parent.dead if parent else ():
                # If this fails, its lease expires by itself.
                with suppress(Exception):
                    await log.bury(worker)
            app.state.rooms = Rooms(
                log,
                partial(answer, budget=settings.context_budget),
                lease_seconds=settings.lease_seconds,
                orphan_seconds=settings.orphan_seconds,
                max_replies=settings.max_replies,
            )
            app.state.is_ready = True
            yield
            # utils/server.py has set it at the signal; another server has not.
            app.state.is_ready = False
            await app.state.rooms.drain(settings.grace_seconds)

    app = FastAPI(lifespan=lifespan, openapi_url=None, telemetry=TELEMETRY)
    app.state.is_ready = False
    # The one that is added last comes first.
    if settings.chat_password:
        app.add_middleware(
            Access,
            password=settings.chat_password,
            page=HERE / "static/login.html",
        )
    app.add_middleware(Guard, hosts=f"{settings.allowed_hosts},{settings.host}")
    app.add_middleware(OneLine)
    serve_files(app)
    open_sockets: set[WebSocket] = set()

    @app.get("/healthz")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz")
    async def readiness(response: Response) -> dict[str, str]:
        # Not the log: if it is away, all workers would leave the load balancer at the same time.
        if app.state.is_ready:
            return {"status": "ok"}
        response.status_code = 503
        return {"status": "not ready"}

    async def chat(socket: WebSocket) -> None:
        """Serve one WebSocket. Its messages go into the log; `chat.writers` calls `answer`."""
        await socket.accept()
        if len(open_sockets) >= settings.max_connections:
            await socket.close(1013, "Too many connections, please try again later.")
            return
        open_sockets.add(socket)
        measures.open_sockets.add(1)
        try:
            await Client(socket, app.state.rooms, settings, app.state.model).run()
        finally:
            open_sockets.discard(socket)
            measures.open_sockets.add(-1)

    # Not @app.websocket: its dependency handling costs 3 KiB a connection.
    app.router.routes.append(WebSocketRoute("/ws", chat))
    return app


async def answer(room: Room, turn: Turn, budget: int) -> Reply:
    """Run the flow with a new shared store, and return the `Reply` that it wrote.

    `budget` is how many characters of the conversation are sent to the model.
    """
    reply = Reply(room, turn)
    shared = {
        # The node uses it like a WebSocket. What the node sends is appended to the log, and
        # every client is sent what is in the log.
        "websocket": reply,
        "user_message": turn.question,
        # Built from the log for every turn: what a node appends is seen only by later nodes of
        # this run.
        "conversation_history": room.conversation.history(turn, budget),
    }
    try:
        await create_streaming_chat_flow().run_async(shared)
    except Exception as error:
        # Log the location, but not the error's text: it may contain a key.
        where = "".join(traceback.format_tb(error.__traceback__))
        logger.error("the flow failed with %s at\n%s", type(error).__name__, where)
        reply.fail("internal_error")
    return reply


def serve_files(app: FastAPI) -> None:
    """Serve the page, and those of its libraries that are installed."""

    static = Files(HERE / "static", ours=True)
    # A redirect would name the path that this server sees, without the prefix that a proxy took off.
    app.router.redirect_slashes = False

    @app.get("/")
    async def page(request: Request) -> Response:
        return await static.get_response("index.html", request.scope)

    app.mount("/static", static)
    for name, folder in VENDOR.items():
        files = HERE / "node_modules" / folder
        if files.exists():
            app.mount(f"/vendor/{name}", Files(files))
        else:
            logger.warning("%s is missing, so replies look plainer: npm ci --ignore-scripts", name)


def __getattr__(name: str) -> FastAPI:
    """Create `app` on first access: importing this module starts nothing."""
    if name != "app":
        raise AttributeError(name)
    app = create_app(read_settings())
    globals()["app"] = app
    return app


if __name__ == "__main__":
    try:
        settings = read_settings()
        if settings.workers > 1:
            supervise(settings)
        else:
            serve(create_app(settings), settings)
    except (BadSetting, OSError) as error:
        # An OSError is, for example, "Address already in use".
        sys.exit(f"Cannot start: {error}")
