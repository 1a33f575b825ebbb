"""Who may talk to this server, and what a browser may do with its answers."""

import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "Cache-Control": "no-cache",  # Files are asked for again, by their ETag: a deploy never mixes old and new ones.
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
POLICY = (  # Old Safari does not take 'self' for WebSockets: the host is named too.
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self' ws://{host} wss://{host}; font-src 'self'; manifest-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)


class Guard:
    """Refuses foreign hosts (400, against DNS rebinding) and foreign pages (403); sets headers on every response."""

    def __init__(self, app: ASGIApp, hosts: str) -> None:
        self.app, self.hosts = app, {host.strip().lower() for host in hosts.split(",")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        headers, app = Headers(scope=scope), self.app
        host = headers.get("host", "").lower()
        if not self._is_known(host):
            host, app = "localhost", PlainTextResponse("Unknown host. See ALLOWED_HOSTS.", 400)
        elif scope["type"] == "websocket" and headers.get("origin", f"http://{host}").lower() not in (
            f"http://{host}",  # Also behind a proxy that ends TLS; without an Origin it is no browser.
            f"https://{host}",
        ):
            app = PlainTextResponse("Foreign origin.", 403)

        async def send_with_headers(message: Message) -> None:
            if message["type"].endswith("http.response.start"):
                policy = {"Content-Security-Policy": POLICY.format(host=host)}
                MutableHeaders(scope=message).update(HEADERS | policy)
            await send(message)

        await app(scope, receive, send_with_headers)

    def _is_known(self, host: str) -> bool:
        if not re.fullmatch(r"[\w.-]+(:\d+)?|\[[\da-f:]+\](:\d+)?", host, re.ASCII):
            return False
        return not self.hosts.isdisjoint(("*", urlsplit(f"//{host}").hostname))
