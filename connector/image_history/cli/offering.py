"""The names that a shell completes: saved queries, images, scopes, tables, runs. Errors are not shown.

Must not know the shells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

from image_history.cli import Globals
from image_history.errors import ConnectorError

if TYPE_CHECKING:
    from image_history.config import Config
    from image_history.warehouse.reports import Reports

Offer = Callable[[click.Context, click.Parameter, str], list[str]]

# At most this many names are offered; another typed letter narrows them.
_MOST = 200


def _offering(names: Callable[[Config, str], Iterable[str]]) -> Offer:
    """Offer the names that begin with the typed text; none if there is no warehouse, or it is locked."""

    def offer(context: click.Context, _: click.Parameter, typed: str) -> list[str]:
        try:
            config = (context.find_object(Globals) or Globals()).config()
            return [name for name in names(config, typed) if name.startswith(typed)][:_MOST]
        except (ConnectorError, OSError):
            return []

    return offer


def _rows(config: Config, ask: Callable[[Reports], Iterable[str]]) -> list[str]:
    from image_history.warehouse.reports import reading
    from image_history.warehouse.warehouse import WarehouseFile

    with reading(WarehouseFile(config.warehouse, lock_wait_seconds=0)) as reports:
        return list(ask(reports))


def _images(config: Config, typed: str) -> list[str]:
    wanted = {"typed": typed, "most": _MOST}
    return _rows(
        config, lambda reports: (row["image_name"] for row in reports.rows("shell/images", **wanted))
    )


def _scopes(config: Config, _: str) -> list[str]:
    return _rows(config, lambda reports: (row["scope"] for row in reports.rows("shell/scopes")))


def _runs(config: Config, _: str) -> list[str]:
    newest = {"run": "", "limit": _MOST}
    return _rows(
        config, lambda reports: (row["etl_run_id"] for row in reports.rows("reports/runs", **newest))
    )


def _saved(config: Config, _: str) -> list[str]:
    from image_history.warehouse.saved import saved_queries

    return [f"@{query.name}" for query in saved_queries(config.queries)]


def _relations(*_: object) -> list[str]:
    from image_history.cli.schema import all_views
    from image_history.schema import TABLES

    return sorted([*(table.name for table in TABLES), *(view.name for view in all_views())])


images, scopes, runs = _offering(_images), _offering(_scopes), _offering(_runs)
saved, relations = _offering(_saved), _offering(_relations)
queryable = _offering(lambda config, typed: [*_saved(config, typed), *_relations()])


def documents(_: click.Context, __: click.Parameter, typed: str) -> list[str]:
    """The verbs whose documents have a schema."""
    from image_history.cli.documents import verbs

    return [verb for verb in verbs() if verb.startswith(typed)]
