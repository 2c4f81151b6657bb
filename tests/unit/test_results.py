"""Results of checks: the exit code that follows from them, and how many results are shown."""

from __future__ import annotations

import pytest

from image_history.checking.results import Result, exit_code, failed, ok, softened, warning
from image_history.cli.check import _lines


def failing(code: int) -> Result:
    """A failure with this exit code."""
    return failed("permission", "here", "Denied.", fix="Allow it.", exit_code=code)


@pytest.mark.parametrize(
    ("codes", "left"), [([], 0), ([4], 4), ([6, 4], 4), ([5, 3, 4], 3), ([6, 2], 2), ([6, 5], 5)]
)
def test_exit_code_is_the_first_in_the_list_of_codes(codes: list[int], left: int) -> None:
    """Of several failures, the most severe one decides the exit code; passed checks and warnings do not count."""
    calm = [ok("disk", "here", "enough"), warning("clock", "here", "Two minutes off.", "Set it.")]
    assert exit_code([*calm, *map(failing, codes)]) == left


def test_failure_of_one_scope_among_others_is_partial() -> None:
    """If one scope fails and others do not, the exit code is 4, as for a sync."""
    found = softened([failing(3), failing(6), ok("disk", "here", "enough")])
    assert [each.exit_code for each in found] == [4, 4, 0]


def test_very_many_scopes_that_are_well_share_a_line() -> None:
    """Very many passed scopes share one line, and each failure has its own line."""
    many = [ok("permission", f"{number:012}/us-east-1", "all") for number in range(500)]
    shown = list(_lines([*many, failing(4), failing(4), ok("disk", "here", "enough")]))
    assert shown == [
        ("permission", "500 times", "ok", "all are ok; --json names them"),
        ("permission", "here", "FAILED", "see below"),
        ("permission", "here", "FAILED", "see below"),
        ("disk", "here", "ok", "enough"),
    ]
