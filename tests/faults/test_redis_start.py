"""A Redis or Valkey server that cannot be used, and one that is reached over TLS: M10-M12 of the fault list."""

import asyncio
import re
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from chat import redis_calls
from chat.log import Unusable, open_log
from tests.conftest import LEASE
from tests.support import FakeOpenAI, Server
from tests.support.proxy import Proxy
from tests.support.server import DidNotStart
from tests.support.valkey import Valkey, free_port

PLAIN = "-m uvicorn main:app --port PORT"
PASSWORD = "correct-horse"  # of the URLs below

# What is imported first in a process that shall not find the package of requirements-redis.txt.
NO_REDIS = """
import sys

class NoRedis:
    def find_spec(name, path=None, target=None):
        if name == "redis":
            raise ModuleNotFoundError(name=name)

sys.meta_path.insert(0, NoRedis)
"""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate for 127.0.0.1 that is its own authority, and its key."""
    folder = tmp_path_factory.mktemp("certificate")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -keyout key.pem"
    names = ["-out", "cert.pem", "-subj", "/CN=store", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command.split(), *names], cwd=folder, check=True, capture_output=True, timeout=20)
    return folder


@pytest.fixture(scope="module")
async def tls(valkey: Valkey, certificate: Path) -> AsyncIterator[Proxy]:
    """TLS ends at this proxy: the server of the package has none built in. For a client it makes no difference."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    async with Proxy(valkey.port, tls=context) as proxy:
        yield proxy


async def test_M10_a_store_that_cannot_be_used_ends_the_start_with_one_line(
    openai: FakeOpenAI, valkey: Valkey, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(NO_REDIS)
    missing = "the package redis is not installed: pip install -r requirements-redis.txt"
    cases: list[tuple[str, str, str, str | None]] = [
        (f"redis://:{PASSWORD}@127.0.0.1:{free_port()}/0", "Error", PLAIN, None),
        (f"redis://ann:{PASSWORD}@127.0.0.1:{valkey.port}", "invalid username-password pair", "main.py", None),
        (valkey.url, missing, "main.py", str(tmp_path)),
    ]

    async def does_not_start(url: str, reason: str, program: str, path: str | None) -> None:
        server = Server(openai.url, program=program, STORE_URL=url, PYTHONPATH=path)
        with pytest.raises(DidNotStart) as failure:
            await server.__aenter__()
        (line,) = [line for line in str(failure.value).splitlines() if not line.startswith("INFO:")]
        shown = re.sub("//.*@", "//", url)
        assert line.startswith(f"ERROR:    Cannot start: STORE_URL={shown!r}: {reason}")
        assert PASSWORD not in line
        assert await server.stopped() == (1 if program == "main.py" else 3)

    async with asyncio.TaskGroup() as tasks:
        for case in cases:
            tasks.create_task(does_not_start(*case))


async def test_M10_whatever_answers_there_the_reason_fits_into_a_line(
    valkey: Valkey, tls: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_calls, "PATIENCE_SECONDS", 0.5)
    at = f":{PASSWORD}@127.0.0.1"
    async with AsyncExitStack() as stack:
        web = await stack.enter_async_context(await asyncio.start_server(says_400, "127.0.0.1", 0))
        node = Valkey(tmp_path, port=free_port(below=50_000), cluster_enabled="yes")
        stack.enter_context(node)
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        for url, reason in {
            f"redis://:{PASSWORD}@no-such-host.invalid": "connecting to no-such-host.invalid:6379",
            f"rediss://{at}:{valkey.port}": "SSL|no answer",
            f"rediss://{at}:{tls.port}": "CERTIFICATE_VERIFY_FAILED",
            f"redis://{at}:{tls.port}": "Protocol error|Connection",
            f"redis://{at}:{web.sockets[0].getsockname()[1]}": "Protocol error",
            f"redis://{at}:{valkey.port}?unknown=1": "expected redis://",
            f"redis://{at}:{valkey.port}?max_connections=x": "expected redis://",
            f"redis://127.0.0.1:{node.port}": "is a node of a cluster, which is not supported",
        }.items():
            tasks.create_task(is_refused(url, reason))


async def says_400(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What a web server makes of it."""
    await reader.read(100)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    await writer.drain()
    writer.close()


async def is_refused(url: str, reason: str) -> None:
    with pytest.raises(Unusable, match=reason) as refusal:
        async with open_log(url, LEASE):
            pass
    assert PASSWORD not in str(refusal.value)
    assert "\n" not in str(refusal.value)


async def test_M11_a_user_without_channels_is_refused_at_the_start(valkey: Valkey) -> None:
    """No news would ever reach this process: its pages would stand still."""
    valkey.command("ACL", "SETUSER", "ann", "on", f">{PASSWORD}", "~*", "+@all")
    await is_refused(f"redis://ann:{PASSWORD}@127.0.0.1:{valkey.port}", "channel")
    valkey.command("ACL", "SETUSER", "ann", "&chat*")
    async with open_log(f"redis://ann:{PASSWORD}@127.0.0.1:{valkey.port}", LEASE) as log, log.watch("c"):
        await log.append("c", {"type": "chunk"})
    valkey.command("ACL", "DELUSER", "ann")


async def test_M12_a_store_behind_tls_works_with_its_authority(tls: Proxy, certificate: Path) -> None:
    async with open_log(f"rediss://127.0.0.1:{tls.port}?ssl_ca_certs={certificate}/cert.pem", LEASE) as log:
        _, place = await log.append("tls", {"type": "chunk"})
        assert await log.read("tls", None) == [(place, {"type": "chunk"})]
