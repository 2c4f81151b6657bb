"""The world behind docs/cookbook.md, and its answers: `python -m tests.cookbook` writes them into the page.

Must not know the page's queries.
"""

from __future__ import annotations

import io
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from unittest import mock

from image_history.cli import run
from image_history.config import Account, Config, Publish, Rate
from image_history.publish.stage import publish_all
from image_history.run.pipeline import sync
from image_history.simulator import Shares, Simulator, VirtualClock, World, generate

PAGE = Path(__file__).parents[1] / "docs" / "cookbook.md"
QUESTION = re.compile(r"```sql\n(?P<sql>.*?)```\n\n```text\n(?P<answer>.*?)```", re.DOTALL)
ON_TABLES = "-- On tables"
# 2026-07-01 12:00 UTC: every time of AWS in the page is before it; every later time comes from the reader's clock.
NOON_MS = 1_782_907_200_000
HOUR_MS = 3_600_000


def world() -> World:
    """Two regions of three images; one image of the first region has a copy with fewer versions in the second."""
    aws = generate(
        12,
        regions=2,
        images=3,
        versions_per_image=5,
        largest=9,
        shares=Shares(failed=0.15, deleted=0.1),
        clock=VirtualClock(frozen_at=NOON_MS),
    )
    name, *_ = _images(aws)
    elsewhere = aws.scopes[1]
    aws.create_image(name, scope=elsewhere)
    for _ in range(2):
        aws.create_version(name, scope=elsewhere)
    return aws


def first_hour(aws: World) -> None:
    """Create a version that takes over an alias, update one version, and delete one."""
    name, other, _ = _images(aws)
    aws.create_version(name, aliases=["latest"])
    aws.update_version(name, _numbers(aws, name)[0])
    aws.delete_version(other, _numbers(aws, other)[1])


def second_hour(aws: World) -> None:
    """Create a failed version, delete one version, and delete one image."""
    name, other, third = _images(aws)
    aws.create_version(other, failure_reason="The repository does not exist in the registry.")
    aws.delete_version(name, _numbers(aws, name)[2])
    aws.delete_image(third)


def _images(aws: World) -> list[str]:
    """The names of the first region's images, sorted."""
    return sorted({row.image_name for row in aws.truth() if row.region == aws.default_scope.region})


def _numbers(aws: World, name: str) -> list[int]:
    region = aws.default_scope.region
    return [row.version for row in aws.truth() if (row.image_name, row.region) == (name, region)]


@contextmanager
def synced(folder: Path) -> Iterator[Path]:
    """A warehouse after three syncs, an hour apart."""
    with Simulator(world()) as simulator:
        path = folder / "image-history.duckdb"
        regions = tuple(scope.region for scope in simulator.world.scopes)
        rate = Rate(list_per_second=10_000, describe_per_second=10_000)
        config = Config(warehouse=path, accounts=(Account(regions=regions),), rate=rate, details=True)
        with mock.patch.dict(os.environ, simulator.environment()):
            sync(config)
            for change in (first_hour, second_hour):
                simulator.clock.advance(HOUR_MS)
                change(simulator.world)
                sync(config)
        yield path


def answer(warehouse: Path, sql: str) -> str:
    """The output of `image-history query`; for a query on tables, DuckDB's result on published Delta tables."""
    if sql.startswith(ON_TABLES):
        return _answer_of_tables(warehouse, sql)
    held = io.BytesIO()
    with io.TextIOWrapper(held, encoding="utf-8", write_through=True) as printed, redirect_stdout(printed):
        code = run(["--warehouse", str(warehouse), "query", sql])
        assert code == 0, sql
        return held.getvalue().decode()


def _answer_of_tables(warehouse: Path, sql: str) -> str:
    """Run a query with DuckDB on Delta tables, and format its result as `image-history query` does."""
    import duckdb
    from deltalake import DeltaTable

    from image_history.formats import Format, write_rows

    lake = warehouse.parent / "lake"
    publish_all(Config(warehouse=warehouse, publish=(Publish(to=f"delta+file:{lake}"),)))
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'").fetchall()
        for name in ("image_versions", "image_version_events"):
            connection.register(name, DeltaTable(lake / name).to_pyarrow_dataset())
        found = connection.sql(sql).to_arrow_table()
    printed = io.BytesIO()
    write_rows(found.to_reader(), printed, Format.TABLE)
    return printed.getvalue().decode()


def written(page: str, ask: Callable[[str], str]) -> str:
    """The page with the current answers."""
    return QUESTION.sub(lambda found: f"```sql\n{found['sql']}```\n\n```text\n{ask(found['sql'])}```", page)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary, synced(Path(temporary)) as made:
        PAGE.write_text(
            written(PAGE.read_text(encoding="utf-8"), lambda sql: answer(made, sql)), encoding="utf-8"
        )
