"""Whether a changed version has stored details to keep: sql/load/has_details.sql, on hand-made rows."""

from __future__ import annotations

import pytest

from tests.behaviour.rows import ELSEWHERE, Row, Rows, rows

__all__ = ["rows"]

pytestmark = pytest.mark.duckdb

DETAILS: list[Row] = [
    *(
        {name: "said"}
        for name in (
            *("base_image", "container_image", "job_type", "ml_framework", "programming_lang", "processor"),
            *("vendor_guidance", "release_notes", "etl_details_raw"),
        )
    ),
    {"horovod": False},
    {"aliases": []},
]


def has_details(rows: Rows, *stored: Row, changed: tuple[Row, ...] = ({},)) -> bool:
    """Whether the changed versions have stored details."""
    rows.given("changed", *changed)
    rows.stored("image_versions", *stored)
    [found] = rows.asked("load/has_details")
    return bool(found["has_details"])


@pytest.mark.parametrize("detail", DETAILS, ids=lambda detail: next(iter(detail)))
def test_one_detail_is_enough(rows: Rows, detail: Row) -> None:
    """Any one detail is enough, even an empty list of aliases."""
    assert has_details(rows, detail)


def test_version_without_details_has_none_to_keep(rows: Rows) -> None:
    """A stored version without details has none to keep, and neither has a created version."""
    assert not has_details(rows, {})
    assert not has_details(rows, changed=({"etl_change": "created"},))


@pytest.mark.parametrize("where", [*ELSEWHERE, {"version": 2}], ids=str)
def test_details_of_versions_that_did_not_change_need_no_keeping(rows: Rows, where: Row) -> None:
    """Details of versions that did not change do not count."""
    assert not has_details(rows, {}, {**where, "release_notes": "first"})
    assert has_details(rows, changed=(where,))
