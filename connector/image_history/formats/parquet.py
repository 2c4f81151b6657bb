"""Rows as one Parquet file: zstd, row groups of a fixed size; equal rows give equal bytes.

Must not know what the rows mean.
"""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from image_history.formats.cells import texts
from image_history.formats.rows import Rows, Sink, distinct

# Half of DuckDB's own size: readers can skip groups, and a writer, which holds one group, needs little memory.
ROW_GROUP_ROWS = 61_440
# Values that hardly repeat, such as ARNs and instants, are smaller and faster without a dictionary; Parquet's writer
# gives up a dictionary only when it is full.
_DICTIONARY_BYTES = 64 * 1024
_FINE = (pa.timestamp("us"), pa.timestamp("us", tz="UTC"))
# zstd's own default; pyarrow's is 1.
_FINER_LEVEL = 3


def write_parquet(rows: Rows, sink: Sink) -> int:
    """Write the rows; returns their number. The file keeps the metadata of the schema and of its fields.

    Intervals and unions, for which Parquet has no type, are written as text.
    """
    return int(written_parquet(rows, sink).num_rows)


def written_parquet(rows: Rows, sink: Sink) -> pq.FileMetaData:
    """As `write_parquet`; returns the file's footer, so that it need not be read from the file."""
    schema = _storable(rows.schema)
    footers: list[pq.FileMetaData] = []
    count, waiting = 0, _Waiting(schema)
    with pq.ParquetWriter(
        sink,
        schema,
        compression="zstd",
        **_finer(schema),
        # Some readers fail on version 2 (fastparquet, on nullable booleans), and it makes no smaller files here.
        data_page_version="1.0",
        dictionary_pagesize_limit=_DICTIONARY_BYTES,
        metadata_collector=footers,
    ) as writer:
        for batch in rows:
            count += batch.num_rows
            for group in waiting.add(batch):
                writer.write_table(group, ROW_GROUP_ROWS)
        if waiting.rows or not count:
            writer.write_table(waiting.rest(), ROW_GROUP_ROWS)
    return footers[0]


def _finer(schema: pa.Schema) -> dict[str, Any]:
    """Settings for instants in microseconds, as in lake tables: otherwise a sixth more bytes than in milliseconds.

    AWS gives milliseconds, so each value is a multiple of 1,000. zstd cannot use that with a dictionary that fills
    up half-way, nor at its lowest level. DELTA_BINARY_PACKED would be smaller still, but Iceberg's own reader in
    Spark refused it for years (apache/iceberg#7162).
    """
    fine = {field.name for field in schema if field.type in _FINE}
    if not fine:
        return {}
    with io.BytesIO() as sink:
        pq.write_table(schema.empty_table(), sink)
        stored = pq.read_metadata(pa.BufferReader(sink.getvalue())).schema
    paths = [stored.column(number).path for number in range(len(stored))]
    return {"use_dictionary": [path for path in paths if path not in fine], "compression_level": _FINER_LEVEL}


def _storable(schema: pa.Schema) -> pa.Schema:
    """The schema with distinct names, and with text for types that Parquet does not have."""
    fields = [
        field.with_name(name).with_type(_storable_type(field.type))
        for field, name in zip(schema, distinct(schema.names), strict=True)
    ]
    return pa.schema(fields, metadata=schema.metadata)


def _storable_type(kind: pa.DataType) -> pa.DataType:
    return kind if _is_storable(kind) else pa.string()


def _is_storable(kind: pa.DataType) -> bool:
    types = pa.types
    if types.is_interval(kind) or types.is_union(kind) or types.is_dictionary(kind):
        return False
    return all(_is_storable(kind.field(number).type) for number in range(kind.num_fields))


class _Waiting:
    """Collects rows for row groups, so that the groups do not depend on the sizes of the batches."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._batches: list[pa.RecordBatch] = []
        self.rows = 0

    def add(self, batch: pa.RecordBatch) -> list[pa.Table]:
        """Take a batch; returns the row groups that are full now."""
        self._batches.append(batch)
        self.rows += batch.num_rows
        groups = []
        while self.rows >= ROW_GROUP_ROWS:
            table = self.rest()
            groups.append(table.slice(0, ROW_GROUP_ROWS))
            self._batches = table.slice(ROW_GROUP_ROWS).to_batches()
            self.rows = table.num_rows - ROW_GROUP_ROWS
        return groups

    def rest(self) -> pa.Table:
        """All collected rows, in the file's schema. In one chunk: chunks decide where a dictionary is given up."""
        tables = [self._stored(batch) for batch in self._batches]
        return pa.concat_tables([self._schema.empty_table(), *tables]).combine_chunks()

    def _stored(self, batch: pa.RecordBatch) -> pa.Table:
        columns = [
            column if column.type == field.type else _converted(column, field.type)
            for column, field in zip(batch.columns, self._schema, strict=True)
        ]
        return pa.Table.from_arrays(columns, schema=self._schema)


def _converted(column: pa.Array, kind: pa.DataType) -> pa.Array:
    return column.cast(kind) if _is_storable(column.type) else texts(column)
