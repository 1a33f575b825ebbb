"""The web server: one page, one WebSocket. `uvicorn main:app`, or `python main.py` with hardened defaults."""

import logging
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, WebSocket
from fastapi.staticfiles import StaticFiles
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import FileResponse
from starlette.routing import WebSocketRoute

from utils.connection import Connection
from utils.guard import Guard
from utils.log import open_log
from utils.replies import Replies
from utils.server import serve
from utils.settings import BadSetting, Settings, read_settings
from utils.stream_llm import open_model

logger = logging.getLogger(__name__)

HERE = Path(__file__).parent
VENDOR = {"markdown-it": "markdown-it/dist/browser", "speed-highlight": "@speed-highlight/core/dist"}


def create_app(settings: Settings) -> FastAPI:
    """The web app. It opens the log and the model when it starts, and closes them when it ends."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            app.state.model = await stack.enter_async_context(open_model(settings))
            log = await stack.enter_async_context(open_log(settings.store_url, settings.lease_seconds))
            app.state.replies = Replies(log, settings)
            yield
            await app.state.replies.drain()

    app = FastAPI(lifespan=lifespan, openapi_url=None)
    app.add_middleware(GZipMiddleware)
    app.add_middleware(Guard, hosts=f"{settings.allowed_hosts},{settings.host}")
    app.mount("/static", StaticFiles(directory=HERE / "static"))
    for name, folder in VENDOR.items():
        if (HERE / "node_modules" / folder).exists():
            app.mount(f"/vendor/{name}", StaticFiles(directory=HERE / "node_modules" / folder))
        else:
            logger.warning("%s is missing: replies are shown plainer. Run npm ci --ignore-scripts", name)
    open_sockets: set[WebSocket] = set()

    @app.get("/")
    async def page() -> FileResponse:
        return FileResponse(HERE / "static/index.html")

    @app.get("/healthz")
    async def health() -> dict[str, str]:
        return {"status": "ok", "model": settings.model_name}

    async def chat(socket: WebSocket) -> None:
        await socket.accept()
        if len(open_sockets) >= settings.max_connections:
            return await socket.close(1013, "Too many connections, please try again later.")
        open_sockets.add(socket)
        try:
            await Connection(socket, app.state.replies, settings, app.state.model).run()
        finally:
            open_sockets.discard(socket)

    # Not @app.websocket: what it needs for dependencies costs 3 KiB a connection.
    app.router.routes.append(WebSocketRoute("/ws", chat))
    return app


def __getattr__(name: str) -> FastAPI:
    """`app`, made when somebody asks for it: importing this file does nothing."""
    if name != "app":
        raise AttributeError(name)
    app = globals()["app"] = create_app(read_settings())
    return app


if __name__ == "__main__":
    try:
        settings = read_settings()
        serve(create_app(settings), settings)
    except (BadSetting, OSError) as error:  # such as: Address already in use
        sys.exit(f"Cannot start: {error}")
