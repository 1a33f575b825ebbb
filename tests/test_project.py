"""The dependencies in pyproject.toml, the files that pip reads, and the entry point agree."""

import tomllib
from pathlib import Path

import pytest
from fastapi import FastAPI
from packaging.requirements import Requirement
from uvicorn.importer import import_from_string

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DEPENDENCIES = {
    "requirements.txt": PYPROJECT["project"]["dependencies"],
    "requirements-dev.txt": PYPROJECT["dependency-groups"]["dev"],
    "requirements-local.txt": PYPROJECT["dependency-groups"]["local"],
    "requirements-redis.txt": PYPROJECT["dependency-groups"]["redis"],
    "requirements-metrics.txt": PYPROJECT["dependency-groups"]["metrics"],
}


@pytest.mark.parametrize("file", DEPENDENCIES)
def test_pip_and_uv_install_the_same_dependencies(file: str) -> None:
    assert sorted(requirements(file)) == sorted(listed(file))


@pytest.mark.parametrize("file", DEPENDENCIES)
def test_make_pins_each_dependency_within_its_range(file: str) -> None:
    pins = dict(line.split("==") for line in requirements("constraints.txt"))
    for dependency in map(Requirement, listed(file)):
        assert pins[dependency.name] in dependency.specifier


def test_the_entry_point_is_a_fastapi_app() -> None:
    entry_point = PYPROJECT["tool"]["fastapi"]["entrypoint"]
    assert isinstance(import_from_string(entry_point), FastAPI)


def requirements(file: str) -> list[str]:
    """The requirements in a file that pip reads, without comments and `-r`."""
    return [line for line in (ROOT / file).read_text().splitlines() if line and line[0] not in "#-"]


def listed(file: str) -> list[str]:
    """The group's own dependencies in pyproject.toml, without the groups that it includes."""
    return [each for each in DEPENDENCIES[file] if isinstance(each, str)]
