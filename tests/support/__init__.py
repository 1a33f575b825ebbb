"""The small vocabulary of the tests: a scripted OpenAI, our server, a client without a page."""

from tests.support.call import Call, chunk, refusal
from tests.support.client import Client, Frame, Reply
from tests.support.fake_openai import FakeOpenAI
from tests.support.secrets import KEY, SECRETS, UPSTREAM_WORDS, leaks
from tests.support.server import DidNotStart, Server, Usage
from tests.support.waiting import eventually

__all__ = [
    "KEY",
    "SECRETS",
    "UPSTREAM_WORDS",
    "Call",
    "Client",
    "DidNotStart",
    "FakeOpenAI",
    "Frame",
    "Reply",
    "Server",
    "Usage",
    "chunk",
    "eventually",
    "leaks",
    "refusal",
]
