"""All settings from the environment: read once, validated, frozen."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any

from dotenv import dotenv_values

from utils import local_llm

BOOLEANS = {"1": True, "true": True, "0": False, "false": False}


class BadSetting(ValueError):
    """An invalid setting; the message has its name, its value and what was expected."""


def _number(default: float, low: float, high: float) -> Any:
    return field(default=default, metadata={"low": low, "high": high})


@dataclass(frozen=True)
class Settings:
    """Each field is the environment variable of that name, in capitals. Times are in seconds."""

    openai_api_key: str = field(default="", repr=False)
    openai_base_url: str = ""
    openai_model: str = "gpt-5.4-mini"
    # A JSON object, such as {"temperature": 0.2}.
    openai_parameters: dict[str, Any] = field(default_factory=dict)
    system_prompt: str = ""
    first_token_seconds: float = _number(60, 0.1, 3600)
    next_token_seconds: float = _number(30, 0.1, 3600)

    # It may contain a password.
    store_url: str = field(default="sqlite:///chat.db", repr=False)
    keep_days: float = _number(0, 0, 100_000)
    lease_seconds: float = _number(10, 0.1, 3600)
    orphan_seconds: float = _number(300, 0, 86_400)
    grace_seconds: float = _number(30, 0, 3600)
    context_chars: int = _number(100_000, 1, 10_000_000)

    # Serves /metrics; utils/metrics.py.
    metrics: bool = False

    host: str = "127.0.0.1"
    port: int = _number(8000, 0, 65_535)
    workers: int = _number(1, 1, 64)
    allowed_hosts: str = "127.0.0.1,localhost,::1"
    chat_password: str = field(default="", repr=False)
    # The addresses of proxies, or networks, whose X-Forwarded-For and X-Forwarded-Proto are believed.
    forwarded_allow_ips: str = ""
    max_connections: int = _number(1000, 1, 100_000)
    max_replies: int = _number(200, 1, 100_000)
    messages_per_minute: int = _number(20, 1, 100_000)
    # A character takes up to 4 bytes, so a message just fits into a 64 KiB frame.
    max_message_chars: int = _number(16_000, 1, 16_000)
    max_conversation_chars: int = _number(2_000_000, 1, 100_000_000)
    max_reply_chars: int = _number(200_000, 1, 10_000_000)
    send_seconds: float = _number(10, 0.1, 3600)

    @property
    def shown_store_url(self) -> str:
        """STORE_URL without what may be secret in it."""
        if self.store_url.startswith("sqlite:"):
            return self.store_url
        # Show too little rather than a password with characters that should have been escaped.
        pattern = r"(rediss?://)(?:[^/?#@]*@)?([\w\[][\w.:\]-]*(?:/\d+)?)(?:\?[^@]*)?"
        found = re.fullmatch(pattern, self.store_url)
        return found[1] + found[2] if found else "redis://..."

    @property
    def uses_local_model(self) -> bool:
        """Whether the local model answers: there is neither an API key nor a base URL."""
        return not (self.openai_api_key or self.openai_base_url)

    @property
    def model_name(self) -> str:
        """The display name of the model."""
        return local_llm.NAME if self.uses_local_model else self.openai_model

    @property
    def context_budget(self) -> int:
        """How many characters of a conversation are sent to the model."""
        if self.uses_local_model:
            return min(self.context_chars, local_llm.CONTEXT_CHARS)
        return self.context_chars


def read_settings(environ: Mapping[str, str | None] | None = None) -> Settings:
    """Read the settings from the environment, then from `.env`. Raises BadSetting."""
    if environ is None:
        environ = {**dotenv_values(".env"), **os.environ}
    values = {}
    for setting in fields(Settings):
        name = setting.name.upper()
        text = (environ.get(name) or "").strip()
        if text:
            values[setting.name] = _checked(setting, name, text)
    return Settings(**values)


def _checked(setting: Field[Any], name: str, text: str) -> Any:
    if name == "OPENAI_API_KEY" and not (text.isascii() and text.isprintable()):
        # Leave the value out: it is a secret.
        raise BadSetting(f"{name}: expected printable ASCII characters")
    if name == "STORE_URL" and not re.match("(sqlite:///|rediss?://).", text):
        # Leave the value out: it may contain a password.
        expected = "sqlite:///path/to/a/file, redis://host or rediss://host"
        raise BadSetting(f"{name}: expected {expected}")
    if name == "CHAT_PASSWORD" and not text.isprintable():
        # A secret too. Bytes that are not UTF-8 are not printable either.
        raise BadSetting(f"{name}: expected printable characters in UTF-8")
    try:
        if name == "OPENAI_PARAMETERS":
            expected = "a JSON object"
            return {**json.loads(text)}
        if setting.type is bool:
            expected = "1, 0, true or false"
            return BOOLEANS[text.lower()]
        if not setting.metadata:
            return text
        low = setting.metadata["low"]
        high = setting.metadata["high"]
        expected = f"a {'whole ' * (setting.type is int)}number from {low} to {high}"
        number = setting.type(text)  # type: ignore[operator]
        if not low <= number <= high:
            raise ValueError
    except (KeyError, ValueError, TypeError, RecursionError):
        raise BadSetting(f"{name}={text!r}: expected {expected}") from None
    return number
