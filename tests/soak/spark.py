"""Spark reads datasets while they are rewritten, as docs/datasets.md says: `make spark-check`.

It runs the page's code unchanged in a local Spark. Must not know how a dataset is published.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import sys
import tempfile
import time
from collections import Counter
from contextlib import chdir
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from image_history.schema import IMAGE_VERSION_EVENTS, IMAGE_VERSIONS, TABLES
from tests.behaviour.publishing import Stock, by_manifest, manifest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.synchronize import Event

    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

PAGE = Path(__file__).parents[2] / "docs" / "datasets.md"
SAFE = ("manifest", "folder")
GRACE = timedelta(minutes=30)
# Values for every type of column: texts, integers, times, booleans, lists and NULL.
DETAILS = """
UPDATE image_versions SET etl_deleted_at = etl_changed_at, horovod = epoch_ms(creation_time) % 2 = 0,
    aliases = CASE epoch_ms(creation_time) % 3 WHEN 0 THEN ['latest', 'größte'] WHEN 1 THEN [] END
WHERE epoch_ms(creation_time) % 4 <> 0
"""
SHARED = ", ".join(
    column.name
    for column in IMAGE_VERSION_EVENTS.columns
    if column.name in {each.name for each in IMAGE_VERSIONS.columns}
)
EVENTS = f"""
INSERT INTO image_version_events BY NAME
SELECT {SHARED},
    creation_time AS etl_certain_from, etl_changed_at AS etl_observed_at, 'created' AS etl_change,
    ['version', 'aliases'] AS etl_changed_columns
FROM image_versions
"""
# These include tables without rows, and a view with a list of structs.
PUBLISHED = (*(table.name for table in TABLES), "image_version_history", "image_timeline")


@dataclass(slots=True)
class Seen:
    """What Spark read; `refused` counts the readings by the plain path that failed because a file had vanished."""

    reads: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    wrong: list[str] = field(default_factory=list)
    publications: set[str] = field(default_factory=set)


class Reader:
    """Reads a dataset in each way that the page shows."""

    def __init__(self, spark: SparkSession, stock: Stock) -> None:
        self.spark = spark
        self.stock = stock
        section = PAGE.read_text(encoding="utf-8").partition("### Spark\n")[2].partition("\n### ")[0]
        found = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
        plain = re.findall(r"`(spark\.read\.parquet\([^`]*\))`", section)
        self.ways = dict(zip((*SAFE, "plain path"), (*found, f"versions = {plain[0]}"), strict=True))

    def frame(self, way: str, table: str = "image_versions") -> DataFrame:
        """The page's data frame, for a table."""
        names: dict[str, Any] = {"spark": self.spark}
        exec(self.ways[way].replace("image_versions", table), names)  # noqa: S102 - the page's own code
        frame: DataFrame = names["versions"]
        return frame

    def judge(self, way: str, seen: Seen) -> None:
        """Read once, and record a result that is not exactly one publication."""
        try:
            answer = self.frame(way).toArrow()
        except Exception as error:  # noqa: BLE001 - every error of a reader is recorded
            told = str(error)
            if way in SAFE or not re.search(r"FILE_NOT_EXIST|PATH_NOT_FOUND|FileNotFound", told):
                seen.wrong.append(f"{way}: {told[:300]}")
            seen.refused += 1
            return
        seen.reads[way] += 1
        runs, regions = (set(answer[name].to_pylist()) for name in ("failure_reason", "region"))
        rows = self.stock.rows_of_a_region * len(self.stock.regions)
        if len(runs) != 1 or regions != set(self.stock.regions) or answer.num_rows != rows:
            seen.wrong.append(
                f"{way}: {answer.num_rows} rows of {sorted(map(str, runs))} in {sorted(regions)}"
            )
        seen.publications |= set(map(str, runs))

    def differences(self) -> Iterator[str]:
        """The differences between Spark and DuckDB in names, types or values, for every table of the dataset."""
        for table in (each["name"] for each in manifest(self.stock.dataset)["tables"]):
            duck = by_manifest(self.stock.dataset, table)
            for way in self.ways:
                spark = self.frame(way, table).toArrow()
                if kinds(spark) != kinds(duck):
                    yield f"{table} by {way}: {set(kinds(spark).items()) ^ set(kinds(duck).items())}"
                elif rows(spark) != rows(duck):
                    yield f"{table} by {way}: other values in {spark.num_rows} rows"


def kinds(table: pa.Table) -> dict[str, str]:
    """The Arrow type of each column, without the names of list elements, which differ between engines."""
    return {each.name: re.sub(r"\b(element|item|l): ", "", str(each.type)) for each in table.schema}


def rows(table: pa.Table) -> list[str]:
    """All rows in a fixed order, as text that shows every value and its type."""
    return sorted(json.dumps(row, sort_keys=True, default=repr) for row in table.to_pylist())


def rewrite(stock: Stock, over: Event, published: Any) -> None:
    """Change every row and publish, repeatedly, until `over` is set."""
    while not over.is_set():
        stock.change(*stock.regions)
        stock.publish("image_versions", grace=GRACE)
        published.value += 1


def beside(reader: Reader, publications: int, seen: Seen) -> int:
    """Read in all ways in turn until another process has published often enough; return its publications."""
    context = multiprocessing.get_context("spawn")
    over, published = context.Event(), context.Value("i", 0)
    publisher = context.Process(target=rewrite, args=(reader.stock, over, published))
    publisher.start()
    try:
        while published.value < publications and publisher.is_alive() and not seen.wrong:
            for way in reader.ways:
                reader.judge(way, seen)
    finally:
        over.set()
        publisher.join()
    if publisher.exitcode:
        seen.wrong.append(f"the publisher ended with {publisher.exitcode}")
    return int(published.value)


def session(folder: Path) -> SparkSession:
    """Start a Spark in this process that uses only loopback; raise SystemExit if Spark cannot start."""
    try:
        from pyspark.sql import SparkSession

        settings = {
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.log.level": "OFF",
            "spark.sql.session.timeZone": "UTC",
            "spark.sql.warehouse.dir": str(folder / "spark"),
        }
        os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
        return SparkSession.builder.master("local[2]").config(map=settings).getOrCreate()
    except (ImportError, RuntimeError) as error:
        said = str(error).partition("\n")[0]
        raise SystemExit(
            f"Spark does not start: {said} make spark-check builds it; it needs Java 17."
        ) from error


def report(reader: Reader, publications: int) -> int:
    """Compare all tables with DuckDB, then read during publications; print a line of figures."""
    seen = Seen(wrong=list(reader.differences()))
    held, began = reader.frame("folder"), time.monotonic()
    before = rows(held.toArrow())
    published = beside(reader, publications, seen)
    if rows(held.toArrow()) != before:
        seen.wrong.append("a data frame that was made before reads something else now")
    for line in seen.wrong:
        sys.stdout.write(f"  {line}\n")
    reads = ", ".join(f"{count} by {way}" for way, count in seen.reads.items())
    sys.stdout.write(
        f"Spark {reader.spark.version}: {published} publications in {time.monotonic() - began:.0f} s beside readings "
        f"({reads}; {len(seen.publications)} publications seen); the plain path was told {seen.refused} times that a "
        f"file had gone; {len(PUBLISHED)} tables as DuckDB reads them; {len(seen.wrong)} wrong\n"
    )
    return 1 if seen.wrong or len(seen.reads) < len(reader.ways) else 0


def main() -> int:
    """Publish a dataset in a temporary folder, to which the page's relative paths lead, and read it with Spark."""
    parser = argparse.ArgumentParser(description="Read datasets with Spark while they are rewritten.")
    parser.add_argument("--publications", type=int, default=200)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, chdir(name):
        stock = Stock(Path(name)).fill()
        stock.run_sql(DETAILS)
        stock.run_sql(EVENTS)
        stock.publish(*PUBLISHED, grace=GRACE)
        spark = session(Path(name))
        try:
            return report(Reader(spark, stock), given.publications)
        finally:
            spark.stop()


if __name__ == "__main__":
    sys.exit(main())
