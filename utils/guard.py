"""Who may talk to this server, and what a browser may do with its answers."""

import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    # Files are revalidated by their ETag: a deploy never mixes old and new ones.
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
# Old Safari does not accept 'self' for WebSockets, so the host is named too.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self' ws://{host} wss://{host}; font-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)

# What a supervisor asks for. A kubelet names the pod's address as the host.
PROBES = ("/healthz", "/readyz")


class Guard:
    """Refuses foreign hosts (400, against DNS rebinding) and WebSockets of foreign pages (403).

    Sets the security headers on every response. `hosts` are names, separated by commas. Probes may
    name any host: they reveal nothing.
    """

    def __init__(self, app: ASGIApp, hosts: str) -> None:
        self.app = app
        self.hosts = {host.strip().lower() for host in hosts.split(",")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        app = self.app
        headers = Headers(scope=scope)
        host = headers.get("host", "").lower()
        if not self._is_known(host):
            host = "localhost"
            if scope["type"] != "http" or path_of(scope) not in PROBES:
                app = PlainTextResponse("Unknown host. See ALLOWED_HOSTS.", 400)
        elif scope["type"] == "websocket" and not is_own_page(headers, host):
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


def path_of(scope: Scope) -> str:
    """The path of a request without the prefix that uvicorn was told (`--root-path`)."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def is_own_page(headers: Headers, host: str) -> bool:
    """Whether no page of another site sends this.

    A client without an Origin is not a browser. A proxy may end TLS, so https is fine too."""
    origin = headers.get("origin")
    return origin is None or origin.lower() in (f"http://{host}", f"https://{host}")
