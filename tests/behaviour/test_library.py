"""The warehouse from Python: `from image_history import Warehouse`, as a data scientist uses it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from image_history import Warehouse
from image_history.errors import QueryError, WarehouseError
from image_history.simulator import VirtualClock, World
from image_history.warehouse.warehouse import WarehouseFile
from tests.behaviour.asking import ENDLESS, NOON_MS, Desk, ask, built, rows_of
from tests.behaviour.harness import ServeWorld

__all__ = ["ask", "built"]

pytestmark = pytest.mark.duckdb

HOUR = timedelta(hours=1)
NOON = datetime.fromtimestamp(NOON_MS // 1000, UTC) + timedelta(milliseconds=NOON_MS % 1000)


@pytest.fixture
def warehouse(ask: Desk) -> Warehouse:
    """A warehouse with a history; tests must not change it."""
    return Warehouse(ask.warehouse)


def test_result_is_the_same_as_rows_arrow_and_frame(warehouse: Warehouse) -> None:
    """Rows, Arrow table and data frame are the same, to the microsecond; a result can be read repeatedly."""
    result = warehouse.query(
        "SELECT image_name, version, creation_time, failure_reason FROM image_versions ORDER BY ALL"
    )
    rows = result.rows()
    assert len(rows) == len(result) > 100
    assert result.columns == ("image_name", "version", "creation_time", "failure_reason")
    assert result.arrow().to_pylist() == rows == list(result)
    frame = result.df()
    assert list(frame["version"]) == [row["version"] for row in rows]
    assert list(frame["creation_time"]) == [pd.Timestamp(row["creation_time"]) for row in rows]
    assert result.df() is not frame
    assert (
        repr(result) == f"<Result: {len(rows):,} rows of image_name, version, creation_time, failure_reason>"
    )


def test_instants_come_out_aware_and_in_utc(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """In any zone of the machine, instants are in UTC: datetime.UTC in rows, UTC in Arrow and pandas."""
    monkeypatch.setenv("TZ", "America/New_York")
    result = warehouse.query("SELECT TIMESTAMPTZ '2026-11-01 05:30:00.007Z' AS x")
    (row,) = result.rows()
    assert row["x"] == datetime(2026, 11, 1, 5, 30, 0, 7000, UTC)
    assert row["x"].tzinfo is UTC
    assert result.arrow().schema.field("x").type == pa.timestamp("us", "UTC")
    assert str(result.df()["x"].dt.tz) == "UTC"


def test_parameters_keep_their_types(warehouse: Warehouse) -> None:
    """A parameter keeps its Python type, and its value comes back unchanged."""
    east = timezone(timedelta(hours=2))
    values = {
        "text": "5",
        "number": 5,
        "real": 0.5,
        "yes": True,
        "nothing": None,
        "day": date(2026, 7, 1),
        "instant": datetime(2026, 7, 1, 12, 0, 0, 123456, east),
        "some": [1, 2],
    }
    sql = "SELECT " + ", ".join(f"${name} AS {name}" for name in values)
    (row,) = warehouse.query(sql, **values).rows()  # type: ignore[arg-type]  # a mixed dict has no narrower type
    assert row == values
    assert row["instant"].tzinfo is UTC
    assert warehouse.query("SELECT $number + 1 AS n", number=5).rows() == [{"n": 6}]


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(lambda one: one.as_of(datetime(2026, 7, 1)), id="as-of"),  # noqa: DTZ001  # naive on purpose
        pytest.param(lambda one: one.known_at(datetime(2026, 7, 1)), id="known-at"),  # noqa: DTZ001
        pytest.param(lambda one: one.query("SELECT $t", t=datetime(2026, 7, 1)), id="parameter"),  # noqa: DTZ001
        pytest.param(lambda one: one.query("SELECT $t", t=[datetime(2026, 7, 1)]), id="list"),  # noqa: DTZ001
    ],
)
def test_naive_datetime_is_refused(warehouse: Warehouse, asked: Callable[[Warehouse], object]) -> None:
    """A datetime without a zone is refused, and the message shows how to add the zone."""
    with pytest.raises(QueryError, match=r"without a time zone.*tzinfo=UTC"):
        asked(warehouse)


@pytest.mark.parametrize(
    ("sql", "given", "sentence"),
    [
        pytest.param("DROP TABLE runs", {}, "DROP is refused", id="writes"),
        pytest.param("FROM read_text('/etc/passwd')", {}, "reads nothing but the warehouse", id="file"),
        pytest.param("FROM frame", {}, "no table or view frame", id="variable"),
        pytest.param("SELECT $a", {}, r"no value: .* in Python a=\.\.\.", id="missing"),
        pytest.param("SELECT 1", {"a": 1}, r"no parameter \$a", id="surplus"),
        pytest.param("SELECT $a", {"a": object()}, "Unable to transform python value", id="strange"),
        pytest.param("@version-history", {}, r"needs \$image", id="saved"),
    ],
)
def test_question_is_locked_down_as_on_the_command_line(
    warehouse: Warehouse, sql: str, given: dict[str, None], sentence: str
) -> None:
    """A query is restricted as on the command line, with the same messages; Python variables are not tables."""
    frame = pd.DataFrame({"secret": [1]})
    with pytest.raises(QueryError, match=sentence):
        warehouse.query(sql, **given)
    assert len(frame) == 1


def test_question_has_a_time_limit(ask: Desk) -> None:
    """A query that exceeds the time limit is stopped, and the next query is answered."""
    warehouse = Warehouse(ask.warehouse, timeout=timedelta(milliseconds=200))
    with pytest.raises(QueryError, match="stopped after 200ms"):
        warehouse.query(ENDLESS)
    assert warehouse.query("SELECT 1 AS x").rows() == [{"x": 1}]


def test_saved_query_is_asked_by_name(warehouse: Warehouse) -> None:
    """A saved query runs by its name, with its default parameters or with others."""
    assert len(warehouse.query("@changes-by-run")) == 3
    assert len(warehouse.query("@changes-by-run", runs=1)) == 1


def test_history_has_every_state_of_an_image(ask: Desk, warehouse: Warehouse) -> None:
    """`history` has one row for each state of a version, in order of time, with the interval in which it held."""
    states = [row for row in warehouse.history(ask.image) if row["version"] == 2]
    assert [row["image_version_status"] for row in states][1:] == ["CREATE_FAILED", "CREATED"]
    assert [row["etl_valid_to"] for row in states] == [row["etl_valid_from"] for row in states[1:]] + [None]
    (count,) = rows_of(
        ask.warehouse, f"SELECT count(*) FROM image_version_events WHERE image_name = '{ask.image}'"
    )
    assert len(warehouse.history(ask.image)) == count[0]


def test_current_as_of_and_known_at_are_the_views(ask: Desk, warehouse: Warehouse) -> None:
    """`current`, `as_of` and `known_at` return the states now, at a time, and known at a time, in any zone."""
    true = {(row.image_name, row.version, row.status) for row in ask.world.truth()}
    current = {
        (row["image_name"], row["version"], row["image_version_status"]) for row in warehouse.current()
    }
    assert current == true
    then = {
        row["version"]: row["image_version_status"]
        for row in warehouse.as_of(NOON + HOUR)
        if row["image_name"] == ask.image
    }
    assert then[2] == "CREATE_FAILED"
    assert len(warehouse.as_of(NOON - 1 * HOUR)) == len(
        warehouse.as_of((NOON - HOUR).astimezone(timezone(5 * HOUR)))
    )
    assert len(warehouse.known_at(NOON - timedelta(days=9999))) == 0
    assert len(warehouse.known_at(datetime.now(UTC))) == len(true)


def test_image_of_several_scopes_comes_with_all_unless_one_is_chosen(served: ServeWorld) -> None:
    """An image name in two regions returns both or the chosen one; an unknown region or image is named."""
    world = World(regions=["us-east-1", "eu-west-1"], clock=VirtualClock())
    for scope in world.scopes:
        world.create_image("shared", scope=scope)
        world.create_version("shared", scope=scope)
    site = served(world)
    for region in ("us-east-1", "eu-west-1"):
        assert site.run("sync", AWS_DEFAULT_REGION=region, AWS_REGION=region).returncode == 0
    warehouse = Warehouse(str(site.config.warehouse))
    assert [row["region"] for row in warehouse.history("shared")] == ["eu-west-1", "us-east-1"]
    account = world.scopes[0][0]
    assert len(warehouse.history("shared", account_id=account)) == 2
    (one,) = warehouse.history("shared", account_id=account, region="eu-west-1")
    assert one["region"] == "eu-west-1"
    with pytest.raises(
        QueryError, match=rf"no image shared in \*/mars; it is in {account}/eu-west-1, {account}/us"
    ):
        warehouse.history("shared", region="mars")
    with pytest.raises(QueryError, match=r"no image shard in .*; the nearest: shared\."):
        warehouse.history("shard")


def test_threads_share_one_warehouse(warehouse: Warehouse) -> None:
    """Eight threads query at once: each gets its own answer."""
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(
            lambda number: warehouse.query("SELECT $n AS n FROM runs", n=number).rows(), range(16)
        )
        assert list(answers) == [[{"n": number}] * 3 for number in range(16)]


def test_warehouse_is_open_for_a_question_only(tmp_path: Path) -> None:
    """A Warehouse object and its results keep no connection open, so a writer is not blocked."""
    file = WarehouseFile(tmp_path / "new.duckdb", 0.0)
    with file.writing():
        pass
    warehouse = Warehouse(file.path, wait=timedelta(0))
    result = warehouse.query("FROM runs")
    with file.writing():
        assert len(result) == 0
    assert len(warehouse.current()) == 0
    assert repr(warehouse) == f"Warehouse({str(file.path)!r})"


def test_missing_warehouse_says_what_to_do(tmp_path: Path) -> None:
    """A missing warehouse is reported at the first query, with the command line's message; no file is created."""
    warehouse = Warehouse(tmp_path / "none.duckdb")
    with pytest.raises(WarehouseError, match=r"There is no warehouse at .*: run image-history sync first"):
        warehouse.current()
    assert list(tmp_path.iterdir()) == []


def test_result_is_also_a_polars_frame_and_batches(warehouse: Warehouse) -> None:
    """A result is also a Polars frame and record batches, with the same rows in the same order."""
    result = warehouse.query("SELECT image_name, version, creation_time FROM image_versions ORDER BY ALL")
    assert result.polars().rows(named=True) == result.rows()
    batches = list(result.batches(7))
    assert {batch.num_rows for batch in batches[:-1]} == {7}
    assert pa.Table.from_batches(batches).equals(result.arrow())
    assert list(warehouse.query("SELECT 1 AS n WHERE false").batches()) == []


def test_notebook_shows_a_table_that_runs_nothing(warehouse: Warehouse) -> None:
    """A notebook shows the first 50 rows as HTML, with AWS's text escaped, and the number of all rows."""
    html = warehouse.query("SELECT '<img onerror=x>' AS \"<b>\", NULL AS n FROM range(60)")._repr_html_()
    assert "<th>&lt;b&gt;</th>" in html
    assert html.count("<tr><td>&lt;img onerror=x&gt;</td><td><i>NULL</i></td></tr>") == 50
    assert html.endswith("<p>The first 50 of 60 rows are shown</p>")


def test_warehouse_tells_what_can_be_asked(warehouse: Warehouse) -> None:
    """A Warehouse lists tables, views, columns and saved queries; an unknown name gets the nearest one."""
    assert {"image_versions", "runs", "failed_versions", "schema_drift"} <= set(warehouse.tables())
    assert not {"schema_migrations", "schema_objects", "warehouse_identity"} & set(warehouse.tables())
    assert warehouse.columns("runs")[0] == "etl_run_id"
    assert all(warehouse.query(f"FROM {name} LIMIT 0").columns for name in warehouse.tables())
    assert "newest-versions" in warehouse.queries()
    with pytest.raises(QueryError, match=r"no table or view run in .*; the nearest: runs"):
        warehouse.columns("run")


def test_home_is_found(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ~ in a path stands for the user's home."""
    monkeypatch.setenv("HOME", str(warehouse.path.parent))
    assert len(Warehouse(f"~/{warehouse.path.name}").current()) > 0
