"""The small vocabulary of the tests: a scripted OpenAI, our server, a client without a page."""

# mypy: implicit-reexport
# ruff: noqa: F401

from tests.support.call import Call, Script, dialogue, echo, script
from tests.support.client import Client, Frame, Reply
from tests.support.fake_openai import FakeOpenAI
from tests.support.secrets import INTERNAL_HOST, KEY, NEVER_LOGGED, ORGANISATION, SECRETS, UPSTREAM_WORDS, leaks
from tests.support.server import DidNotStart, Server, Usage
from tests.support.turns import write_conversation
from tests.support.waiting import eventually
from tests.support.wire import chunk, refusal, sse
