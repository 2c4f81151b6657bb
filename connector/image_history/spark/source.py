"""The data source as Spark sees it; the only module that uses PySpark.

Must not know how anything is read. No filters are pushed down: a reader that offers this fails unless a setting of
Spark enables it.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from image_history.errors import ConfigError
from image_history.model import Stop
from image_history.schema import LANDED_VERSIONS, Column, Kind
from image_history.spark.options import FORMAT, Wanted, wanted
from image_history.spark.packs import Pack, packs
from image_history.spark.reading import tables

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.types import DataType

_TYPES: dict[Kind, DataType] = {
    Kind.TEXT: StringType(),
    Kind.INTEGER: IntegerType(),
    Kind.BIGINT: LongType(),
    Kind.INSTANT: TimestampType(),
    Kind.TEXTS: ArrayType(StringType()),
    Kind.BOOLEAN: BooleanType(),
}
# The position of a row in the listing says nothing about the version.
_LEFT_OUT = frozenset({"etl_reading", "etl_page"})
COLUMNS = tuple(column for column in LANDED_VERSIONS.columns if column.name not in _LEFT_OUT)


def register(spark: SparkSession) -> None:
    """Register the format `sagemaker_image_versions` in a session."""
    spark.dataSource.register(ImageVersionsSource)


class ImageVersionsSource(DataSource):
    """The versions that AWS lists now, a row each. Each action of Spark lists them anew."""

    @classmethod
    def name(cls) -> str:
        """The name for `spark.read.format`."""
        return FORMAT

    def schema(self) -> StructType:
        """The columns of image_versions that ListImageVersions returns, and when the list was read."""
        return StructType(list(map(_field, COLUMNS)))

    def reader(self, schema: StructType) -> DataSourceReader:
        """A reader for the options. ConfigError, one sentence, if they or a schema of the user's are wrong."""
        if schema.names != self.schema().names:
            raise ConfigError(
                f"{FORMAT} has its own columns: leave schema() out, and select() from what is read."
            )
        return ImageVersionsReader(wanted({name.lower(): value for name, value in self.options.items()}))


class PackPartition(InputPartition):
    """A pack on its way to a task."""

    def __init__(self, pack: Pack) -> None:
        super().__init__(pack)
        self.pack = pack


class ImageVersionsReader(DataSourceReader):
    """Plans on the driver, reads on the executors."""

    def __init__(self, given: Wanted) -> None:
        self.wanted = given

    def partitions(self) -> list[InputPartition]:
        """One partition a pack. STS is called for the account of the credentials; nothing is listed."""
        return [PackPartition(pack) for pack in packs(self.wanted, Stop())]

    def read(self, partition: InputPartition | None) -> Iterator[pa.RecordBatch]:
        """The rows of a pack; a partition of None has no rows."""
        if not isinstance(partition, PackPartition):
            return
        stop = Stop()
        try:
            for table in tables(partition.pack, self.wanted, stop):
                yield from _as_spark_has_it(table).to_batches()
        finally:
            # No more calls are made when Spark takes no more rows, or after a failure.
            stop.request(signal.SIGTERM)


def _field(column: Column) -> StructField:
    return StructField(column.name, _TYPES[column.kind], column.nullable, {"comment": column.meaning})


def _as_spark_has_it(table: pa.Table) -> pa.Table:
    """Columns in Spark's order and types: it takes them by position, and needs instants in microseconds."""
    fields = [
        field.with_type(pa.timestamp("us", tz="UTC")) if pa.types.is_timestamp(field.type) else field
        for field in (table.schema.field(column.name) for column in COLUMNS)
    ]
    schema = pa.schema([field.remove_metadata() for field in fields])
    return table.select(schema.names).cast(schema)
