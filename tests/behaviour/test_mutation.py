"""The mutation pass finds where a mutant's result differs, and restores everything."""

from __future__ import annotations

import pytest

from image_history.listing import breaker
from image_history.model import Scope
from image_history.warehouse.warehouse import Connection
from tests.behaviour.rows import Rows, rows
from tests.mutation.beside import Beside, can_show
from tests.mutation.mutants import named

__all__ = ["rows"]

pytestmark = pytest.mark.duckdb

SCOPE = Scope("111122223333", "eu-west-1")
STATEMENT = "load/held_back: > becomes >="


def test_mutant_of_a_query_shows_where_its_rows_differ(rows: Rows) -> None:
    """A mutant of a query is shown only where its rows differ; the original statement gives the result."""
    assert can_show(named(STATEMENT))
    rows.stored("streams", {"held_back": 1})
    beside = Beside()
    asked = Connection.table
    with beside.running():
        assert len(rows.asked("load/held_back")) == 1
        assert STATEMENT not in beside.shown
        rows.stored("streams", {"image_name": "other", "held_back": 0})
        assert len(rows.asked("load/held_back")) == 1
        assert STATEMENT in beside.shown
        beside.empty()
        assert beside.shown == set()
    assert Connection.table is asked


def test_mutant_of_a_pure_function_shows_where_its_result_differs() -> None:
    """A mutant of a function is shown only where its result differs; the function's own code is restored."""
    beside = Beside()
    code = breaker.tripped.__code__
    with beside.running():
        assert breaker.tripped({}, {SCOPE: 100}, allowed=False) == {}
        assert beside.shown == set()
        assert breaker.tripped({SCOPE: 31}, {SCOPE: 100}, allowed=False) == {SCOPE: 31}
    assert breaker.tripped.__code__ is code
    assert beside.shown
    assert {name.partition(":")[0] for name in beside.shown} == {"listing.breaker.tripped"}
