"""Reads the files of cases: plain.txt says how they are written."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

FILES = [Path(__file__).with_name(name) for name in ("plain.txt", "resuming.txt")]

# Each kind of step: the method of `run.Run` that plays it, and how it is written.
FRAME = r"(\{.*\})"
STEPS = {
    "send": rf"(\w+) > {FRAME}",
    "send_often": rf"(\w+) > (\S+) times {FRAME}",
    "send_text": r"(\w+) > as text: (.*)",
    "send_binary": r"(\w+) > as binary: (.*)",
    "send_broken_text": r"(\w+) > text that is not UTF-8",
    "receive": rf"(\w+) < {FRAME}",
    "receive_until": rf"(\w+) < \.\.\. {FRAME}",
    "receive_text": r"(\w+) < text (\".*\")",
    "receive_reply": r"(\w+) < reply (\".*\") (\w+)",
    "receive_nothing": r"(\w+) < nothing",
    "begin": r"(\w+) begins (\$\w+)",
    "resume": r"(\w+) resumes (\$\w+)",
    "leave": r"(\w+) leaves",
    "be_closed": r"(\w+) is closed with (\d+)(?: within (\d+) s)?",
    "be_closed_for": rf"(\w+) is closed with (\d+) for sending {FRAME} again and again",
    "be_pinged": r"(\w+) is pinged within (\d+) s",
    "let_model_go_on": r"model goes on at (\$\w+)",
    "see_model_left": r"model is left at (\$\w+)",
}

# What a case needs, by the words that show it, and the option that provides it.
NEEDS = {
    "--model": re.compile(r"\[(say|think|fill|hold|fail|cut)\b|\"No tag\.\""),
    "--rate": re.compile(r"\$rate\b"),
    "--slow": re.compile(r"\bwithin \d+ s"),
}


class BadCases(Exception):
    """A line of a file of cases that is neither a sentence, nor a case, nor a step."""


@dataclass(frozen=True)
class Step:
    """A line of a case. `arguments` are the parts of it that its method gets."""

    place: str
    text: str
    method: str
    arguments: tuple[str | None, ...]
    # The seconds that it asks for, if these are more than usual.
    seconds: float


@dataclass(frozen=True)
class Case:
    """A promise, the sentence of docs/protocol.md that it is about, and the steps to check it."""

    promise: str
    sentence: str
    steps: list[Step] = field(default_factory=list)

    @property
    def needs(self) -> list[str]:
        """The options without which it cannot be checked."""
        return [option for option, words in NEEDS.items() if any(words.search(step.text) for step in self.steps)]


def read_cases() -> list[Case]:
    """All cases, in order. Raises BadCases."""
    return [case for file in FILES for case in _read(file.name, file.read_text(encoding="utf-8"))]


def _read(name: str, text: str) -> Iterator[Case]:
    case: Case | None = None
    sentence = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("== "):
            sentence = line[3:]
        elif line.startswith(" "):
            if not case:
                raise BadCases(f"{name}:{number}: a step before the first case")
            case.steps.append(_read_step(f"{name}:{number}", line.strip()))
        elif line and line[0] != "#":
            if case:
                yield case
            case = Case(line, sentence)
    if case:
        yield case


def _read_step(place: str, text: str) -> Step:
    for method, form in STEPS.items():
        found = re.fullmatch(form, text)
        if found:
            within = re.search(r"within (\d+) s$", text)
            return Step(place, text, method, found.groups(), float(within[1]) if within else 0)
    raise BadCases(f"{place}: no such step: {text}")
