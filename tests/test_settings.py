"""Settings: what cannot be used is named at the start, and no key is ever shown."""

import os
import subprocess
import sys
from dataclasses import Field, FrozenInstanceError, fields
from pathlib import Path

import pytest

from tests.support import KEY
from utils.settings import BadSetting, Settings, read_settings

PROJECT = Path(__file__).parent.parent
NUMBERS = [setting for setting in fields(Settings) if setting.metadata]


def test_an_empty_environment_gives_the_defaults() -> None:
    assert read_settings({}) == Settings()
    assert read_settings({setting.name.upper(): "  " for setting in fields(Settings)}) == Settings()


def test_each_setting_is_read_and_its_spaces_are_not() -> None:
    given = {"OPENAI_API_KEY": f" {KEY}\n", "OPENAI_MODEL": "a-model", "PORT": " 8001 ", "LEASE_SECONDS": "2.5"}
    settings = read_settings({**given, "OPENAI_PARAMETERS": '{"temperature": 0.2}', "SOMETHING_ELSE": "x"})
    assert (settings.openai_api_key, settings.openai_model, settings.port) == (KEY, "a-model", 8001)
    assert (settings.lease_seconds, settings.openai_parameters) == (2.5, {"temperature": 0.2})


@pytest.mark.parametrize("setting", NUMBERS, ids=lambda setting: setting.name)
def test_a_number_is_taken_to_its_limits_and_a_bad_one_named_with_them(setting: Field[float]) -> None:
    name, low, high = setting.name.upper(), setting.metadata["low"], setting.metadata["high"]
    for limit in (low, high):
        assert getattr(read_settings({name: str(limit)}), setting.name) == limit
    for bad in ("ten", "nan", "inf", "-1", "1e12", "10 s", "0x10", "1,5"):
        refuses(name, bad, f"from {low} to {high}")
    if setting.type is int:
        refuses(name, "2.5", "expected a whole number")


@pytest.mark.parametrize(
    ("name", "bad", "expected"),
    [
        ("OPENAI_PARAMETERS", "temperature=1", "JSON object"),
        ("OPENAI_PARAMETERS", "[1]", "JSON object"),
        ("OPENAI_PARAMETERS", "[" * 100_000, "JSON object"),
    ],
    ids=lambda value: value[:20],
)
def test_any_other_bad_value_is_named_too(name: str, bad: str, expected: str) -> None:
    refuses(name, bad, expected)


@pytest.mark.parametrize("bad", ["chat.db", "sqlite:///", "redis://", "valkey://:hunter2@host"])
def test_a_bad_store_is_named_and_not_shown_because_of_its_password(bad: str) -> None:
    with pytest.raises(BadSetting) as error:
        read_settings({"STORE_URL": bad})
    assert str(error.value) == "STORE_URL: expected sqlite:///path/to/a/file, redis://host or rediss://host"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///a@b/chat.db", "sqlite:///a@b/chat.db"),
        ("redis://host", "redis://host"),
        ("redis://:hunter2@host:6380/1", "redis://host:6380/1"),
        ("rediss://user:hunter2@[::1]:6380?ssl_ca_certs=ca.pem", "rediss://[::1]:6380"),
        ("redis://host?password=hunter2", "redis://host"),
        ("redis://host?password=hun@hunter2", "redis://..."),
        ("redis://:hunter2/@host", "redis://..."),
        ("redis://:hunter2?@host", "redis://..."),
    ],
)
def test_the_password_of_a_store_is_never_shown(url: str, shown: str) -> None:
    settings = read_settings({"STORE_URL": url})
    assert settings.shown_store_url == shown
    assert "hunter2" not in f"{settings} {settings!r}"


def refuses(name: str, bad: str, expected: str) -> None:
    """The message names the setting, shows the value and says what was expected."""
    with pytest.raises(BadSetting) as error:
        read_settings({name: bad})
    for part in (name, repr(bad)[:50], expected):
        assert part in str(error.value)


@pytest.mark.parametrize("bad", [f"{KEY}\nX-Evil: 1", f"{KEY}é", f"{KEY}\x7f"], ids=["newline", "accent", "control"])
def test_U49_a_bad_key_is_named_and_not_shown(bad: str) -> None:
    with pytest.raises(BadSetting) as error:
        read_settings({"OPENAI_API_KEY": bad})
    assert "OPENAI_API_KEY" in str(error.value)
    assert KEY not in f"{error.value} {error.value!r}"


def test_settings_do_not_change_and_do_not_show_the_key() -> None:
    settings = read_settings({"OPENAI_API_KEY": KEY})
    assert KEY not in f"{settings} {settings!r}"
    with pytest.raises(FrozenInstanceError):
        settings.port = 1  # type: ignore[misc]


def test_the_environment_counts_more_than_the_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("PORT=1111\nOPENAI_MODEL=from-the-file\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_MODEL", raising=False)
    monkeypatch.setenv("PORT", "2222")
    settings = read_settings()
    assert (settings.port, settings.openai_model) == (2222, "from-the-file")


LOOKS = """
import sys, threading
sys.path.insert(0, sys.argv[1])
before = threading.active_count()
import main
assert threading.active_count() == before, threading.enumerate()
assert "openai" not in sys.modules
"""


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-B", "-W", "error", *arguments],
        cwd=folder, env={"PATH": os.environ["PATH"], **environment}, capture_output=True, text=True, timeout=30,
    )  # fmt: skip


@pytest.mark.parametrize("and_then", ["", "assert main.app is main.app"], ids=["importing main", "asking for the app"])
def test_this_does_nothing_yet(tmp_path: Path, and_then: str) -> None:
    """No client, no thread, no file. When it is imported, no setting is read: this one could not be used."""
    done = run(tmp_path, "-c", LOOKS + and_then, str(PROJECT), PORT="8000" if and_then else "not a port")
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_bad_setting_ends_the_server_with_one_line(tmp_path: Path) -> None:
    done = run(tmp_path, str(PROJECT / "main.py"), PORT="http")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "PORT='http'" in line
