"""Text formats: the form of a cell, and protection of spreadsheets, terminals and pages from hostile text."""

from __future__ import annotations

import csv
import io
import json
import math
import random
import xml.etree.ElementTree as ET
import zipfile
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest

from image_history.errors import ConfigError
from image_history.formats import SUFFIXES, Capped, Format, as_rows, format_of, write_rows
from image_history.formats.rows import distinct, pieces

INSTANT = datetime(2026, 11, 23, 10, 0, 0, 123000, tzinfo=UTC)
ISO = "2026-11-23T10:00:00.123Z"
SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
TEXT_FORMATS = [how for how in Format if not how.binary]
FORMULA_STARTS = [*"=+-@\t\r\n\x00", *(chr(ord(sign) + 0xFEE0) for sign in "=+-@")]
HOSTILE = "\x1b[31mred\x1b]0;title\x07\u202eevil\x9b2J"


def written(table: pa.Table, how: Format) -> str:
    """The table in a text format."""
    sink = io.BytesIO()
    assert write_rows(as_rows(table), sink, how) == table.num_rows
    return sink.getvalue().decode()


def column(values: list[object], kind: pa.DataType | None = None) -> pa.Table:
    """A table of one column, x."""
    return pa.table({"x": pa.array(values, kind)})


def csv_cells(table: pa.Table) -> list[list[str]]:
    """The rows below the header, as Python's csv module reads them."""
    return list(csv.reader(io.StringIO(written(table, Format.CSV), newline="")))[1:]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("how", TEXT_FORMATS, ids=lambda how: how.value)
def test_instant_is_iso_with_milliseconds_in_every_format(how: Format, unit: str) -> None:
    """An instant of any unit is printed as ISO 8601 in UTC with milliseconds and Z."""
    whole = INSTANT.replace(microsecond=0)
    instant = whole if unit == "s" else INSTANT
    text = written(column([instant], pa.timestamp(unit, tz="UTC")), how)
    assert (ISO if unit != "s" else "2026-11-23T10:00:00.000Z") in text


@pytest.mark.parametrize(
    ("microseconds", "shown"),
    [
        pytest.param(999, "2026-11-23T10:00:00.000Z", id="not-rounded-up"),
        pytest.param(-1, "2026-11-23T09:59:59.999Z", id="before-the-second"),
    ],
)
def test_instant_between_milliseconds_is_cut(microseconds: int, shown: str) -> None:
    """An instant is cut to the millisecond and not rounded, also before 1970."""
    instant = INSTANT.replace(microsecond=0) + timedelta(microseconds=microseconds)
    assert shown in written(column([instant], pa.timestamp("us", tz="UTC")), Format.CSV)
    early = column([datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)], pa.timestamp("us", tz="UTC"))
    assert "1969-12-31T23:59:59.999Z" in written(early, Format.CSV)


def test_instant_without_zone_is_not_called_utc() -> None:
    """A timestamp without a zone keeps its digits and gets no Z."""
    local = column([datetime(2026, 1, 2, 3, 4, 5, 678_901)], pa.timestamp("us"))  # noqa: DTZ001
    assert json.loads(written(local, Format.JSONL))["x"] == "2026-01-02 03:04:05.678901"


def test_instant_beyond_the_calendar_is_infinity() -> None:
    """An infinite timestamp of DuckDB is printed as `infinity` or `-infinity`."""
    ends = pa.array([2**63 - 1, -(2**63) + 2], pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    assert csv_cells(pa.table({"x": ends})) == [["infinity"], ["-infinity"]]


def test_json_keeps_numbers_and_nulls() -> None:
    """Numbers keep all their digits, a null is null, and a number that JSON does not have is null."""
    table = pa.table(
        {
            "integer": pa.array([2**63 - 1], pa.int64()),
            "decimal": pa.array([Decimal("12345678901234567890.50")], pa.decimal128(38, 2)),
            "float": [0.1],
            "nan": [math.nan],
            "null": pa.array([None], pa.string()),
            "flag": [True],
            "day": [date(2026, 11, 23)],
        }
    )
    text = written(table, Format.JSONL)
    assert text == (
        '{"integer":9223372036854775807,"decimal":12345678901234567890.50,"float":0.1,"nan":null,'
        '"null":null,"flag":true,"day":"2026-11-23"}\n'
    )


def test_json_is_one_array_and_jsonl_one_object_a_line() -> None:
    """Both formats hold the same rows; without rows, JSON is an empty array and JSONL is empty."""
    table = pa.table({"x": [1, 2], "y": ["a", None]})
    rows = [{"x": 1, "y": "a"}, {"x": 2, "y": None}]
    assert json.loads(written(table, Format.JSON)) == rows
    assert [json.loads(line) for line in written(table, Format.JSONL).splitlines()] == rows
    assert written(table.slice(0, 0), Format.JSON) == "[]\n"
    assert written(table.slice(0, 0), Format.JSONL) == ""


def test_json_keeps_columns_of_one_name_apart() -> None:
    """If two columns have the same name, the second one gets a number, so that no value is lost."""
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2]), pa.array([3])], names=["a", "a", "A_1"])
    assert json.loads(written(table, Format.JSONL)) == {"a": 1, "a_1": 2, "A_1_1": 3}
    assert distinct(["a", "A", "b"]) == ["a", "A_1", "b"]


def test_nested_values_are_json_in_text_formats() -> None:
    """Lists, structs and maps are JSON in a text cell and plain JSON in JSON, with the same form of instants."""
    zoned = pa.timestamp("us", tz="UTC")
    table = pa.table(
        {
            "list": pa.array([["a", None]], pa.list_(pa.string())),
            "struct": pa.array([{"at": INSTANT, "n": 1}], pa.struct([("at", zoned), ("n", pa.int32())])),
            "map": pa.array([[("k", [INSTANT])]], pa.map_(pa.string(), pa.list_(zoned))),
        }
    )
    expected = {"list": ["a", None], "struct": {"at": ISO, "n": 1}, "map": {"k": [ISO]}}
    assert json.loads(written(table, Format.JSONL)) == expected
    assert [json.loads(cell) for cell in csv_cells(table)[0]] == list(expected.values())


def test_csv_is_rfc_4180() -> None:
    """CSV has a header, CRLF and doubled quotes; commas, quotes and line ends in a cell are read back unchanged."""
    table = pa.table({"a,b": ['say "hi", now', "two\nlines", "plain"], "n": [1, None, -3]})
    text = written(table, Format.CSV)
    assert text == '"a,b","n"\r\n"say ""hi"", now",1\r\n"two\nlines",\r\n"plain",-3\r\n'
    assert csv_cells(table) == [['say "hi", now', "1"], ["two\nlines", ""], ["plain", "-3"]]


def test_csv_tells_null_from_empty_text() -> None:
    """A null is an empty cell, an empty text is a pair of quotes, and a lone null is still a row."""
    assert written(pa.table({"x": ["", None], "y": [1, 2]}), Format.CSV).splitlines()[1:] == ['"",1', ",2"]
    assert written(column([None], pa.int32()), Format.CSV) == '"x"\r\n""\r\n'


@pytest.mark.parametrize("start", FORMULA_STARTS, ids=ascii)
def test_csv_cell_that_a_spreadsheet_would_run_is_text(start: str) -> None:
    """Text that could start a formula gets a quote in front, also in a column's name; other text does not."""
    payload = f"{start}cmd|' /C calc'!A0"
    table = pa.table({payload: [payload, f"x{start}", "fine"]})
    cells = list(csv.reader(io.StringIO(written(table, Format.CSV), newline="")))
    assert cells == [["'" + payload], ["'" + payload], [f"x{start}"], ["fine"]]


def test_csv_numbers_are_not_touched() -> None:
    """A negative number starts with a minus sign and stays a number."""
    table = pa.table({"i": [-1], "f": [-0.5], "d": pa.array([Decimal("-1.50")], pa.decimal128(9, 2))})
    assert csv_cells(table) == [["-1", "-0.5", "-1.50"]]


def test_csv_of_random_text_comes_back(rng: random.Random) -> None:
    """Any text that does not start like a formula is read back as it was written."""
    alphabet = "ab\",\r\n' ;\t|é漢\U0001f600"
    texts = ["x" + "".join(rng.choices(alphabet, k=rng.randrange(20))) for _ in range(300)]
    assert csv_cells(column(texts)) == [[text] for text in texts]  # type: ignore[arg-type]


@pytest.mark.parametrize("how", [Format.TABLE, Format.MARKDOWN], ids=lambda how: how.value)
def test_text_for_people_holds_no_control_character(how: Format) -> None:
    """Cells and names have no control or reordering characters, and each cell is on one line."""
    text = written(pa.table({HOSTILE: [HOSTILE, "two\nlines"]}), how)
    assert all(character.isprintable() for line in text.splitlines() for character in line)
    assert "two lines" in text
    assert "red" in text


def test_table_is_aligned_and_whole() -> None:
    """Columns start under their names, numbers are right-aligned, and no text is shortened."""
    table = pa.table({"name": ["a" * 200, "漢字", None], "n": [5, 12345, None]})
    lines = written(table, Format.TABLE).splitlines()
    assert lines == [
        "name" + " " * 196 + "      n",
        "a" * 200 + "      5",
        "漢字" + " " * 196 + "  12345",
        "NULL" + " " * 196 + "   NULL",
    ]


def test_table_of_a_query_plan_is_the_drawing() -> None:
    """A plan of EXPLAIN is printed line by line, not as a cell of a table."""
    plan = pa.table({"explain_key": ["physical_plan"], "explain_value": ["┌──┐\n│ x│\n└──┘\n"]})
    assert written(plan, Format.TABLE) == "┌──┐\n│ x│\n└──┘\n"


def test_markdown_shows_markup_as_text() -> None:
    """Pipes, links, HTML and emphasis in a cell appear as text, and the table keeps its shape."""
    table = pa.table({"x": ["a|b", "<script>", "[l](javascript:x)", "`*b*`", None], "n": [1, 2, 3, 4, 5]})
    assert written(table, Format.MARKDOWN).splitlines() == [
        "| x | n |",
        "| --- | ---: |",
        "| a\\|b | 1 |",
        "| &lt;script&gt; | 2 |",
        "| \\[l\\](javascript:x) | 3 |",
        "| \\`\\*b\\*\\` | 4 |",
        "| NULL | 5 |",
    ]


@pytest.mark.parametrize(
    ("limit", "counts", "more"),
    [
        pytest.param(4, [3, 1], True, id="inside-a-batch"),
        pytest.param(3, [3], True, id="between-batches"),
        pytest.param(6, [3, 3], False, id="exactly-all"),
        pytest.param(9, [3, 3], False, id="beyond"),
    ],
)
def test_capped_rows_tell_whether_there_were_more(limit: int, counts: list[int], more: bool) -> None:
    """At most `limit` rows are returned, the first ones in their order; `more` is true only if there were others."""
    batches = [pa.record_batch({"x": [1, 2, 3]}), pa.record_batch({"x": [4, 5, 6]})]
    capped = Capped(pa.RecordBatchReader.from_batches(batches[0].schema, batches), limit)
    given = [batch["x"].to_pylist() for batch in capped]
    assert [len(values) for values in given] == counts
    assert [value for values in given for value in values] == [1, 2, 3, 4, 5, 6][:limit]
    assert capped.more is more


def test_long_texts_are_written_in_slices() -> None:
    """A batch of very long texts is split into several pieces that together have all rows in their order."""
    table = column([f"{number:03}{'x' * 1_000_000}" for number in range(100)])
    parts = list(pieces(as_rows(table)))
    assert len(parts) > 1
    assert max(part.nbytes for part in parts) < 40_000_000
    assert pa.Table.from_batches(parts).equals(table)


def test_suffix_names_a_format() -> None:
    """Every format but blocks has a suffix; a name without one gets the default, an unknown suffix is an error."""
    assert set(SUFFIXES.values()) == set(Format) - {Format.BLOCKS}
    assert format_of("a/B.CSV", Format.TABLE) is Format.CSV
    assert format_of("a.b/c", Format.PARQUET) is Format.PARQUET
    with pytest.raises(
        ConfigError, match=r"ends in .gz, which is no format of rows: end it in .csv, .json, "
    ):
        format_of("x.gz", Format.TABLE)


def sheet(table: pa.Table) -> list[list[tuple[str, str]]]:
    """The type and value of each cell of a workbook, as they are in the file."""
    content = io.BytesIO()
    write_rows(as_rows(table), content, Format.XLSX)
    with zipfile.ZipFile(content) as book:
        tree = ET.fromstring(book.read("xl/worksheets/sheet1.xml"))  # noqa: S314  # our own file
        rows = tree.iter(f"{SHEET}row")
        return [
            [(cell.get("t", "n"), "".join(cell.itertext())) for cell in row.iter(f"{SHEET}c")] for row in rows
        ]


def test_workbook_keeps_types_and_runs_nothing() -> None:
    """Numbers stay numbers, an instant is an Excel date to the millisecond, and a formula is text."""
    table = pa.table(
        {
            "text": ["=1+1", "http://127.0.0.1/"],
            "number": [7, 2**60],
            "truth": [True, None],
            "at": pa.array([INSTANT, None], pa.timestamp("us", tz="UTC")),
            "share": [0.5, math.inf],
        }
    )
    header, first, second = sheet(table)
    assert [value for _, value in header] == table.column_names
    days = (INSTANT - datetime(1899, 12, 30, tzinfo=UTC)) / timedelta(days=1)
    assert [first[0], first[1], first[2]] == [("inlineStr", "=1+1"), ("n", "7"), ("b", "1")]
    assert abs(float(first[3][1]) - days) * 86_400_000 < 1
    assert second == [("inlineStr", "http://127.0.0.1/"), ("inlineStr", str(2**60)), ("inlineStr", "inf")]


def test_workbooks_of_equal_rows_are_equal() -> None:
    """Workbooks of equal rows have equal contents, without the time of writing."""
    contents = []
    for _ in range(2):
        content = io.BytesIO()
        write_rows(as_rows(column(["x"])), content, Format.XLSX)
        with zipfile.ZipFile(content) as book:
            contents.append([book.read(name) for name in book.namelist()])
    assert contents[0] == contents[1]


def test_tsv_escapes_what_would_end_a_cell() -> None:
    """Tabs, line ends and backslashes are escaped as in C, and a null is written as databases write it."""
    table = pa.table({"text": ["a\tb\nc\\", None, "=1"], "number": [1, None, -1]})
    assert written(table, Format.TSV) == "text\tnumber\na\\tb\\nc\\\\\t1\n\\N\t\\N\n'=1\t-1\n"
