"""One password for everybody (`CHAT_PASSWORD`): without it there is only the login page.

A signed cookie shows that a browser has logged in. Its key is derived from the password, so every
worker accepts it, and a new password logs everybody out. There are no accounts and no sessions.
"""

import hashlib
import hmac
import re
import time
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address, ip_network
from pathlib import Path
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from utils.guard import PROBES, is_own_page, path_of

COOKIE = "pocket-chat"
COOKIE_SECONDS = 30 * 86_400

# What the login page consists of. Nothing in these files is secret.
PAGE_FILES = ("login.css", "style.css", "first.js", "icon.svg", "manifest.webmanifest")
PUBLIC = frozenset(PROBES) | {f"/static/{name}" for name in PAGE_FILES}

# Prometheus cannot log in: it sends the password with every request, under any user name.
METRICS = "/metrics"

# Rounds of PBKDF2, once at start-up. They slow down whoever has stolen a cookie and guesses the
# password that signed it.
KEY_ROUNDS = 200_000

# Bytes of the form. A password of hundreds of characters fits.
LONGEST_FORM = 8 * 1024

# Wrong passwords a minute: from one address, and from all of them together. The second number also
# limits how many addresses are remembered.
WRONG_FROM_ONE = 5
WRONG_FROM_ALL = 60

WRONG = "Wrong password."
TOO_MANY = "Too many tries. Please wait a minute."


class Access:
    """Refuses whoever has not logged in: WebSockets with 403, the page with the login page.

    Everything else gets 401. It stands behind `Guard`, which checks Host and sets the headers.
    `page` is the HTML of the login page.
    """

    def __init__(self, app: ASGIApp, password: str, page: Path) -> None:
        self.app = app
        self._page = page.read_text("utf-8")
        self._digest = _digest(password)
        self._key = hashlib.pbkdf2_hmac("sha256", password.encode(), b"pocket-chat", KEY_ROUNDS)
        self._wrong_tries = WrongTries()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self.app
        if scope["type"] != "lifespan":
            answer = await self._admit(scope, receive)
        await answer(scope, receive, send)

    async def _admit(self, scope: Scope, receive: Receive) -> ASGIApp:
        """The app, for whoever may use it; a response for everybody else."""
        path = path_of(scope)
        is_http = scope["type"] == "http"
        method = scope["method"] if is_http else ""
        if path == "/" and method == "POST":
            return await self._log_in(Request(scope, receive))
        if is_http and path in PUBLIC:
            return self.app
        if any(map(self._is_valid, _cookies(Headers(scope=scope)))):
            return self.app
        if is_http and path == METRICS and self._is_scraper(Request(scope)):
            return self.app
        if path == "/" and method in ("GET", "HEAD"):
            return self._show(401)
        return PlainTextResponse("Please log in.", 401 if is_http else 403)

    async def _log_in(self, request: Request) -> Response:
        if not is_own_page(request.headers, request.headers["host"].lower()):
            return PlainTextResponse("Foreign origin.", 403)
        body = b""
        try:
            async for part in request.stream():
                body += part
                if len(body) > LONGEST_FORM:
                    return PlainTextResponse("This form is too large.", 413)
        except ClientDisconnect:
            return Response(status_code=400)
        # There is no await below, so nobody can try many passwords in the same moment.
        network = _network(request)
        if self._wrong_tries.are_too_many(network):
            return self._show(429, TOO_MANY)
        if not hmac.compare_digest(_digest(_password_in(body)), self._digest):
            self._wrong_tries.add(network)
            return self._show(401, WRONG)
        # Relative, so it works below a path prefix that only the proxy knows.
        response = RedirectResponse("./", 303)
        response.set_cookie(
            COOKIE,
            self.signed(int(time.time()) + COOKIE_SECONDS),
            max_age=COOKIE_SECONDS,
            # Without a path the browser takes that of the page, prefix included.
            path=None,
            httponly=True,
            secure=request.url.scheme == "https",
            # Strict would show the login to whoever follows a link to the chat.
            samesite="lax",
        )
        return response

    def _is_scraper(self, request: Request) -> bool:
        network = _network(request)
        password = _basic_password(request.headers.get("authorization", ""))
        if not password or self._wrong_tries.are_too_many(network):
            return False
        if hmac.compare_digest(_digest(password), self._digest):
            return True
        self._wrong_tries.add(network)
        return False

    def _show(self, status: int, problem: str = "") -> Response:
        return HTMLResponse(self._page.replace("{problem}", problem), status)

    def signed(self, expires: int) -> str:
        """The value of a cookie that is valid until then, in seconds since 1970."""
        signature = hmac.digest(self._key, str(expires).encode(), "sha256")
        return f"{expires}.{signature.hex()}"

    def _is_valid(self, cookie: str) -> bool:
        found = re.fullmatch(r"(\d{1,12})\.[\da-f]{64}", cookie, re.ASCII)
        if not found or int(found[1]) <= time.time():
            return False
        return hmac.compare_digest(cookie, self.signed(int(found[1])))


class WrongTries:
    """Counts wrong passwords in this process, in a minute that the first of them starts.

    Right ones do not count: a whole office may log in from one address.
    """

    def __init__(self) -> None:
        self._started = -float("inf")
        self._wrong: Counter[str] = Counter()

    def add(self, network: str) -> None:
        self._wrong[network] += 1

    def are_too_many(self, network: str) -> bool:
        """Whether the next try from there has to wait."""
        now = time.monotonic()
        if not self._wrong or now - self._started >= 60:
            self._wrong.clear()
            self._started = now
        is_flood = self._wrong.total() >= WRONG_FROM_ALL
        return is_flood or self._wrong[network] >= WRONG_FROM_ONE


def _digest(password: str) -> bytes:
    """Of the same length for each password, so that comparing tells nothing about its length."""
    return hashlib.sha256(password.encode()).digest()


def _password_in(body: bytes) -> str:
    """The password in a urlencoded form; the settings are stripped of spaces, so it is too."""
    fields = dict(parse_qsl(body.decode("latin-1")))
    return fields.get("password", "").strip()


def _basic_password(header: str) -> str:
    """The password in an Authorization header of HTTP Basic; empty if it is none."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return b64decode(encoded, validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def _cookies(headers: Headers) -> Iterator[str]:
    """The values of all cookies of our name: another chat on this host may have set one too."""
    for header in headers.getlist("cookie"):
        for cookie in header.split(";"):
            name, _, value = cookie.strip().partition("=")
            if name == COOKIE:
                yield value


def _network(request: Request) -> str:
    """Whose tries count together: an address, or the /64 that one IPv6 customer has."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host)
    except ValueError:
        # A name, from a proxy that is believed.
        return host
    if not isinstance(address, IPv6Address):
        return host
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ip_network((int(address), 64), strict=False))
