"""Hooks into the SQL that runs: around every way to run a statement by its name, and the query in a statement.

Must not know what a test does with a statement.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, TypeAlias
from unittest import mock

from image_history.warehouse.warehouse import Connection

# Runs the statement as the connector would.
Run: TypeAlias = Callable[[], Any]
# Gets the connection, the statement's name and its parameters.
Around: TypeAlias = Callable[[Connection, str, Mapping[str, object] | None, Run], Any]

_COMMENT = re.compile(r"^\s*--.*\n", re.MULTILINE)
_HEAD = re.compile(
    r"(?:CREATE OR REPLACE TEMP TABLE \w+ AS\s|INSERT INTO \w+ BY NAME\s)?\s*(?=SELECT\b|WITH\b|FROM\b)"
)


def query_of(text: str) -> str | None:
    """The query of a statement that selects, fills a temporary table or inserts; None for any other statement."""
    bare = _COMMENT.sub("", text).strip().removesuffix(";")
    head = _HEAD.match(bare)
    return None if head is None else bare[head.end() :]


@contextmanager
def around_statements(act: Around) -> Iterator[None]:
    """In the block, let `act` run each statement; the result of `act` is the statement's result."""

    def wrapped(way: Callable[..., Any]) -> Callable[..., Any]:
        def run(connection: Connection, name: str, parameters: Mapping[str, object] | None = None) -> Any:
            return act(connection, name, parameters, lambda: way(connection, name, parameters))

        return run

    with ExitStack() as stack:
        for way in ("run", "count", "table"):
            stack.enter_context(mock.patch.object(Connection, way, wrapped(getattr(Connection, way))))
        yield
