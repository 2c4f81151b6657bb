"""Bounds leave out no row that a statement needs: each statement is compared with itself without bounds."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from image_history.simulator import VirtualClock, generate
from image_history.warehouse.statements import statement
from image_history.warehouse.warehouse import Connection
from tests.behaviour.harness import ServeWorld
from tests.behaviour.running import Run, around_statements, query_of
from tests.mutation.probe import long_schedules
from tests.properties.model import quietly
from tests.properties.schedules import play, some

pytestmark = pytest.mark.duckdb

_BOUNDS = re.compile(r"getvariable\('\w+_bounds'\)")
_COMMENT = re.compile(r"^--.*\n", re.MULTILINE)
_TEXTS = "SELECT COLUMNS(*)::VARCHAR FROM ({})"


@dataclass(slots=True)
class Compared:
    """How many rows of each statement were compared, and the statements whose rows differ."""

    rows: Counter[str] = field(default_factory=Counter)
    different: list[str] = field(default_factory=list)

    def compare(
        self, connection: Connection, name: str, parameters: Mapping[str, object] | None, run: Run
    ) -> object:
        """Run a statement, and compare its rows with those that it has without bounds."""
        text = _COMMENT.sub("", statement(name)).rstrip().rstrip(";")
        asked = query_of(text)
        if _BOUNDS.search(text) and asked is not None:
            bound = connection.duck.execute(_TEXTS.format(asked), parameters or {}).fetchall()
            self._hold(connection, name, bound, _TEXTS.format(_BOUNDS.sub("NULL", asked)), parameters)
        result = run()
        if _BOUNDS.search(text) and text.startswith("DELETE"):
            self._hold(connection, name, [(0,)], _BOUNDS.sub("NULL", text), parameters)
        return result

    def _hold(
        self,
        connection: Connection,
        name: str,
        bound: list[Any],
        unbound: str,
        parameters: Mapping[str, object] | None,
    ) -> None:
        whole = connection.duck.execute(unbound, parameters or {}).fetchall()
        self.rows[name] += len(whole)
        if sorted(map(repr, bound)) != sorted(map(repr, whole)):
            self.different.append(name)


def test_same_rows_without_bounds(seed: int, served: ServeWorld) -> None:
    """Bounds change no rows: in schedules with backups, pending runs and recreated images, and with details."""
    compared = Compared()
    with quietly() as folder, around_statements(compared.compare):
        play(some(long_schedules(), random.Random(seed), 8), folder)
    site = served(
        generate(seed, images=3, versions_per_image=6, clock=VirtualClock(frozen_at=1_790_000_000_000))
    )
    site.config = msgspec.structs.replace(site.config, details=True)
    with around_statements(compared.compare):
        for _ in range(2):
            site.sync()
            first, second, *_ = site.world.truth()
            site.world.update_version(first.image_name, first.version)
            site.world.delete_version(second.image_name, second.version)
            site.world.create_version(first.image_name, aliases=("newest",))
            site.simulator.clock.advance(100_000_000)
        site.sync(full=True)
    assert compared.different == []
    assert {
        "load/changed",
        "load/deleted",
        "load/streams_after",
        "settle/missing",
        "settle/pending_details",
    } <= {*+compared.rows}
