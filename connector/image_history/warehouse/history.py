"""The warehouse for Python programs: runs queries, returns data frames, Arrow tables or rows.

Must not know the command line, nor how a question is kept from doing harm.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from image_history.counting import counted
from image_history.errors import QueryError
from image_history.warehouse.statements import statement

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

# The type of a $parameter's value. A datetime must have a time zone.
Value = str | bytes | bool | int | float | Decimal | date | datetime | timedelta | list[Any] | None

# Converts a value of a subclass (such as an enumeration) to the type itself; bool comes first, since it is an int.
_PLAIN: Mapping[type, Callable[[Any], Value]] = {
    bool: bool,
    str: str.__str__,
    int: int.__int__,
    float: float.__float__,
    bytes: bytes,
    Decimal: Decimal,
    timedelta: lambda span: timedelta(span.days, span.seconds, span.microseconds),
}
_MOST_NAMED = 3
_MOST_IN_NOTEBOOK = 50


class Result:
    """The rows of an answer, all in memory, in the order of the query; may be read several times."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns' names, in order.

        >>> Result(pa.table({"image_name": ["churn"], "version": [1]})).columns
        ('image_name', 'version')
        """
        return tuple(self._table.column_names)

    def arrow(self) -> pa.Table:
        """The rows as an Arrow table. Instants are timestamps in UTC.

        >>> Result(pa.table({"version": [1, 2]})).arrow().num_rows
        2
        """
        return self._table

    def df(self) -> pd.DataFrame:
        """The rows as a new pandas frame. Instants are in UTC; integers with nulls become floats, as in pandas.

        >>> Result(pa.table({"version": [1, 2]})).df()["version"].max()
        np.int64(2)
        """
        return self._table.to_pandas()

    def polars(self) -> pl.DataFrame:
        """The rows as a polars frame; needs the extra `polars`. Instants are in UTC.

        >>> Result(pa.table({"version": [1, 2]})).polars().shape
        (2, 1)
        """
        import polars as pl

        return pl.DataFrame(pl.from_arrow(self._table))

    def batches(self, rows: int = 10_000) -> Iterator[pa.RecordBatch]:
        """The rows as Arrow batches of at most `rows` rows.

        >>> [batch.num_rows for batch in Result(pa.table({"version": [1, 2, 3]})).batches(2)]
        [2, 1]
        """
        yield from self._table.combine_chunks().to_batches(max_chunksize=rows)

    def rows(self) -> list[dict[str, Any]]:
        """A dict for each row, by column; a repeated column name gets a number, as in `n_1`.

        Instants are datetimes in `datetime.UTC`, to the microsecond.

        >>> Result(pa.table({"version": [1, 2]})).rows()
        [{'version': 1}, {'version': 2}]
        """
        from image_history.formats.rows import distinct

        names = distinct(self._table.column_names)
        return [
            {name: _in_utc(value) for name, value in row.items()}
            for row in self._table.rename_columns(names).to_pylist()
        ]

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows())

    def _repr_html_(self) -> str:
        """The first rows as a table, for notebooks; every text is escaped."""
        return _html(self._table.slice(0, _MOST_IN_NOTEBOOK), len(self))

    def __repr__(self) -> str:
        return f"<Result: {counted(len(self), 'row')} of {', '.join(self.columns)}>"


class Warehouse:
    """A warehouse to query from Python: read-only, locked down as `image-history query` is.

    Queries run in a process of their own, which is kept for the next query: a query that DuckDB cannot stop, or that
    crashes DuckDB, ends only that process.
    The file is open only while a query runs, so that an object of this class never blocks a sync for long; queries
    from several threads take turns. `wait` is how long to wait for a load that is under way, `timeout` how long
    DuckDB may work on one query, `queries` a folder with your own saved queries, as the setting of that name. Nothing
    is opened before the first query.

    Every query raises WarehouseError for a file that is missing, foreign or newer than this program
    (WarehouseLockedError if it stays locked), and QueryError for a query that is wrong, refused, too long or too
    large. The file is never changed.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        wait: timedelta = timedelta(seconds=30),
        timeout: timedelta = timedelta(minutes=5),
        queries: str | Path | None = None,
    ) -> None:
        self.path = Path(path).expanduser()
        self._queries = None if queries is None else Path(queries).expanduser()
        self._wait_seconds = wait.total_seconds()
        self._timeout = timeout

    def query(self, sql: str, /, **parameters: Value) -> Result:
        """Run one statement that only reads, or the saved query `@name`; ConfigError if there is none.

        The parameters are the values of its `$names`. A datetime without a time zone is a QueryError: it could mean
        many instants.

        >>> warehouse.query("SELECT count(*) AS n FROM images WHERE image_name <> $name", name="x").rows()
        [{'n': 6}]
        >>> warehouse.query("@newest-versions").columns[:3]
        ('account_id', 'region', 'image_name')
        """
        from image_history.warehouse.saved import Question, saved

        given = {name: _value(name, value) for name, value in parameters.items()}
        named = sql.startswith("@")
        question = saved(sql[1:], self._queries).question(given) if named else Question(sql, given)
        return self._run(question.sql, question.parameters)

    def tables(self) -> tuple[str, ...]:
        """The names of all tables and views that `query` can read.

        >>> "image_versions" in warehouse.tables()
        True
        """
        return tuple(dict.fromkeys(row["table_name"] for row in self._relations()))

    def columns(self, table: str) -> tuple[str, ...]:
        """The names of a table's or view's columns, in order. QueryError if there is no such table or view.

        >>> warehouse.columns("images")[:3]
        ('account_id', 'region', 'image_name')
        """
        found = tuple(row["column_name"] for row in self._relations() if row["table_name"] == table)
        if not found:
            near = difflib.get_close_matches(table, self.tables(), _MOST_NAMED)
            hint = f"; the nearest: {', '.join(near)}" if near else "; tables() names all"
            raise QueryError(f"There is no table or view {table} in {self.path}{hint}.")
        return found

    def queries(self) -> tuple[str, ...]:
        """The names of all saved queries, ours and yours; run one with `query("@NAME")`.

        >>> "newest-versions" in warehouse.queries()
        True
        """
        from image_history.warehouse.saved import saved_names

        return tuple(saved_names(self._queries))

    def _relations(self) -> list[dict[str, Any]]:
        return self._run(statement("session/relations"), {}).rows()

    def current(self) -> Result:
        """Every version that is not known to be deleted, in its newest known state: `current_image_versions`.

        >>> len(warehouse.current()) == len(warehouse.query("FROM current_image_versions"))
        True
        """
        return self._run(statement("library/current"), {})

    def as_of(self, instant: datetime) -> Result:
        """The versions that existed at AWS at that instant, as far as is known today: `image_versions_as_of`.

        QueryError for an instant without a zone.

        >>> len(warehouse.as_of(datetime(1990, 1, 1, tzinfo=UTC)))
        0
        """
        return self._run(statement("library/as_of"), {"ts": _value("instant", instant)})

    def known_at(self, instant: datetime) -> Result:
        """The versions that this warehouse knew at that instant: `image_versions_known_at`. The answer never changes.

        QueryError for an instant without a zone.

        >>> len(warehouse.known_at(datetime(1990, 1, 1, tzinfo=UTC)))
        0
        """
        return self._run(statement("library/known_at"), {"ts": _value("instant", instant)})

    def history(self, image: str, *, account_id: str | None = None, region: str | None = None) -> Result:
        """Every state of each version of an image, with its interval at AWS: `image_version_history`.

        Sorted by account, region, version and time. If several accounts or regions have an image of that name, all
        are returned, unless `account_id` or `region` selects some. QueryError names the nearest if there is none.

        >>> {row["image_name"] for row in warehouse.history(image, region="us-east-1")} == {image}
        True
        """
        chosen = {"image": image, "account_id": account_id, "region": region}
        found = self._run(statement("library/history"), chosen)
        if not len(found):
            raise self._no_such_image(image, account_id, region)
        return found

    def __repr__(self) -> str:
        return f"Warehouse({str(self.path)!r})"

    def _run(self, sql: str, parameters: Mapping[str, object]) -> Result:
        from image_history.warehouse.asking import Limits, QueriedWarehouse, asking
        from image_history.warehouse.saved import Question

        warehouse = QueriedWarehouse(self.path, self._wait_seconds)
        import pyarrow as pa

        with asking(warehouse, Question(sql, parameters), Limits(timeout=self._timeout)) as answer:
            return Result(pa.Table.from_batches(answer, answer.schema))

    def _no_such_image(self, image: str, account_id: str | None, region: str | None) -> QueryError:
        images = self._run(statement("library/images"), {}).rows()
        scopes = [f"{row['account_id']}/{row['region']}" for row in images if row["image_name"] == image]
        if scopes:
            requested = "/".join(part or "*" for part in (account_id, region))
            return QueryError(f"There is no image {image} in {requested}; it is in {', '.join(scopes)}.")
        near = difflib.get_close_matches(image, {row["image_name"] for row in images}, _MOST_NAMED)
        hint = f"; the nearest: {', '.join(near)}" if near else ""
        return QueryError(f"There is no image {image} in {self.path}{hint}.")


def _cell(cell: str | None) -> str:
    return "<td><i>NULL</i></td>" if cell is None else f"<td>{escape(cell)}</td>"


def _html(table: pa.Table, total: int) -> str:
    """The table as HTML, with a line below if it does not show all rows."""
    from image_history.formats.plain import cells

    head = "".join(f"<th>{escape(name)}</th>" for name in table.column_names)
    rows = (f"<tr>{''.join(map(_cell, row))}</tr>" for batch in table.to_batches() for row in cells(batch))
    more = f"<p>The first {table.num_rows:,} of {counted(total, 'row')} are shown</p>" * (
        total > table.num_rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>{more}"


def _value(name: str, value: Value) -> Value:
    """The value to bind; an instant in UTC. QueryError for an instant without a time zone, also inside a list."""
    if isinstance(value, list):
        return [_value(name, one) for one in value]
    if value is not None and type(value).__module__ == "numpy" and hasattr(value, "item"):
        return _value(name, value.item())
    if not isinstance(value, datetime):
        return _plain(value)
    if value.tzinfo is None or value.utcoffset() is None:
        raise QueryError(
            f"{name} is {value.isoformat()} without a time zone, which could be any of many instants: make it "
            "aware, as in datetime(2026, 7, 1, tzinfo=UTC)."
        )
    instant = value.astimezone(UTC)
    return datetime.combine(instant.date(), instant.time(), UTC)


def _plain(value: Value) -> Value:
    """The value as one of Python's own types: the answering process does not have the caller's types."""
    made = next((made for kind, made in _PLAIN.items() if isinstance(value, kind)), None)
    return value if made is None else made(value)


def _in_utc(value: Any) -> Any:
    return value.astimezone(UTC) if isinstance(value, datetime) and value.tzinfo is not None else value
