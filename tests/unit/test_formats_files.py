"""Files are replaced as a whole, and Parquet files of the same rows are the same."""

from __future__ import annotations

import io
import os
import random
import stat
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from image_history.errors import OutputError
from image_history.formats import Format, Recast, as_rows, replaced_file, write_rows
from image_history.formats.parquet import ROW_GROUP_ROWS

ROWS = pa.table(
    {
        "name": ["a", None, "c"],
        "version": pa.array([1, 2, None], pa.int32()),
        "at": pa.array(
            [datetime(2026, 11, 23, 10, 0, 0, 123_000, tzinfo=UTC), None, datetime(1969, 1, 1, tzinfo=UTC)],
            pa.timestamp("ms", tz="UTC"),
        ),
        "tags": pa.array([["x", None], [], None], pa.list_(pa.string())),
    }
)


def parquet(table: pa.Table, batch_rows: int) -> bytes:
    """The Parquet file that is written if rows arrive in batches of this size."""
    sink = io.BytesIO()
    batches = table.to_batches(max_chunksize=batch_rows)
    reader = pa.RecordBatchReader.from_batches(table.schema, batches)
    assert write_rows(reader, sink, Format.PARQUET) == table.num_rows
    return sink.getvalue()


def test_parquet_comes_back_equal() -> None:
    """Arrow and pandas read the rows that were written, with milliseconds, time zone, nulls and lists."""
    content = parquet(ROWS, 2)
    assert pq.read_table(io.BytesIO(content)).equals(ROWS)
    pd.testing.assert_frame_equal(pd.read_parquet(io.BytesIO(content)), ROWS.to_pandas())


def test_parquet_of_equal_rows_has_equal_bytes() -> None:
    """Equal rows give equal bytes, whatever the batches in which they arrive; row groups have a fixed size."""
    count = 2 * ROW_GROUP_ROWS + 17
    table = pa.table({"x": pa.array(range(count)), "s": [f"text {n % 991}" for n in range(count)]})
    content = parquet(table, 10_000)
    assert content == parquet(table, 77_777)
    sizes = pq.ParquetFile(io.BytesIO(content)).metadata
    assert [sizes.row_group(n).num_rows for n in range(sizes.num_row_groups)] == [ROW_GROUP_ROWS] * 2 + [17]
    assert pq.read_table(io.BytesIO(content)).equals(table)


def test_parquet_of_microseconds_is_hardly_larger() -> None:
    """A file with microseconds, as in lake tables, is at most a tenth larger than one with milliseconds."""
    count = 50_000
    rng = random.Random(15)
    instants = [1_700_000_000_000 + rng.randrange(10**11) for _ in range(count)]
    sizes = {}
    for unit, factor in (("ms", 1), ("us", 1000)):
        kind = pa.timestamp(unit, tz="UTC")
        columns = {
            "at": pa.array([each * factor for each in instants], pa.int64()).cast(kind),
            "status": pa.array(["CREATED", "CREATING"] * (count // 2)),
            "aliases": pa.array([["latest"], None] * (count // 2)),
        }
        sink = io.BytesIO()
        write_rows(pa.table(columns).to_reader(), sink, Format.PARQUET)
        sizes[unit] = len(sink.getvalue())
        found = pq.read_metadata(pa.BufferReader(sink.getvalue())).row_group(0)
        encodings = {
            found.column(number).path_in_schema: found.column(number).encodings for number in range(3)
        }
        assert ("RLE_DICTIONARY" in encodings["at"]) is (unit == "ms")
        assert all("RLE_DICTIONARY" in each for name, each in encodings.items() if name != "at")
        assert pq.read_table(pa.BufferReader(sink.getvalue())).equals(pa.table(columns))
    assert sizes["us"] <= 1.1 * sizes["ms"]


def test_parquet_without_rows_has_the_columns() -> None:
    """A file without rows is valid and has the schema."""
    assert pq.read_table(io.BytesIO(parquet(ROWS.slice(0, 0), 10))).schema.equals(ROWS.schema)


def test_parquet_has_text_for_what_it_has_no_type_for() -> None:
    """Intervals become ISO 8601 text, enumerations become text, and names that differ only in case get a number."""
    interval = pa.array([(14, 3, 5_500_000_000), None], pa.month_day_nano_interval())
    words = pa.array(["x", "y"]).dictionary_encode()
    content = parquet(pa.Table.from_arrays([interval, words], names=["a", "A"]), 10)
    assert pq.read_table(io.BytesIO(content)).to_pydict() == {"a": ["P14M3DT5.5S", None], "A_1": ["x", "y"]}


def test_recast_refuses_to_lose_a_digit() -> None:
    """Microseconds that are whole milliseconds are converted; any others are an error, not a rounded value."""
    micro, milli = pa.timestamp("us", tz="UTC"), pa.timestamp("ms", tz="UTC")
    target = pa.schema([("at", milli)])
    exact = pa.table({"at": pa.array([1_000], pa.int64()).cast(micro)})
    assert next(iter(Recast(as_rows(exact), target))).schema == target
    with pytest.raises(pa.ArrowInvalid):
        list(Recast(as_rows(pa.table({"at": pa.array([1_001], pa.int64()).cast(micro)})), target))


def test_replaced_file_is_private_and_whole(tmp_path: Path) -> None:
    """The new content replaces the old at the end of the block, and only the owner can read the file."""
    target = tmp_path / "x.csv"
    target.write_text("old")
    with replaced_file(target) as sink:
        sink.write(b"new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["x.csv"]  # noqa: PTH208  # names, hidden ones included


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError], ids=lambda error: error.__name__)
def test_replaced_file_keeps_the_old_content_after_an_error(
    tmp_path: Path, error: type[BaseException]
) -> None:
    """If an error ends the block, the old file is unchanged and no other file is left beside it."""
    target = tmp_path / "x.csv"
    target.write_text("old")

    def fail() -> None:
        with replaced_file(target) as sink:
            sink.write(b"half")
            raise error

    with pytest.raises((error, OutputError)):
        fail()
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["x.csv"]  # noqa: PTH208


def places(folder: Path) -> dict[str, Path]:
    """Paths to which no file can be written."""
    (folder / "file").write_text("old")
    (folder / "link").symlink_to(folder / "file")
    os.mkfifo(folder / "pipe")
    return {
        "folder": folder,
        "no-folder": folder / "none" / "x.csv",
        "below-a-file": folder / "file" / "x.csv",
        "link": folder / "link",
        "pipe": folder / "pipe",
        "device": Path("/dev/null"),
        "nul": Path("a\0b"),
        "too-long": folder / ("x" * 300),
    }


@pytest.mark.parametrize(
    "place", ["folder", "no-folder", "below-a-file", "link", "pipe", "device", "nul", "too-long"]
)
def test_replaced_file_refuses_what_is_no_place_for_a_file(tmp_path: Path, place: str) -> None:
    """If no file can be written to the path, the error is one line, and the existing file and link are unchanged."""
    path = places(tmp_path)[place]
    with pytest.raises(OutputError) as refused, replaced_file(path):
        pytest.fail("was opened")
    assert refused.value.message.startswith("Cannot write ")
    assert "\n" not in refused.value.message
    assert (tmp_path / "file").read_text() == "old"
    assert (tmp_path / "link").is_symlink()
