"""Bounds leave out nothing that a statement would have used: each is held against itself without them."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import msgspec
import pytest

from image_history.simulator import VirtualClock, generate
from image_history.warehouse.statements import statement
from image_history.warehouse.warehouse import Connection
from tests.behaviour.harness import ServeWorld
from tests.mutation.probe import long_schedules
from tests.properties.model import quietly
from tests.properties.schedules import play, some

pytestmark = pytest.mark.duckdb

_BOUNDS = re.compile(r"getvariable\('\w+_bounds'\)")
_COMMENT = re.compile(r"^--.*\n", re.MULTILINE)
_TEXTS = "SELECT COLUMNS(*)::VARCHAR FROM ({})"
_MAKES = re.compile(r"\s*CREATE OR REPLACE TEMP TABLE (\w+) AS\s")


@dataclass(slots=True)
class Compared:
    """How many rows each statement was held against itself with, and those statements that differ."""

    rows: Counter[str] = field(default_factory=Counter)
    different: list[str] = field(default_factory=list)

    @contextmanager
    def comparing(self) -> Iterator[None]:
        """Compare whatever is run in the `with` block."""
        with (
            mock.patch.object(Connection, "run", self._around(Connection.run)),
            mock.patch.object(Connection, "count", self._around(Connection.count)),
            mock.patch.object(Connection, "table", self._around(Connection.table)),
        ):
            yield

    def _around(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def run(connection: Connection, name: str, parameters: Mapping[str, object] | None = None) -> Any:
            text = _COMMENT.sub("", statement(name)).rstrip().rstrip(";")
            if not _BOUNDS.search(text) or "TEMP MACRO" in text:
                return real(connection, name, parameters)
            makes = _MAKES.match(text)
            asked = text[makes.end() :] if makes else text
            if text.startswith("DELETE"):
                result = real(connection, name, parameters)
                self._hold(connection, name, [(0,)], _BOUNDS.sub("NULL", text), parameters)
                return result
            if not asked.lstrip().startswith(("SELECT", "WITH", "FROM")):
                return real(connection, name, parameters)
            bound = connection.duck.execute(_TEXTS.format(asked), parameters or {}).fetchall()
            self._hold(connection, name, bound, _TEXTS.format(_BOUNDS.sub("NULL", asked)), parameters)
            return real(connection, name, parameters)

        return run

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
    """In schedules with backups, waiting runs and images made again, and with details."""
    compared = Compared()
    with quietly() as folder, compared.comparing():
        play(some(long_schedules(), random.Random(seed), 8), folder)
    site = served(
        generate(seed, images=3, versions_per_image=6, clock=VirtualClock(frozen_at=1_790_000_000_000))
    )
    site.config = msgspec.structs.replace(site.config, details=True)
    with compared.comparing():
        for _ in range(2):
            site.sync()
            first, second, *_ = site.world.truth()
            site.world.update_version(first.image_name, first.version)
            site.world.delete_version(second.image_name, second.version)
            site.world.create_version(first.image_name, aliases=("newest",))
            site.simulator.clock.advance(100_000_000)
        site.sync(full=True)
    assert compared.different == []
    assert {"load/changed", "load/deleted", "load/streams_after", "settle/missing", "settle/owed"} <= {
        *+compared.rows
    }
