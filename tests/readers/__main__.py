"""`make lake-check`, `make ray-check`: DuckDB's extensions, Daft, Spark SQL on Sail, Daft on Ray read lake tables.

They read the current tables and those of an earlier run. The arguments are the interpreter of the readers'
environment and the names of the readers.

The program publishes, runs tests/readers/engines.py in the readers' environment, and compares every row with the
warehouse's.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from image_history.config import Config
from image_history.publish.lakes import publish_lake
from tests import cookbook
from tests.behaviour.lakes import KINDS, Shelf, alike, learn
from tests.behaviour.publishing import Stock
from tests.looking import looking

if TYPE_CHECKING:
    import pyarrow as pa

TABLES = ("image_versions", "image_version_events", "images", "runs")
TRAVELLED = "image_versions"
ASKED = ("image_versions", "image_version_events")


@dataclass(frozen=True, slots=True)
class Expected:
    """The expected results of the readers: the rows of each table, the rows of an earlier run, and the answers."""

    tables: dict[str, pa.Table]
    earlier: pa.Table
    answers: list[pa.Table]


def described(shelf: Shelf, name: str, version: str | None = None) -> dict[str, Any]:
    """The name, format, version and path of a table."""
    told = {"name": name, "kind": shelf.kind, "version": version}
    if shelf.kind == "iceberg":
        table = shelf.iceberg(name)
        return told | {"path": table.location(), "metadata": table.metadata_location}
    return told | {"path": f"{shelf.folder}/lake/{name}"}


def published(folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]], Expected]:
    """Publish lakes of both formats after two runs, and of the cookbook's warehouse; return them and their rows."""
    stock = Stock(folder).fill()
    stock.run_sql(
        "UPDATE image_versions SET aliases = ['latest', 'größte'], horovod = true, "
        "etl_deleted_at = creation_time WHERE version = 1"
    )
    learn(stock, "us-west-2")
    shelves = [Shelf(kind, folder / kind) for kind in KINDS]
    first = {shelf.kind: shelf.publish(stock, *TABLES, keep=timedelta(days=7)) for shelf in shelves}
    earlier = stock.stored()
    learn(stock, "us-east-1", versions=1)
    for shelf in shelves:
        assert all(done.error is None for done in shelf.publish(stock, *TABLES))
    tables = [described(shelf, name) for shelf in shelves for name in TABLES]
    tables += [described(shelf, TRAVELLED, first[shelf.kind][0].version) for shelf in shelves]
    (folder / "cookbook").mkdir()
    with cookbook.synced(folder / "cookbook") as warehouse:
        asked = [described(shelf, name) for shelf in asked_of(warehouse) for name in ASKED]
        with looking(warehouse) as connection:
            answers = [connection.sql(sql).to_arrow_table() for sql in questions()]
    return tables, asked, Expected({name: stock.stored(name) for name in TABLES}, earlier, answers)


def asked_of(warehouse: Path) -> list[Shelf]:
    """Publish a warehouse's tables to lakes of both formats."""
    shelves = [Shelf(kind, warehouse.parent / kind) for kind in KINDS]
    for shelf in shelves:
        shelf.folder.mkdir()
        done = publish_lake(Config(warehouse=warehouse), shelf.entry(*ASKED))
        assert all(each.error is None for each in done)
    return shelves


def questions() -> list[str]:
    """The queries of the cookbook that run on tables."""
    found = cookbook.QUESTION.findall(cookbook.PAGE.read_text(encoding="utf-8"))
    return [sql.strip().rstrip(";") for sql, _ in found if sql.startswith(cookbook.ON_TABLES)]


def wrong(out: Path, expected: Expected) -> list[str]:
    """The names of the results that differ from the warehouse."""
    return [path.stem for path in sorted(out.glob("*.parquet")) if not _right(path, expected)]


def _right(path: Path, expected: Expected) -> bool:
    _, _, name, *rest = path.stem.split("-")
    read = pq.read_table(path)
    if name == "question":
        answer = expected.answers[int(rest[0])]
        return bool(read.cast(answer.schema).equals(answer)) and answer.num_rows > 0
    return alike(read, expected.earlier if rest else expected.tables[name])


def main() -> int:
    """Publish the tables, read them with each reader, and compare the results."""
    with tempfile.TemporaryDirectory() as temporary:
        folder, out = Path(temporary), Path(temporary) / "out"
        for made in (out, *(folder / kind for kind in KINDS)):
            made.mkdir()
        tables, asked, expected = published(folder)
        interpreter, *readers = sys.argv[1:]
        wanted = {
            "tables": tables,
            "asked": asked,
            "questions": questions(),
            "readers": readers,
            "out": str(out),
        }
        program = Path(__file__).with_name("engines.py")
        ended = subprocess.run([interpreter, str(program)], input=json.dumps(wanted), text=True, check=False)
        different = wrong(out, expected)
        sys.stdout.write(
            f"lake tables: {len(list(out.glob('*.parquet')))} readings, {len(different)} differ from the warehouse\n"
        )
        for name in different:
            sys.stdout.write(f"  {name}\n")
    return ended.returncode or bool(different)


if __name__ == "__main__":
    sys.exit(main())
