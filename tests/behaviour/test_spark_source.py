"""The data source as Spark calls it, with stand-ins for PySpark's classes; `make spark-check` runs it with Spark."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pyarrow as pa
import pytest

from image_history.errors import ConfigError
from image_history.model import Stop
from image_history.schema import IMAGE_VERSIONS, LANDED_VERSIONS
from image_history.simulator import VirtualClock, generate
from tests.behaviour.harness import ServeWorld, true_rows


@dataclass
class Kind:
    """A stand-in for the type of a column."""

    name: str = ""
    element: object = None


@dataclass
class Field:
    """A stand-in for a column."""

    name: str
    kind: Kind
    nullable: bool
    metadata: dict[str, str]


@dataclass
class Schema:
    """A stand-in for a schema."""

    fields: list[Field]

    @property
    def names(self) -> list[str]:
        return [each.name for each in self.fields]


@dataclass
class DataSource:
    """A stand-in for PySpark's base class of data sources."""

    options: dict[str, str]


class InputPartition:
    """A stand-in for PySpark's base class of partitions."""

    def __init__(self, value: object) -> None:
        self.value = value


@dataclass
class Session:
    """A stand-in for a Spark session, which is its own registry of data sources."""

    registered: list[type] = field(default_factory=list)

    @property
    def dataSource(self) -> Session:  # noqa: N802 - as Spark has it
        return self

    def register(self, source: type) -> None:
        self.registered.append(source)


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module of the data source, with the stand-ins in place of PySpark."""
    kinds = ("Array", "Boolean", "Integer", "Long", "String", "Timestamp")
    types = {f"{name}Type": (lambda *element, name=name: Kind(name, *element)) for name in kinds}
    modules: dict[str, dict[str, object]] = {
        "pyspark": {},
        "pyspark.sql": {},
        "pyspark.sql.datasource": {
            "DataSource": DataSource,
            "DataSourceReader": object,
            "InputPartition": InputPartition,
        },
        "pyspark.sql.types": {**types, "StructField": Field, "StructType": Schema},
    }
    for name, members in modules.items():
        module = ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "image_history.spark.source", raising=False)
    import image_history.spark

    session = Session()
    image_history.spark.register(session)
    assert session.registered == [image_history.spark.ImageVersionsSource]
    yield sys.modules["image_history.spark.source"]
    sys.modules.pop("image_history.spark.source")


# What ListImageVersions says of a version, and what is known of the reading; the column and whether it may be null.
COLUMNS = [
    ("account_id", "String", False),
    ("region", "String", False),
    ("image_name", "String", False),
    ("version", "Integer", False),
    ("image_arn", "String", False),
    ("image_version_arn", "String", False),
    ("image_version_status", "String", False),
    ("failure_reason", "String", True),
    ("creation_time", "Timestamp", False),
    ("last_modified_time", "Timestamp", False),
    ("etl_raw", "String", True),
    ("etl_read_at", "Timestamp", False),
]


def test_columns_are_those_of_the_list(source: Any) -> None:
    """The columns are exactly those that the list has, with the warehouse's comments, and when it was read."""
    found = source.ImageVersionsSource({}).schema()
    assert source.ImageVersionsSource.name() == "sagemaker_image_versions"
    assert [(each.name, each.kind, each.nullable) for each in found.fields] == [
        (name, Kind(kind), nullable) for name, kind, nullable in COLUMNS
    ]
    *listed, read_at = found.fields
    for each in listed:
        assert each.metadata == {"comment": IMAGE_VERSIONS.column(each.name).meaning}
    assert read_at.metadata == {"comment": LANDED_VERSIONS.column("etl_read_at").meaning}


def test_batches_are_as_spark_has_them(source: Any, served: ServeWorld) -> None:
    """Batches have the columns in order and instants in microseconds; the partitions have each row once."""
    clock = VirtualClock(frozen_at=1_790_000_000_000)
    site = served(generate(3, images=3, versions_per_image=4, clock=clock))
    made = source.ImageVersionsSource({"List_per_second": "10000", "describe_per_second": "10000"})
    reader = made.reader(made.schema())
    batches = [batch for partition in reader.partitions() for batch in reader.read(partition)]
    table = pa.Table.from_batches(batches)
    assert table.column_names == made.schema().names
    assert table.schema.field("creation_time").type == pa.timestamp("us", tz="UTC")
    keys = zip(*(table[name].to_pylist() for name in ("image_name", "version")), strict=True)
    assert sorted(keys) == sorted((row[2], row[3]) for row in true_rows(site.world))
    assert list(reader.read(None)) == []


def test_reader_that_is_closed_stops_its_calls(
    source: Any, served: ServeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If Spark closes the reader, as after `LIMIT`, the pack's stop is requested."""
    served(generate(3, images=30, versions_per_image=2))
    stops: list[Stop] = []
    made = source.ImageVersionsSource({"list_per_second": "20"})
    reader = made.reader(made.schema())
    [partition] = reader.partitions()

    def kept() -> Stop:
        stops.append(Stop())
        return stops[-1]

    monkeypatch.setattr(source, "Stop", kept)
    reading = reader.read(partition)
    next(reading)
    assert [stop.requested for stop in stops] == [False]
    reading.close()
    assert [stop.requested for stop in stops] == [True]


def test_schema_of_the_users_own_is_refused(source: Any) -> None:
    """A schema of the user's is refused, because Spark would match our columns to it by position."""
    with pytest.raises(ConfigError, match="has its own columns"):
        source.ImageVersionsSource({}).reader(Schema([]))
