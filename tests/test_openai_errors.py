"""What the log may quote of a server's error, and which code it has."""

import time
from typing import Any

import pytest

from tests.support import INTERNAL_HOST, KEY, NEVER_LOGGED, ORGANISATION, UPSTREAM_WORDS, leaks
from utils.openai_errors import LONGEST_QUOTE, ErrorEvent, error_code, quoted

UNCHANGED = [
    "model 'llama3.2:70b' not found, try pulling it first",
    "The model `meta-llama/Llama-3.1-8B-Instruct` does not exist.",
    "/chat/completions: Invalid model name passed in model=gpt-5.4-mini-2026-03-17.",
    "anthropic.claude-3-5-sonnet-20241022-v2:0 or deepseek-r1-distill-qwen-32b",
    "Limit 30000, Used 29999. A task-force takes risks at 12:30.",
    "模型不存在",
]

CUT = {
    f"Incorrect API key provided: {KEY}.": "Incorrect API key provided: …",
    f"No such key: '{KEY[3:14]}'": "No such key: …",
    "Incorrect API key provided: sk-proj-******abcd. See it.": "Incorrect API key provided: … See it.",
    "Authorization: Bearer abc.def was refused": "Authorization: … was refused",
    "token hf_abcdefghij1234567890ABCDEFGHIJ expired": "token … expired",
    f"Rate limit of organization {ORGANISATION} reached": "Rate limit of organization … reached",
    "Project `proj_abc123` has no access": "Project `…` has no access",
    f"cannot reach {INTERNAL_HOST}.": "cannot reach ….",
    f"cannot reach {INTERNAL_HOST}:8000, sorry": "cannot reach …, sorry",
    "cannot reach worker:8000 or 10.0.0.17 or [fe80::1]:99": "cannot reach … or … or …",
    "See https://gpu/docs?key=1, please": "See … please",
}

HOSTILE = [
    "a" * 70_000,
    "a-" * 35_000,
    "a." * 35_000,
    "model " * 12_000,
    "[:" * 35_000,
    "bearer " * 10_000,
    "\0" * 9_000,
]


@pytest.mark.parametrize("message", UNCHANGED)
def test_U59_a_servers_message_is_quoted(message: str) -> None:
    for error in ({"message": message}, {"error": message}, {"detail": message}, message):
        assert quoted(error, KEY) == message


@pytest.mark.parametrize(("message", "cut"), CUT.items())
def test_U59_keys_accounts_and_hosts_are_cut_out(message: str, cut: str) -> None:
    assert quoted({"message": message}, KEY) == cut


@pytest.mark.parametrize("secret", NEVER_LOGGED)
def test_U59_a_secret_at_the_edge_of_the_quote_is_cut_out_too(secret: str) -> None:
    for before in range(LONGEST_QUOTE - 40, LONGEST_QUOTE + 5):
        assert not leaks(quoted("a " * (before // 2) + "a" * (before % 2) + " " + secret, KEY), NEVER_LOGGED)


def test_U59_what_could_move_a_cursor_or_forge_a_line_is_escaped() -> None:
    assert quoted("a\x1b[31m\u202eb\nWARNING c\x00\ud800", KEY) == r"a\x1b[31m\u202eb WARNING c\x00\ud800"


@pytest.mark.parametrize("error", [None, 7, [], {}, {"message": None}, {"detail": [{"input": "My question"}]}])
def test_U59_only_a_message_is_quoted(error: Any) -> None:
    """Some servers quote the conversation in other fields."""
    assert quoted(error, KEY) == ""


@pytest.mark.parametrize("message", HOSTILE)
def test_U59_a_long_message_costs_little(message: str) -> None:
    before = time.thread_time()
    assert len(quoted(message, KEY)) <= LONGEST_QUOTE
    error_code({"message": message})
    assert time.thread_time() - before < 0.5


@pytest.mark.parametrize(
    "error",
    [
        {"message": "The model `gpt-9` does not exist or you do not have access to it.", "code": "model_not_found"},
        {"message": "model 'gpt-9' not found", "type": "not_found_error"},
        {"message": "/chat/completions: Invalid model name passed in model=gpt-9.", "code": "400"},
        {"message": "models/gpt-9 is not found for API version v1main, or is not supported."},
        {"message": "gpt-9 is not a valid model ID", "code": 400},
        {"message": "Model Not Exist"},
        {"type": "not_found_error", "message": "model: gpt-9"},
        {"code": "DeploymentNotFound", "message": "The API deployment for this resource does not exist."},
    ],
)
def test_U59_an_unknown_model_in_the_words_of_many_servers(error: Any) -> None:
    assert error_code(error) == "upstream_model"


@pytest.mark.parametrize(
    "error", [{"message": "Not Found"}, {"message": "The model is loading"}, "<h1>404 Not Found</h1>"]
)
def test_U59_not_every_404_is_about_the_model(error: Any) -> None:
    assert error_code(error) == ""


def test_U21_an_error_nested_too_deep_to_print_is_an_error_too() -> None:
    error: Any = []
    for _ in range(100_000):
        error = [error]
    assert ErrorEvent(error).code == "upstream_error"


def test_what_the_server_said_is_not_in_the_error_itself() -> None:
    assert UPSTREAM_WORDS not in repr(ErrorEvent({"message": UPSTREAM_WORDS}))
