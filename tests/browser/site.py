"""A small site that serves the page's modules under the page's content policy, without the app."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from playwright.async_api import Browser, Page

from main import VENDOR

ROOT = Path(__file__).parents[2]
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
KINDS = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".woff2": "font/woff2",
}


@dataclass(frozen=True)
class Site:
    url: str


@asynccontextmanager
async def serve() -> AsyncIterator[Site]:
    app = web.Application()
    app.router.add_get("/{path:.+}", _answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield Site(f"http://{host}:{port}")
    finally:
        await runner.cleanup()


@asynccontextmanager
async def opened(browser: Browser, url: str, *, without: str | None = None) -> AsyncIterator[Page]:
    """A page of this site, once its scripts have run; `without` what the pattern matches."""
    context = await browser.new_context()
    if without:
        await context.route(without, lambda route: route.fulfill(status=404))
    page = await context.new_page()
    await page.goto(url)
    await page.wait_for_function("() => window.ready")
    yield page
    await context.close()


async def _answer(request: web.Request) -> web.Response:
    headers = {"Content-Security-Policy": POLICY}
    match request.match_info["path"].partition("/"):
        case "static", _, name:
            file = ROOT / "static" / name
        case "vendor", _, name:
            library, _, name = name.partition("/")
            file = ROOT / "node_modules" / VENDOR.get(library, "none") / name
        case "without-policy", _, name:
            file = Path(__file__).parent / name
            headers = {}
        case name, _, _:
            file = Path(__file__).parent / name
    if not file.is_file():
        raise web.HTTPNotFound
    return web.Response(body=file.read_bytes(), content_type=KINDS[file.suffix], charset="utf-8", headers=headers)
