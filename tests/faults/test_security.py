"""Who may talk to the server, and what its answers give away: S01-S07 and S10-S14 of the fault list.

S08 and S09, what an answer may do on the page, are tested with the page.
"""

import asyncio
import json
import re

import pytest

from tests.support import KEY, NEVER_LOGGED, SECRETS, FakeOpenAI, Server, leaks
from tests.support.frames import CLOSE, PING, PONG, TEXT, frame
from tests.support.raw_websocket import Json, RawWebSocket
from tests.support.secrets import ORGANISATION

STRANGER = "AAAAAAAAAAAAAAAAAAAAAA"  # A conversation's id in form, and nobody's.
SECRET_MESSAGE = frame(TEXT, b'{"type": "message", "id": "m1", "content": "my secret"}')

FOREIGN_ORIGINS = {
    "S01 https": "https://evil.example",
    "S01 a port": "http://evil.example:8000",
    "S02 no origin of its own": "null",
    "S03 the host as a subdomain": "http://127.0.0.1:{port}.evil.example",
    "S03 the host as a prefix": "http://127.0.0.1.evil.example:{port}",
    "S03 the host as a suffix": "http://evil-127.0.0.1:{port}",
    "S03 the host as a user": "http://127.0.0.1:{port}@evil.example",
    "S03 the host as a path": "http://evil.example/127.0.0.1:{port}",
    "S03 another port": "http://127.0.0.1:1{port}",
    "S03 no port": "http://127.0.0.1",
    "S03 another name of this machine": "http://localhost:{port}",
    "S03 another scheme": "ftp://127.0.0.1:{port}",
    "S03 no scheme": "127.0.0.1:{port}",
    "S03 a file": "file://",
    "S03 empty": "",
}

FOREIGN_HOSTS = {
    "another name": "evil.example",
    "another name, our port": "evil.example:{port}",
    "ours as a subdomain": "127.0.0.1.evil.example",
    "ours as a user": "127.0.0.1:{port}@evil.example",
    "another address": "127.0.0.2:{port}",
    "a directive": "127.0.0.1; script-src *",
    "empty": "",
}

TRAVERSALS = [
    "/static/../main.py", "/static/../../etc/passwd", "/static/%2e%2e/main.py", "/static/%2e%2e%2fmain.py",
    "/static/..%2fmain.py", "/static/..%5cmain.py", "/static/..\\main.py", "/static/%252e%252e/main.py",
    "/static//etc/passwd", "/static/%2fetc%2fpasswd", "/static/./../utils/settings.py", "/../main.py", "//etc/passwd",
    "/main.py", "/static/main.py", "/.env", "/chat.db", "/.git/config",
]  # fmt: skip
HANDSHAKE = (
    b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)

ODD_REQUESTS = {
    "an unknown path": b"GET /nothing HTTP/1.1\r\n",
    "a folder": b"GET /static/ HTTP/1.1\r\n",
    "NUL in a path": b"GET /static/%00 HTTP/1.1\r\n",
    "no UTF-8 in a path": b"GET /static/%ff%fe HTTP/1.1\r\n",
    "a very long name": b"GET /static/" + b"x" * 5_000 + b" HTTP/1.1\r\n",
    "a header without an end": b"GET / HTTP/1.1\r\nx: " + b"x" * 200_000 + b"\r\n",
    "an unknown method": b"BREW / HTTP/1.1\r\n",
    "POST": b"POST / HTTP/1.1\r\ncontent-length: 2\r\n",
    "a length that is no number": b"GET / HTTP/1.1\r\ncontent-length: many\r\n",
    "an impossible range": b"GET / HTTP/1.1\r\nrange: bytes=9-1,-0,5-\r\n",
    "an impossible date": b"GET / HTTP/1.1\r\nif-modified-since: \xff\r\n",
    "no WebSocket": b"GET /ws HTTP/1.1\r\n",
    "a WebSocket without a key": b"GET /ws HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n",
    "a WebSocket elsewhere": b"GET /nothing HTTP/1.1\r\n" + HANDSHAKE,
    "a WebSocket with an escape in a header": b"GET /ws HTTP/1.1\r\n" + HANDSHAKE + b"x: \x1b\r\n",
    "no HTTP": b"hello\r\n",
}

PAGES = [
    "/",
    "/static/chat/connection.js",
    "/healthz",
    "/readyz",
    "/nothing",
    "/static/nothing",
    "/docs",
    "/openapi.json",
]


@pytest.fixture(autouse=True)
def good_answers(openai: FakeOpenAI) -> None:
    openai.says("Once", " upon")


@pytest.mark.parametrize("origin", FOREIGN_ORIGINS.values(), ids=FOREIGN_ORIGINS)
async def test_a_foreign_page_is_refused_before_the_handshake(server: Server, origin: str) -> None:
    await is_not_let_in(server, 403, Origin=origin.format(port=server.port))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
async def test_S03_the_servers_own_page_is_let_in(server: Server, host: str) -> None:
    address = f"{host}:{server.port}"
    await is_let_in(server, Host=address, Origin=f"http://{address}")


async def test_S04_a_program_has_no_origin_and_is_let_in(server: Server) -> None:
    await is_let_in(server)


@pytest.mark.parametrize("host", FOREIGN_HOSTS.values(), ids=FOREIGN_HOSTS)
async def test_S05_a_foreign_host_is_refused_on_http_and_websocket(server: Server, host: str) -> None:
    foreign = host.format(port=server.port)
    # Probes are let through: a kubelet's Host is the pod's address.
    for path, status in {"/": 400, "/static/page.js": 400, "/healthz/": 400, "/healthz": 200, "/readyz": 200}.items():
        answer = await server.get(path, Host=foreign)
        assert answer.status == status
        assert foreign == "" or foreign not in answer.headers["content-security-policy"]
    await is_not_let_in(server, 400, Host=foreign)
    await is_not_let_in(server, 400, Host=foreign, Origin=f"http://{foreign}")


async def test_S06_one_connection_too_many_is_told_so_and_the_page_still_loads(openai: FakeOpenAI) -> None:
    async with (
        Server(openai.url, MAX_CONNECTIONS="2") as server,
        RawWebSocket(server.ws_url) as first,
        RawWebSocket(server.ws_url) as second,
    ):
        await is_answered(first)
        for _ in range(3):
            async with RawWebSocket(server.ws_url) as third:
                assert third.status == 101
                closed = await third.frame()
                assert (closed.opcode, int.from_bytes(closed.payload[:2], "big")) == (CLOSE, 1013)
                assert closed.payload[2:].decode().endswith(".")
        for page in ("/", "/healthz", "/static/chat/connection.js"):
            assert (await server.get(page)).status == 200
        await is_answered(first)
        await is_answered(second)
        second.reset()
        async with asyncio.timeout(1):
            while not await lets_in(server):
                await asyncio.sleep(0.01)
        await is_answered(first)


async def test_S07_no_secret_is_in_a_frame_a_response_or_the_log(server: Server, openai: FakeOpenAI) -> None:
    told = []
    async with RawWebSocket(server.ws_url) as client:
        for status in (400, 401, 403, 404, 422, 500):
            openai.answers(lambda call: call.refuse(status, openai_organization=ORGANISATION))  # noqa: B023
            told.append(await client.reply("hi"))
    assert [reply.status for reply in told] == ["error"] * 6
    answers = [vars(await server.get(page)) for page in PAGES]
    assert not leaks(f"{told} {answers}")
    assert not leaks(server.log, NEVER_LOGGED)


def test_S07_any_eight_characters_of_a_secret_are_found() -> None:
    for secret in SECRETS:
        for at in range(len(secret) - 7):
            part = secret[at : at + 8]
            assert part in leaks(f"It was {part}, I think.")
            assert not leaks(f"It was:{part[:7]}, I think.")


async def test_S07_a_frame_with_a_part_of_the_key_fails_its_server(openai: FakeOpenAI) -> None:
    openai.says(f"I was told: {KEY[-8:]}.")
    with pytest.raises(AssertionError, match="secret"):
        async with Server(openai.url) as server, server.client() as client:
            await client.reply("What were you told?")


@pytest.mark.parametrize("page", PAGES)
async def test_S10_S11_every_response_has_the_exact_policy_and_no_frame_around_it(server: Server, page: str) -> None:
    host = f"127.0.0.1:{server.port}"
    headers = (await server.get(page)).headers
    assert headers["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        f"connect-src 'self' ws://{host} wss://{host}; font-src 'self'; manifest-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["server"] is None, "it names what runs here"
    assert headers["access-control-allow-origin"] is None


async def test_S12_a_conversations_id_cannot_be_guessed_and_is_never_logged(server: Server) -> None:
    ids = []
    for _ in range(20):
        async with RawWebSocket(server.ws_url) as client:
            conversation, turns = await resume(client, None)
            assert turns == []
            ids.append(conversation)
            await client.send(SECRET_MESSAGE)
            await client.until_end()
        async with RawWebSocket(server.ws_url) as client:
            again, turns = await resume(client, conversation)
            assert (again, len(turns)) == (conversation, 1)
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[\w-]{22}", id_) for id_ in ids), ids  # 16 random bytes
    for position in range(21):  # The last character holds fewer bits.
        assert len({id_[position] for id_ in ids}) > 5, "a part of the ids hardly changes"
    log = server.log
    assert not [id_ for id_ in ids if id_ in log]


async def test_S12_a_strangers_id_opens_nothing_and_no_response_lists_any(server: Server) -> None:
    async with RawWebSocket(server.ws_url) as owner:
        mine, _ = await resume(owner, None)
        await owner.send(SECRET_MESSAGE)
        await owner.until_end()
        for guess in (STRANGER, mine[:-1], mine.swapcase(), f"{mine} ", "*", "%", "", "../", "' OR 1=1 --"):
            async with RawWebSocket(server.ws_url) as thief:
                await thief.send(frame(TEXT, json.dumps({"type": "resume", "conversation": guess}).encode()))
                got = await thief.next()
                if got["type"] == "conversation":
                    assert got["id"] != mine
                    assert await thief.next() == {"type": "history", "turns": []}
                else:
                    assert (got["type"], got["code"]) == ("error", "bad_frame")
        for page in [*PAGES, "/conversations", f"/{mine}", f"/ws?conversation={mine}", f"/static/{mine}"]:
            answer = await server.get(page)
            assert mine.encode() not in answer.body
            assert b"my secret" not in answer.body


@pytest.mark.parametrize("path", TRAVERSALS)
async def test_S13_a_path_never_leads_out_of_the_static_folder(server: Server, path: str) -> None:
    answer = await server.get(path)
    assert answer.status in (400, 404), answer.body[:200]
    assert len(answer.body) < 200
    assert b"import" not in answer.body


@pytest.mark.parametrize("request_head", ODD_REQUESTS.values(), ids=ODD_REQUESTS)
async def test_S14_an_odd_request_gets_a_short_answer_and_no_traceback(server: Server, request_head: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    connection = b"" if b"upgrade" in request_head else b"Connection: close\r\n"
    try:
        async with asyncio.timeout(5):
            writer.write(request_head + b"Host: 127.0.0.1\r\n" + connection + b"\r\n{}")
            answer = await reader.read(100_000)
    finally:
        writer.close()
    status = int(answer.split()[1]) if answer else 400
    assert status < 500, answer
    if status >= 400:
        assert len(answer.partition(b"\r\n\r\n")[2]) < 200, answer
    assert not re.search(rb'Traceback|File "|\.py|Error\b', answer), answer
    assert "Traceback" not in server.log


async def is_let_in(server: Server, **headers: str) -> None:
    async with RawWebSocket(server.ws_url, headers=headers) as client:
        assert client.status == 101
        await is_answered(client)


async def is_not_let_in(server: Server, status: int, **headers: str) -> None:
    async with RawWebSocket(server.ws_url, headers=headers) as client:
        assert client.status == status


async def resume(client: RawWebSocket, id_: str | None) -> tuple[str, list[Json]]:
    """The id that the server gives, and the turns so far."""
    await client.send(frame(TEXT, json.dumps({"type": "resume", "conversation": id_}).encode()))
    conversation, history = await client.next(), await client.next()
    assert (conversation["type"], history["type"]) == ("conversation", "history")
    return conversation["id"], history["turns"]


async def lets_in(server: Server) -> bool:
    async with RawWebSocket(server.ws_url) as client:
        await client.send(frame(PING))
        return (await client.frame()).opcode == PONG


async def is_answered(client: RawWebSocket) -> None:
    assert (await client.reply("hi")).whole == "Once upon"
