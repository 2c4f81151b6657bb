"""What the address of a publication names."""

from __future__ import annotations

import pytest

from image_history.addresses import is_copy, is_file, is_lake, is_report, right_lake, scheme_of


@pytest.mark.parametrize(
    ("address", "scheme"),
    [
        ("s3://bucket/folder", "s3"),
        ("S3:/bucket", "S3"),
        ("iceberg://glue/inventory", "iceberg"),
        ("delta+file:/folder", "delta+file"),
        ("delta+file:folder", None),
        ("/a folder/of:/colons", None),
        ("./folder", None),
        ("", None),
    ],
)
def test_scheme_of_an_address_is_what_stands_before_its_slash(address: str, scheme: str | None) -> None:
    """The scheme is the text before the first colon and slash, in its original case; a path has no scheme."""
    assert scheme_of(address) == scheme


@pytest.mark.parametrize(
    ("address", "example"),
    [
        ("iceberg://glue/inventory", None),
        ("iceberg://glue/inventory.deep-er", None),
        ("iceberg://glue", "iceberg://glue/ml_inventory"),
        ("iceberg://glue/in;ventory", "iceberg://glue/ml_inventory"),
        ("delta+s3://bucket/folder", None),
        ("delta+s3://Bucket", "delta+s3://bucket/folder"),
        ("delta+file:folder", None),
        ("delta+file:", "delta+file:/folder"),
    ],
)
def test_lake_that_is_written_otherwise_gets_an_example(address: str, example: str | None) -> None:
    """A lake's address that is incomplete or malformed gets an example of a correct one."""
    assert is_lake(address)
    assert right_lake(address) == example


@pytest.mark.parametrize("address", ["s3://bucket/iceberg://x", "folder", "ICEBERG://glue/x"])
def test_dataset_is_no_lake(address: str) -> None:
    """Only an address that begins with the exact lower-case scheme is a lake."""
    assert not is_lake(address)
    assert right_lake(address) is None


def test_report_and_copy_are_files_by_the_end_of_their_names() -> None:
    """The end of the name decides, in any case of letters, for a path as for an address in S3."""
    assert [is_report(name) for name in ("a.html", "s3://b/a.HTM", "a.html/b")] == [True, True, False]
    assert [is_copy(name) for name in ("a.duckdb", "A.DuckDB", "duckdb")] == [True, True, False]
    assert [is_file(name) for name in ("a.html", "a.duckdb", "a.parquet")] == [True, True, False]
