"""`CHAT_PASSWORD`: who does not know it gets the login page, and nothing of any conversation."""

import re
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.routing import BaseRoute, Mount, WebSocketRoute

from main import create_app
from tests.support import FakeOpenAI, Server
from tests.support.frames import TEXT, frame
from tests.support.raw_websocket import RawWebSocket
from tests.support.resuming import Tab
from tests.support.server import Answer
from utils.access import COOKIE_SECONDS, PUBLIC, WRONG_FROM_ALL, WRONG_FROM_ONE, Access, WrongTries
from utils.settings import BadSetting, Settings, read_settings

PASSWORD = "correct horse, 10 % & é"
FORM = "password=correct+horse%2C+10+%25+%26+%C3%A9"
WRONG = "password=battery"
SECRET = "the cat is called Minka"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
LOGIN = Path(__file__).parents[1] / "static/login.html"
TOMORROW = int(time.time()) + 86_400


async def nothing(*_: object) -> None:
    """An app that is never called."""


OURS = Access(nothing, PASSWORD, LOGIN)
VALID = OURS.signed(TOMORROW)
EXPIRED = OURS.signed(int(time.time()) - 1)
NO_KEYS = {
    "no cookie": "",
    "nonsense": "pocket-chat=1",
    "no signature": f"pocket-chat={TOMORROW}.",
    "expired": f"pocket-chat={EXPIRED}",
    "expired, with a later date": f"pocket-chat={TOMORROW}.{EXPIRED.partition('.')[2]}",
    "a changed signature": f"pocket-chat={VALID[:-1]}{int(VALID[-1], 16) ^ 1:x}",
    "another password": f"pocket-chat={Access(nothing, 'battery', LOGIN).signed(TOMORROW)}",
    "another name": f"pocketchat={VALID}",
}


@pytest.fixture(scope="module")
async def locked(openai: FakeOpenAI) -> AsyncIterator[Server]:
    """A server with a password, and with a proxy that is believed: each test has an address of its own."""
    async with Server(openai.url, CHAT_PASSWORD=PASSWORD, FORWARDED_ALLOW_IPS="127.0.0.1") as server:
        yield server
        assert "horse" not in server.log


def paths(routes: list[BaseRoute]) -> set[str]:
    """The path of every route but WebSockets, and of every file that a mount serves."""
    found = {"/nothing"}
    for route in routes:
        if isinstance(route, Mount):
            folder = Path(getattr(route.app, "directory"))  # noqa: B009
            files = [file for file in folder.rglob("*") if file.is_file()]
            found |= {f"{route.path}/{file.relative_to(folder)}" for file in files}
        elif not isinstance(route, WebSocketRoute):
            found.add(re.sub(r"{.*?}", "x", getattr(route, "path")))  # noqa: B009
    return found - PUBLIC


@pytest.mark.parametrize("cookie", NO_KEYS.values(), ids=NO_KEYS)
async def test_S15_without_the_password_no_route_reveals_anything(
    locked: Server, openai: FakeOpenAI, cookie: str
) -> None:
    openai.says("Purr.")
    async with Tab(locked, additional_headers={"Cookie": f"pocket-chat={VALID}"}) as tab:
        await tab.answered(SECRET)
        calls = len(openai.calls)
        routes = create_app(Settings(chat_password=PASSWORD)).routes
        files = paths(routes)
        assert {"/", "/static/page.js", "/static/login.html"} <= files
        for path in files:
            # Files are all served by the same two mounts.
            for method in METHODS if path.count("/") == 1 else METHODS[:1]:
                answer = await locked.request(method, path, Cookie=cookie)
                # Each POST to the page is a wrong password.
                assert answer.status in (401, 429), (method, path)
                if path != "/" or method not in ("GET", "HEAD", "POST"):
                    assert answer.body in (b"Please log in.", b""), (method, path)
                assert SECRET.encode() not in answer.body
        for route in routes:
            if isinstance(route, WebSocketRoute):
                await is_refused(locked.ws_url.replace("/ws", route.path), cookie, tab.conversation)
        assert len(openai.calls) == calls


async def is_refused(url: str, cookie: str, conversation: str) -> None:
    """403 before the handshake; frames that are sent nevertheless are not read."""
    async with RawWebSocket(url, headers={"Cookie": cookie} if cookie else {}) as socket:
        assert socket.status == 403
        await socket.send_until_refused(
            frame(TEXT, f'{{"type": "resume", "conversation": "{conversation}"}}'.encode())
            + frame(TEXT, b'{"type": "message", "id": "m1", "content": "Hi"}')
        )
        # What follows the head is the end of the response, and no frame.
        with pytest.raises(ConnectionError):
            await socket.frame()


async def test_S15_a_login_opens_every_route_for_thirty_days(locked: Server, openai: FakeOpenAI) -> None:
    openai.says("Welcome.")
    answer = await log_in(locked, FORM, "10.0.0.1")
    assert (answer.status, answer.headers["location"]) == (303, "./")
    cookie, *attributes = answer.headers["set-cookie"].split("; ")
    # No Path: the browser takes that of the page, which may be below a prefix.
    assert set(attributes) == {"HttpOnly", f"Max-Age={COOKIE_SECONDS}", "SameSite=lax"}
    for path in ("/", "/static/page.js", "/healthz"):
        assert (await locked.get(path, Cookie=f"a=1; {cookie}; b=2")).status == 200
    async with locked.client(additional_headers={"Cookie": cookie}) as client:
        assert (await client.reply("Hi")).whole == "Welcome."


async def test_over_https_the_cookie_is_secure(locked: Server) -> None:
    answer = await log_in(locked, FORM, "10.0.0.2", **{"X-Forwarded-Proto": "https"})
    assert "Secure" in answer.headers["set-cookie"].split("; ")


@pytest.mark.parametrize("path", sorted(PUBLIC))
async def test_the_login_page_has_its_files_and_probes_answer(locked: Server, path: str) -> None:
    assert (await locked.get(path)).status == 200


async def test_S15_wrong_passwords_are_limited_and_lock_out_nobody_who_is_in(locked: Server) -> None:
    for _ in range(WRONG_FROM_ONE):
        answer = await log_in(locked, WRONG, "10.0.0.3")
        assert (answer.status, answer.headers["set-cookie"]) == (401, None)
        assert b"Wrong password." in answer.body
    answer = await log_in(locked, FORM, "10.0.0.3")
    assert (answer.status, answer.headers["set-cookie"]) == (429, None)
    assert b"Too many tries. Please wait a minute." in answer.body
    address = {"X-Forwarded-For": "10.0.0.3"}
    assert (await locked.get("/", 5.0, Cookie=f"pocket-chat={VALID}", **address)).status == 200
    assert (await log_in(locked, FORM, "10.0.0.4")).status == 303


async def test_one_ipv6_customer_has_as_many_tries_as_one_ipv4_address(locked: Server) -> None:
    for number in range(WRONG_FROM_ONE):
        assert (await log_in(locked, WRONG, f"2001:db8::{number}")).status == 401
    assert (await log_in(locked, WRONG, "2001:db8::ffff")).status == 429
    assert (await log_in(locked, FORM, "2001:db8:0:1::1")).status == 303


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 401),
        ("password", 401),
        ("password=%ff%fe&x", 401),
        ("\xff" * 100, 401),
        ("&" * 8000, 401),
        (f"{FORM}&x={'x' * 9000}", 413),
    ],
    ids=["empty", "no value", "no UTF-8", "no ASCII", "many fields", "too long"],
)
async def test_an_odd_form_logs_nobody_in(locked: Server, body: str, status: int) -> None:
    answer = await log_in(locked, body, f"10.1.0.{len(body) % 256}")
    assert (answer.status, answer.headers["set-cookie"]) == (status, None)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", ""])
async def test_another_sites_form_logs_nobody_in(locked: Server, origin: str) -> None:
    assert (await log_in(locked, FORM, "10.0.0.5", Origin=origin)).status == 403
    assert (await log_in(locked, FORM, "10.0.0.5", Origin=locked.url)).status == 303


async def log_in(server: Server, form: str, address: str, **headers: str) -> Answer:
    return await server.request("POST", "/", form, 5.0, **headers, **{"X-Forwarded-For": address})


def test_guessing_from_many_addresses_is_slow_and_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    tries = WrongTries()
    checked = 0
    for number in range(1000):
        if not tries.are_too_many(f"10.0.0.{number}"):
            tries.add(f"10.0.0.{number}")
            checked += 1
    assert checked == len(tries._wrong) == WRONG_FROM_ALL
    now = 59.0
    assert tries.are_too_many("10.0.1.1")
    now = 60.0
    assert not tries.are_too_many("10.0.1.1")


def test_the_minute_begins_with_the_first_wrong_try(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    tries = WrongTries()
    assert not tries.are_too_many("10.0.0.1")
    now = 50.0
    for _ in range(WRONG_FROM_ONE):
        assert not tries.are_too_many("10.0.0.1")
        tries.add("10.0.0.1")
    now = 109.0
    assert tries.are_too_many("10.0.0.1")
    now = 110.0
    assert not tries.are_too_many("10.0.0.1")


async def test_a_scraper_of_metrics_sends_the_password_with_each_request(openai: FakeOpenAI) -> None:
    proxy = "127.0.0.1"
    async with Server(openai.url, CHAT_PASSWORD=PASSWORD, METRICS="1", FORWARDED_ALLOW_IPS=proxy) as server:
        for user in (":", "prometheus:"):
            assert (await scrape(server, user + PASSWORD, "10.0.0.8")).status == 200
        # Nothing else opens like this.
        assert (await server.get("/", Authorization=basic(":" + PASSWORD))).status == 401
        for wrong in (PASSWORD, "", ":", *(f":{number}" for number in range(WRONG_FROM_ONE))):
            assert (await scrape(server, wrong, "10.0.0.9")).status == 401
        # Too many tries: now the right one is not looked at either.
        assert (await scrape(server, ":" + PASSWORD, "10.0.0.9")).status == 401
        assert (await server.get("/metrics", Authorization="Basic ?")).status == 401


async def scrape(server: Server, credentials: str, address: str) -> Answer:
    headers = {"Authorization": basic(credentials), "X-Forwarded-For": address}
    return await server.get("/metrics", 5.0, **headers)


def basic(credentials: str) -> str:
    return "Basic " + b64encode(credentials.encode()).decode()


def test_the_password_is_shown_nowhere() -> None:
    settings = read_settings({"CHAT_PASSWORD": f" {PASSWORD} "})
    assert settings.chat_password == PASSWORD
    assert "horse" not in f"{settings} {settings!r}"
    for bad in ("horse\nhorse", "horse\udcff"):
        with pytest.raises(BadSetting, match="CHAT_PASSWORD") as error:
            read_settings({"CHAT_PASSWORD": bad})
        assert "horse" not in f"{error.value} {error.value!r}"
