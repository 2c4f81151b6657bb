"""Let Spark write a Delta table without a jar: tasks write Parquet files, the driver commits them in one version.

Copy this file beside your job. It needs PySpark 4, and `pip install deltalake` on the driver and the executors:

    spark.sparkContext.addPyFile("delta_writer.py")
    spark.dataSource.register(delta_writer.DeltaTableSink)
    rows.write.format("delta_table").mode("append").save("s3://bucket/lake/table")

Exactly once: the version has only the files of tasks that Spark counts as successful, even if tasks were killed and
retried, and it appears as a whole or not at all. Files of killed tasks stay until a vacuum.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Schema
from deltalake.fs import DeltaStorageHandler
from deltalake.transaction import AddAction
from pyspark.sql.datasource import DataSource, DataSourceArrowWriter, WriterCommitMessage

if TYPE_CHECKING:
    from pyspark.sql.datasource import DataSourceWriter
    from pyspark.sql.types import StructType


class DeltaTableSink(DataSource):
    """A Delta table at option `path`; all other options are deltalake's storage options."""

    @classmethod
    def name(cls) -> str:
        """Return the name for `write.format`."""
        return "delta_table"

    def writer(self, schema: StructType, overwrite: bool) -> DataSourceWriter:  # noqa: FBT001 - Spark's own call
        """Return a writer that appends, or replaces all rows of the table."""
        options = dict(self.options)
        path, mode = options.pop("path"), "overwrite" if overwrite else "append"
        uri = path if "://" in path else f"file://{Path(path).absolute()}"
        return DeltaTableWriter(uri, options, schema.json(), mode)


@dataclass
class WrittenFile(WriterCommitMessage):
    """The file that one task has written."""

    path: str
    size_bytes: int
    rows: int


class DeltaTableWriter(DataSourceArrowWriter):
    """One write; it is pickled and sent to the tasks. `columns` is Spark's schema in JSON, which Delta uses too."""

    def __init__(self, uri: str, storage: dict[str, str], columns: str, mode: str) -> None:
        self.uri = uri
        self.storage = storage
        self.columns = columns
        self.mode = mode

    def write(self, iterator: Iterator[pa.RecordBatch]) -> WriterCommitMessage | None:
        """Write all rows of a task into one file; a task without rows writes no file."""
        first = next(iterator, None)
        if first is None:
            return None
        path, files = f"part-{uuid.uuid4()}.parquet", self._files()
        columns = pa.schema(Schema.from_json(self.columns).to_arrow())
        with (
            files.open_output_stream(path) as stream,
            pq.ParquetWriter(stream, columns, compression="zstd") as writer,
        ):
            rows = 0
            for batch in (first, *iterator):
                writer.write_batch(batch.cast(columns))
                rows += batch.num_rows
        return WrittenFile(path, files.get_file_info(path).size, rows)

    def commit(self, messages: list[WriterCommitMessage | None]) -> None:
        """Commit the files of all tasks as one version. Fails as a whole if another writer commits meanwhile."""
        schema = Schema.from_json(self.columns)
        if not DeltaTable.is_deltatable(self.uri, self.storage):
            DeltaTable.create(self.uri, schema, mode="ignore", storage_options=self.storage)
        table = DeltaTable(self.uri, storage_options=self.storage)
        table.create_write_transaction(
            [_added(message) for message in messages if isinstance(message, WrittenFile)],
            self.mode,
            schema,
            commit_properties=CommitProperties(max_commit_retries=0),
        )

    def abort(self, messages: list[WriterCommitMessage | None]) -> None:
        """Remove the files that tasks have written, after the job failed."""
        for message in messages:
            if isinstance(message, WrittenFile):
                self._files().delete_file(message.path)

    def _files(self) -> pafs.PyFileSystem:
        """Return the folder of the table; a local folder is created if it is missing."""
        if self.uri.startswith("file://"):
            pafs.LocalFileSystem().create_dir(self.uri.removeprefix("file://"), recursive=True)
        return pafs.PyFileSystem(DeltaStorageHandler(self.uri, self.storage))


def _added(file: WrittenFile) -> AddAction:
    stats = json.dumps({"numRecords": file.rows})
    return AddAction(file.path, file.size_bytes, {}, round(time.time() * 1000), data_change=True, stats=stats)
