"""`python -m bench.scoreboard` writes into docs/reliability.md how much of docs/faults.md is kept, and where."""

import re
from collections.abc import Iterator

from tests.support.server import ROOT

RELIABILITY = ROOT / "docs/reliability.md"
FAULTS = ROOT / "docs/faults.md"
LATER = "Second list"


def text() -> str:
    """Counts for each part of the list, and the cases of the second list one by one."""
    parts = ["| part | cases | kept |", "|---|---:|---:|"]
    cases = ["| case | what | promise | test |", "|---|---|---|---|"]
    for title, rows in _parts():
        kept = [row for row in rows if row[-1] != "planned"]
        parts.append(f"| {title} | {len(rows)} | {len(kept)} |")
        if title.startswith(LATER):
            cases += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*parts, "", f"{LATER}, found by attacks on 1.0.0:", "", *cases, ""])


def _parts() -> Iterator[tuple[str, list[list[str]]]]:
    """The tables of docs/faults.md, each with its headings."""
    part = ""
    for section in re.split(r"^(?=##)", FAULTS.read_text(), flags=re.MULTILINE):
        level, _, title = section.partition("\n")[0].partition(" ")
        if level == "##":
            part = title
        rows = re.findall(r"^\| ([A-Z]\d\d) \| (.*) \| (.*) \| (.*) \|$", section, re.MULTILINE)
        if rows:
            yield (title if level == "##" else f"{part}: {title}"), [list(row) for row in rows]


def replace(name: str, text: str) -> None:
    """Put a text between its two markers."""
    before, begin, rest = RELIABILITY.read_text().partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition(f"<!-- /{name} -->")
    assert begin, f"docs/reliability.md has no marker for {name}"
    assert end, f"docs/reliability.md has no end marker for {name}"
    RELIABILITY.write_text(f"{before}{begin}{text}{end}{after}")


def write() -> None:
    replace("scoreboard", text())


if __name__ == "__main__":
    write()
