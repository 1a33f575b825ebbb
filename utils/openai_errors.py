"""Why a reply failed: a code for the person who waits, and a line in the log for the operator.

The server's own words are only in the log, without what may be a key, an account or a host.
"""

import logging
import re

from utils.pieces import ReplyCut

logger = logging.getLogger(__name__)

STATUS_CODES = {401: "upstream_auth", 403: "upstream_auth", 413: "too_long", 429: "upstream_busy"}

# Characters of a server's error that are searched for a code, of its message that are cleaned,
# and of that that are logged: more would only keep the event loop busy.
LONGEST_SEARCH = 4000
LONGEST_MESSAGE = 1000
LONGEST_QUOTE = 300

CONTEXT_TOO_LONG = re.compile(r"context.(length|size|window)")

# OpenAI, Groq; Together; LiteLLM, Mistral; OpenRouter; DeepSeek; Azure; Anthropic; at last Ollama,
# vLLM, xAI, Gemini: "model 'x' not found", "The model x does not exist", "models/x is not found".
MODEL_UNKNOWN = re.compile(
    r"model_not_(found|available)"
    r"|invalid[ _]model( name|_name|:)"
    r"|not a valid model"
    r"|model not exist"
    r"|deploymentnotfound"
    r"|not_found_error.{0,40}model:"
    r"|\bmodels?\b.{0,100}?(not found|not exist)"
)

# What is cut out of a server's message: it quotes keys, names accounts, and points to hosts.
SECRETS = re.compile(
    # A URL, up to the end of the word.
    r"\b\w{1,20}://\S+"
    r"|\bbearer\s+\S+"
    # Keys, also those that the server has masked with asterisks.
    r"|\bsk-[\w*.-]*"
    # Long random words: other keys, tokens, accounts. Names of models have hyphens or dots.
    r"|\b(?=\w*\d)\w{24,}"
    r"|\b(org|proj)[-_][\w-]+"
    # IP addresses and host names, with a port or without.
    r"|\[[0-9a-f:.]{2,}\](:\d+)?"
    r"|\b\d{1,3}(\.\d{1,3}){3}(:\d+)?\b"
    r"|\b([\w-]{1,63}\.)+[a-z]{2,63}(?![\w-])(:\d+)?"
    r"|\b[\w-]{1,63}:\d{4,5}\b",
    re.IGNORECASE,
)

# As much of a configured key is a part of it, and no longer a coincidence.
PART_OF_KEY = 8


class Unreadable(ValueError):
    """An answer that is refused for its form. The text is ours, so it may stand in the log."""


class ErrorEvent(ReplyCut):
    """An error object in place of a chunk."""

    def __init__(self, body: object) -> None:
        super().__init__("error", error_code(body) or "upstream_error")
        self.body = body


def explained(error: Exception, key: str, *, under_way: bool = False) -> ReplyCut:
    """How a reply ends that failed with this. Logs it, never the text of a library's error."""
    from openai import APIConnectionError

    body = getattr(error, "body", None)
    status = getattr(error, "status_code", 0)
    code = error_code(body) or STATUS_CODES.get(status, "upstream_error")
    if isinstance(error, TimeoutError):
        code = "upstream_timeout"
    elif isinstance(error, APIConnectionError):
        # Its APITimeoutError too: the deadlines are ours.
        code = "upstream_unreachable"
    elif under_way and not isinstance(error, ValueError | RecursionError | ReplyCut):
        code = "upstream_cut"
    name = type(error).__name__
    words = str(error) if isinstance(error, Unreadable) else quoted(body, key)
    words = words and f": {words}"
    logger.warning("no whole reply: %s (%s, HTTP %s)%s", code, name, status or "-", words)
    refused = code == "upstream_error" and 300 <= status < 500
    ending = "interrupted" if code == "upstream_cut" else "error"
    return ReplyCut(ending, code, retry=False if refused else None)


def error_code(error: object) -> str:
    """The code of chat.frames.ERRORS for a server's error object; "" if it says nothing."""
    try:
        words = str(error)[:LONGEST_SEARCH].lower()
    except RecursionError:
        return ""
    if "insufficient_quota" in words:
        return "upstream_quota"
    if CONTEXT_TOO_LONG.search(words):
        return "too_long"
    if MODEL_UNKNOWN.search(words):
        return "upstream_model"
    return "upstream_busy" if "rate_limit" in words else ""


def quoted(error: object, key: str) -> str:
    """The message in a server's error object, as it may stand in the log.

    Only a message: what else is there may be the conversation itself.
    """
    if isinstance(error, dict):
        error = error.get("message") or error.get("error") or error.get("detail")
    if not isinstance(error, str):
        return ""
    words = error[:LONGEST_MESSAGE].split()
    message = " ".join("…" if _shows(key, word) else word for word in words)
    message = SECRETS.sub("…", message)
    # repr() escapes what could forge a line or move the terminal's cursor.
    return repr(message)[1:-1][:LONGEST_QUOTE]


def _shows(key: str, word: str) -> bool:
    """Whether a word holds a part of the key."""
    starts = range(len(key) - PART_OF_KEY + 1)
    return any(key[at : at + PART_OF_KEY] in word for at in starts)
