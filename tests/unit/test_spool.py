"""Rows that wait for delivery keep their order, in memory or in a file, up to a limit."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest

from image_history.errors import OutputError, QueryError
from image_history.warehouse.spool import Spool, Spooled

SCHEMA = pa.schema({"n": pa.int64(), "kind": pa.dictionary(pa.uint8(), pa.string())})


# A file with this limit has room for one batch, not for two.
SIZE = 900


def batch(number: int) -> pa.RecordBatch:
    """A batch with its own dictionary, as in a batch of DuckDB."""
    return pa.record_batch(
        [pa.array([number] * 3), pa.array([f"k{number}"] * 3).dictionary_encode()], ["n", "kind"]
    ).cast(SCHEMA)


@pytest.mark.parametrize("memory", [0, 100, 1 << 20], ids=["file", "both", "memory"])
def test_spool_gives_back_what_it_got(tmp_path: Path, memory: int) -> None:
    """Every batch is returned in order, whether it was kept in memory, in the file or partly in both."""
    spool = Spool(SCHEMA, str(tmp_path), most_bytes=1 << 20, memory_bytes=memory)
    for number in range(5):
        spool.add(batch(number))
    spool.close()
    body = spool.body()
    assert bool(body) != spool.in_file
    spooled = Spooled(body, str(tmp_path) if spool.in_file else None)
    assert spooled.schema == SCHEMA
    assert [one.to_pylist() for one in spooled] == [batch(number).to_pylist() for number in range(5)]
    assert bool(list(tmp_path.iterdir())) == (memory < 1000)


def test_spool_is_bounded(tmp_path: Path) -> None:
    """Rows beyond the limit are an error that says so."""
    spool = Spool(SCHEMA, str(tmp_path), most_bytes=SIZE, memory_bytes=0)
    spool.add(batch(1))
    with closing(spool), pytest.raises(QueryError, match="more rows than a query may have"):
        spool.add(batch(2))


def test_spool_says_what_the_disk_refuses(tmp_path: Path) -> None:
    """If the file cannot be written, the error gives the reason and names TMPDIR."""
    spool = Spool(SCHEMA, str(tmp_path / "none"), most_bytes=1000, memory_bytes=0)
    with pytest.raises(OutputError, match=r"No such file or directory.* TMPDIR"):
        spool.add(batch(1))
