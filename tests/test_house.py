"""The house: what may import what."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [ROOT / "main.py", ROOT / "flow.py", ROOT / "nodes.py", *ROOT.glob("chat/*.py"), *ROOT.glob("utils/*.py")]
MODULES = {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in FILES}
CHAT = sorted(name for name in MODULES if name.startswith("chat"))

ALONE = """
import sys
sys.path.insert(0, ".")
for name in ("pocketflow", "openai", "utils.stream_llm", "main", "flow", "nodes"):
    sys.modules[name] = None  # Importing it fails.
import {module}
"""


@pytest.mark.parametrize("module", CHAT)
def test_chat_needs_neither_a_model_nor_a_flow(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALONE.format(module=module)], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr


def imports() -> dict[str, set[str]]:
    """For each module of the app, those that it imports when it is imported itself."""
    found = {}
    for name, file in MODULES.items():
        statements = ast.parse(file.read_text()).body
        names = {s.module for s in statements if isinstance(s, ast.ImportFrom) and s.module}
        names |= {f"{s.module}.{a.name}" for s in statements if isinstance(s, ast.ImportFrom) for a in s.names}
        names |= {a.name for s in statements if isinstance(s, ast.Import) for a in s.names}
        found[name] = names & MODULES.keys()
    return found


def test_no_import_runs_in_a_circle_or_upward() -> None:
    graph = imports()
    assert graph["main"] >= {"flow", "chat.rooms", "utils.settings"}
    list(TopologicalSorter(graph).static_order())  # Raises CycleError.
    for name, wanted in graph.items():
        if name.startswith("utils"):
            assert not [other for other in wanted if not other.startswith("utils")], name
        if name.startswith("chat"):
            assert not wanted & {"main", "flow", "nodes"}, name
