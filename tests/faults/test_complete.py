"""Each of the fifty rows in the list of faults has a test."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_every_row_has_a_test_that_is_named_for_it() -> None:
    """Each row from 1 to 50 is in the name of a test."""
    names = [
        name
        for path in TESTS.rglob("test_*.py")
        for name in re.findall(
            r"^def test_row_((?:[0-9]{2}_)+)", path.read_text(encoding="utf-8"), re.MULTILINE
        )
    ]
    rows = {int(number) for name in names for number in name.split("_") if number}
    assert rows == set(range(1, 51))
