"""Everything the environment may change: read once, checked, frozen."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any

from dotenv import dotenv_values

from utils import local_llm


class BadSetting(ValueError):
    """A setting that cannot be used; the message says its name, its value and what was expected."""


def _number(default: float, low: float, high: float) -> Any:
    return field(default=default, metadata={"low": low, "high": high})


@dataclass(frozen=True)
class Settings:
    """Each field is the environment variable of the same name, in capitals. Times are in seconds."""

    openai_api_key: str = field(default="", repr=False)
    openai_base_url: str = ""
    openai_model: str = "gpt-5.4-mini"
    openai_parameters: dict[str, Any] = field(default_factory=dict)  # JSON, such as {"temperature": 0.2}
    system_prompt: str = ""
    first_token_seconds: float = _number(60, 0.1, 3600)
    next_token_seconds: float = _number(30, 0.1, 3600)

    store_url: str = "sqlite:///chat.db"
    lease_seconds: float = _number(10, 0.1, 3600)
    orphan_seconds: float = _number(300, 0, 86_400)
    grace_seconds: float = _number(30, 0, 3600)
    context_chars: int = _number(100_000, 1, 10_000_000)

    host: str = "127.0.0.1"
    port: int = _number(8000, 0, 65_535)
    allowed_hosts: str = "127.0.0.1,localhost,::1"
    max_connections: int = _number(1000, 1, 100_000)
    messages_per_minute: int = _number(20, 1, 100_000)
    max_turns: int = _number(1000, 1, 100_000)
    max_message_chars: int = _number(16_000, 1, 16_000)  # of 4 bytes each, they just fit into a 64 KiB frame
    max_reply_chars: int = _number(200_000, 1, 10_000_000)
    send_seconds: float = _number(10, 0.1, 3600)

    @property
    def uses_local_model(self) -> bool:
        """Whether the model on this machine answers: there is neither a key nor a server to ask."""
        return not (self.openai_api_key or self.openai_base_url)

    @property
    def model_name(self) -> str:
        """The model that answers, as people know it."""
        return local_llm.NAME if self.uses_local_model else self.openai_model

    @property
    def context_budget(self) -> int:
        """How many characters of a conversation the model is shown."""
        return min(self.context_chars, local_llm.CONTEXT_CHARS if self.uses_local_model else self.context_chars)


def read_settings(environ: Mapping[str, str | None] | None = None) -> Settings:
    """Settings from the environment, and from `.env` where the environment is silent. Raises BadSetting."""
    values = {**dotenv_values(".env"), **os.environ} if environ is None else environ
    given = {f: (values.get(f.name.upper()) or "").strip() for f in fields(Settings)}
    return Settings(**{f.name: _checked(f, f.name.upper(), text) for f, text in given.items() if text})


def _checked(setting: Field[Any], name: str, text: str) -> Any:
    if name == "OPENAI_API_KEY" and not (text.isascii() and text.isprintable()):
        raise BadSetting(f"{name}: expected printable ASCII characters (the value is not shown)")
    if name == "STORE_URL" and not re.match("sqlite:///.", text):
        raise BadSetting(f"{name}={text!r}: expected sqlite:///path/to/a/file")
    try:
        if name == "OPENAI_PARAMETERS":
            expected = "a JSON object"
            return {**json.loads(text)}
        if not setting.metadata:
            return text
        low, high = setting.metadata["low"], setting.metadata["high"]
        expected = f"a {'whole ' * (setting.type is int)}number from {low} to {high}"
        number = setting.type(text)  # type: ignore[operator]
        if not low <= number <= high:
            raise ValueError
    except (ValueError, TypeError, RecursionError):
        raise BadSetting(f"{name}={text!r}: expected {expected}") from None
    return number
