"""Settings: what cannot be used is named at the start, and no key is ever shown."""

import os
import re
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from tests.support import KEY
from utils.settings import BadSetting, Settings, read_settings

PROJECT = Path(__file__).parent.parent
NUMBERS = [setting for setting in fields(Settings) if setting.metadata]
WHOLE_NUMBERS = [setting for setting in NUMBERS if isinstance(setting.default, int) and setting.type is int]


def test_an_empty_environment_gives_the_defaults() -> None:
    assert read_settings({}) == Settings()
    assert read_settings({setting.name.upper(): "  " for setting in fields(Settings)}) == Settings()


def test_each_setting_is_read_and_its_spaces_are_not() -> None:
    given = {"OPENAI_API_KEY": f" {KEY}\n", "OPENAI_MODEL": "a-model", "PORT": " 8001 ", "LEASE_SECONDS": "2.5"}
    settings = read_settings({**given, "OPENAI_PARAMETERS": '{"temperature": 0.2}', "SOMETHING_ELSE": "x"})
    assert (settings.openai_api_key, settings.openai_model, settings.port) == (KEY, "a-model", 8001)
    assert (settings.lease_seconds, settings.openai_parameters) == (2.5, {"temperature": 0.2})


@pytest.mark.parametrize("setting", NUMBERS, ids=lambda setting: setting.name)
@pytest.mark.parametrize("bad", ["ten", "", "nan", "inf", "-1", "1e12", "10 s", "0x10", "1,5"])
def test_a_bad_number_is_named_with_its_limits(setting: object, bad: str) -> None:
    name, low, high = setting.name.upper(), setting.metadata["low"], setting.metadata["high"]  # type: ignore[attr-defined]
    if not bad:
        assert read_settings({name: bad}) == Settings()  # Nothing is no value.
        return
    with pytest.raises(BadSetting) as error:
        read_settings({name: bad})
    said = str(error.value)
    assert name in said
    assert repr(bad) in said
    assert f"from {low} to {high}" in said


@pytest.mark.parametrize("setting", WHOLE_NUMBERS, ids=lambda setting: setting.name)
def test_a_whole_number_is_no_fraction(setting: object) -> None:
    name = setting.name.upper()  # type: ignore[attr-defined]
    with pytest.raises(BadSetting, match=f"{name}='2.5': expected a whole number"):
        read_settings({name: "2.5"})


@pytest.mark.parametrize("setting", NUMBERS, ids=lambda setting: setting.name)
def test_the_limits_themselves_are_allowed(setting: object) -> None:
    for limit in setting.metadata.values():  # type: ignore[attr-defined]
        name = setting.name  # type: ignore[attr-defined]
        assert getattr(read_settings({name.upper(): str(limit)}), name) == limit


@pytest.mark.parametrize(
    ("name", "bad", "expected"),
    [
        ("OPENAI_PARAMETERS", "temperature=1", "JSON object"),
        ("OPENAI_PARAMETERS", "[1]", "JSON object"),
        ("OPENAI_PARAMETERS", "[" * 100_000, "JSON object"),
        ("STORE_URL", "chat.db", "sqlite:///"),
        ("STORE_URL", "redis://127.0.0.1", "sqlite:///"),
        ("STORE_URL", "sqlite:///", "sqlite:///"),
    ],
    ids=lambda value: value[:20],
)
def test_any_other_bad_value_is_named_too(name: str, bad: str, expected: str) -> None:
    with pytest.raises(BadSetting) as error:
        read_settings({name: bad})
    assert name in str(error.value)
    assert repr(bad)[:50] in str(error.value)
    assert expected in str(error.value)


@pytest.mark.parametrize("bad", [f"{KEY}\nX-Evil: 1", f"{KEY}é", f"{KEY}\x7f"], ids=["newline", "accent", "control"])
def test_U49_a_bad_key_is_named_and_not_shown(bad: str) -> None:
    with pytest.raises(BadSetting) as error:
        read_settings({"OPENAI_API_KEY": bad})
    assert "OPENAI_API_KEY" in str(error.value)
    assert KEY not in f"{error.value} {error.value!r}"


def test_the_key_is_in_no_picture_of_the_settings() -> None:
    settings = read_settings({"OPENAI_API_KEY": KEY})
    assert KEY not in f"{settings} {settings!r}"


def test_settings_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().port = 1  # type: ignore[misc]


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


def test_importing_main_does_nothing(tmp_path: Path) -> None:
    """No client, no thread, no file, and no setting is read: this one could not be used."""
    run(tmp_path, "-c", LOOKS, str(PROJECT), PORT="not a port")
    assert list(tmp_path.iterdir()) == []


def test_asking_for_the_app_opens_no_file(tmp_path: Path) -> None:
    run(tmp_path, "-c", LOOKS + "assert main.app is main.app", str(PROJECT))
    assert list(tmp_path.iterdir()) == []


def test_a_bad_setting_ends_the_server_with_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-B", str(PROJECT / "main.py")],
        cwd=tmp_path, env={"PATH": os.environ["PATH"], "PORT": "http"}, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "PORT='http'" in line


def run(folder: Path, *arguments: str, **environment: str) -> None:
    done = subprocess.run(
        [sys.executable, "-B", "-W", "error", *arguments],
        cwd=folder, env={"PATH": os.environ["PATH"], **environment}, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_every_setting_is_documented() -> None:
    words = set(re.findall(r"[A-Z_]+", (PROJECT / "README.md").read_text()))
    assert {setting.name.upper() for setting in fields(Settings)} <= words
