"""What the README shows works."""

import re
from pathlib import Path
from typing import Any

import pytest

from flow import create_streaming_chat_flow

ROOT = Path(__file__).parents[1]


async def test_the_example_of_a_test_passes_and_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    for code in (example, example.replace('yield " upon"', 'yield "?"')):
        names: dict[str, Any] = {"create_streaming_chat_flow": create_streaming_chat_flow}
        exec(code, names)
        if code == example:
            await names["test_the_node_streams"](monkeypatch)
        else:
            with pytest.raises(AssertionError):
                await names["test_the_node_streams"](monkeypatch)


def test_every_file_that_the_readme_names_is_there() -> None:
    text = (ROOT / "README.md").read_text()
    named = set(re.findall(r"`((?:utils/|tests/|bench/|static/)?\w+\.py|static/|tests/|bench/)`", text))
    named |= set(re.findall(r"\]\(([^):]+)\)", text))
    assert len(named) > 20
    assert [name for name in named if not (ROOT / name).exists()] == []
