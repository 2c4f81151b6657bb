"""Retired words: each has a plainer replacement, or had several meanings."""

from __future__ import annotations

import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
READ_BY_PEOPLE = (
    "connector",
    "sql",
    "docs",
    "deploy",
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Makefile",
    "config.example.yaml",
)
# The retired word, and what to write instead.
RETIRED = {
    r"\b[Mm]end(?:s|ed|ing)?\b": "fix",
    r"\b[Ll]eaves? with\b": "exits with",
    r"\bcannot be had\b": "cannot be obtained",
    r"\bWho \w+s\b": "a noun: the reader, the identity, the program",
    r"\basked again\b": "repeated, retried, looked up again",
    r"\bCutter\b": "BatchWriter",
    r"\bfrugal": "small memory",
    r"\b(?:stay_)?lean\b": "what is left out",
    r"\bspared\b": "freed",
    r"\bside_by_side\b": "parallel",
    r"\bWish\b": "a noun for what is asked for",
    r"\bTold\b(?! (?:apart|as)\b)": "a noun for what it holds",
    r"\bLook\b(?! (?:at|into|whether|the|for|up)\b)": "Lookup",
    r"\bPlace\b": "Destination",
    r"Nobody\.": "a sentence",
    r"\bstartup\b": "start-up",
    r"\bfailpoint\b": "fault point",
    r"\b(?:[Tt]ransitional|[Tt]ransitory|[Tt]emporary|[Tt]ransient) (?:status|state)|\b[Pp]assing states?\b": (
        "passing status"
    ),
    r"\b[Oo]we[ds]?\b|\bowed_|Owed\b": "pending",
}
# Words that no name in Python or SQL has a part of: they said nothing of what it holds.
RETIRED_IN_NAMES = {
    "told": "message, sent, summary_line: a noun for what it holds",
    "untold": "a noun for what it holds",
    "asked": "requested, options, query: a noun for what it holds",
    "owed": "pending",
}
# A stored column; it would need a migration.
KEPT_NAMES = {"told_up_to"}


def texts() -> list[Path]:
    """Every text of the checkout that is meant for readers."""
    command = ["git", "ls-files", "-z", "--", *READ_BY_PEOPLE]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("retired", RETIRED)
def test_retired_word_is_gone(retired: str) -> None:
    """Neither code nor documents contain the retired word."""
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in texts()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(retired, line)
    ]
    assert found == [], f"write {RETIRED[retired]!r} instead"


def names_in(path: Path) -> Iterator[tuple[int, str]]:
    """The names in a Python or SQL file, with their lines; comments and texts are left out."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        yield from ((token.start[0], token.string) for token in tokens if token.type == tokenize.NAME)
        return
    for number, line in enumerate(text.splitlines(), 1):
        code = re.sub(r"'[^']*'", "", line.partition("--")[0])
        yield from ((number, name) for name in re.findall(r"\w+", code))


def test_names_have_no_retired_part() -> None:
    """No name in the code has a retired word as a part; migrations, which never change, are left out."""
    found = [
        f"{path.relative_to(ROOT)}:{number}: {name}"
        for path in texts()
        if path.suffix in {".py", ".sql"} and path.parent.name != "migrations"
        for number, name in names_in(path)
        if name not in KEPT_NAMES and RETIRED_IN_NAMES.keys() & set(name.lower().split("_"))
    ]
    assert found == [], f"write instead: {RETIRED_IN_NAMES}"


def test_texts_are_those_of_the_checkout() -> None:
    """The searched texts include the documents, the code and the SQL."""
    names = {str(path.relative_to(ROOT)) for path in texts()}
    assert {"README.md", "connector/image_history/errors.py", "sql/load/changed.sql"} <= names


# A number that is computed, with a noun that is always in the plural: wrong for 1. Constants are no such numbers.
COUNTED = re.compile(
    r"\{(?:[^{}\"']*[a-z][^{}\"']*:,|len\([^{}]*\))\} (?:more )?(?:live |other |earlier )?(?:images|versions|rows|"
    r"calls|pages|files|messages|runs|scopes|events|changes|syncs|tables|entries|characters|partitions|retries|checks|others)\b"
)


def test_number_comes_with_the_right_noun() -> None:
    """Code that prints a number with its noun uses `counted`, which knows `1 image` and `2 images`."""
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in texts()
        if path.suffix == ".py" and path.is_relative_to(ROOT / "connector")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if COUNTED.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("line", "is_found"),
    [
        ('f"{len(rows)} rows"', True),
        ('f"{run.images:,} images left"', True),
        ('f"{len(names) - 1:,} others"', True),
        ('f"{MOST_ROWS:,} rows"', False),
        ("f\"{counted(1, 'row')} rows\"", False),
    ],
    ids=["len", "attribute", "others", "constant", "counted"],
)
def test_number_with_a_fixed_noun_is_found(line: str, is_found: bool) -> None:
    """The test above finds a computed number with a plural, and no constant."""
    assert (COUNTED.search(line) is not None) is is_found
