"""Worlds loaded from CSV and JSON files, and the messages for mistakes in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from image_history.errors import ConfigError
from image_history.simulator import Simulator, VersionDetails, load_world

CSV = """image name,version,status,creation time,last modified time,failure reason,details
Base,1,CREATED,2026-01-31T12:00:00.250Z,2026-01-31T13:00:00.620+01:00,,
Base,2,CREATE_FAILED,1769860800.5,1769860801500,"quoted, ""reason""
over two lines","{""processor"": ""GPU"", ""base_image"": ""x:1""}"
empty,,,,,,
"""
JSON = """[
  {"ImageName": "Base", "Version": 1, "CreationTime": 1769860800.123, "aliases": ["a", "b"]},
  {"image_name": "Base", "version": 4, "creation_time": "2026-01-31 12:00:01", "failure_reason": null,
   "details": {"horovod": true}},
  {"image": "Base", "version": 1, "creation time": 5, "account id": "222233334444", "region": "eu-west-1"}
]"""


HEADER = "image_name,version,creation_time\n"
DETAILED = "image_name,version,creation_time,details\n"


def written(folder: Path, name: str, text: str) -> Path:
    """Create a file with this text."""
    path = folder / name
    path.write_text(text)
    return path


def test_load_csv(tmp_path: Path) -> None:
    """Each column is loaded; ISO times, epoch seconds and epoch milliseconds are exact to the millisecond."""
    world = load_world(written(tmp_path, "world.csv", CSV))
    found = [
        (row.image_name, row.version, row.status, row.creation_ms, row.last_modified_ms, row.failure_reason)
        for row in world.truth()
    ]
    assert found == [
        ("Base", 1, "CREATED", 1_769_860_800_250, 1_769_860_800_620, None),
        (
            "Base",
            2,
            "CREATE_FAILED",
            1_769_860_800_500,
            1_769_860_801_500,
            'quoted, "reason"\nover two lines',
        ),
    ]
    assert [row.details for row in world.truth()] == [
        VersionDetails(),
        VersionDetails(processor="GPU", base_image="x:1"),
    ]
    assert [image.image_name for image in world.image_truth()] == ["Base", "empty"]
    assert world.create_version("Base") == 3


def test_load_json(tmp_path: Path) -> None:
    """JSON accepts the columns under AWS's names or image-history's, and an account and a region for each row."""
    world = load_world(written(tmp_path, "world.json", JSON))
    assert world.scopes == (("111122223333", "us-east-1"), ("222233334444", "eu-west-1"))
    found = [
        (row.account_id, row.version, row.creation_ms, row.aliases, row.details.horovod)
        for row in world.truth()
    ]
    assert found == [
        ("111122223333", 1, 1_769_860_800_123, ("a", "b"), False),
        ("111122223333", 4, 1_769_860_801_000, (), True),
        ("222233334444", 1, 5_000, (), False),
    ]


def test_load_serves_the_file(tmp_path: Path, client: Callable[..., Any]) -> None:
    """The simulator serves a loaded world."""
    with Simulator(load_world(written(tmp_path, "world.csv", CSV))) as simulator:
        rows = client(simulator).list_image_versions(ImageName="Base", SortBy="VERSION")["ImageVersions"]
        assert [row["Version"] for row in rows] == [2, 1]


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        pytest.param(
            "w.csv",
            "image_name,versoin\n",
            "line 1: there is no column 'versoin'; the columns are",
            id="column",
        ),
        pytest.param("w.csv", "version\n1\n", "line 1: there is no column image_name", id="no-name-column"),
        pytest.param("w.csv", HEADER + "a,1,5\na,x,5\n", "line 3, column version: 'x'", id="number"),
        pytest.param("w.csv", HEADER + "a,1,soon\n", "line 2, column creation_time: 'soon'", id="time"),
        pytest.param(
            "w.csv",
            "image_name,version\na,1\n",
            "line 2, column creation_time: the time is missing",
            id="no-time",
        ),
        pytest.param(
            "w.csv",
            HEADER + "a,1,5\na,1,6\n",
            "line 3, column version: version 1 of a stands on line 2",
            id="twice",
        ),
        pytest.param("w.csv", HEADER + ",1,5\n", "line 2, column image_name", id="no-name"),
        pytest.param("w.csv", "image_name\na,b\n", "line 2: 2 cells under 1 column", id="cells"),
        pytest.param(
            "w.csv",
            DETAILED + 'a,1,5,"{""cpu"": 1}"\n',
            "line 2, column details: .*unknown field `cpu`",
            id="details",
        ),
        pytest.param(
            "w.csv",
            "image_name,account_id\na,12\n",
            "line 2, column account_id: the account '12'",
            id="account",
        ),
        pytest.param("w.json", '[\n{"image": "a"},\n{"image": "b",}]', "line 3", id="json"),
        pytest.param("w.json", '[\n{"image": "a"},\n7]', "line 3: this entry is not an object", id="entry"),
        pytest.param("w.json", '{"image": "a"}', "line 1: a world file in JSON is a list", id="no-list"),
        pytest.param("w.json", '[{"image": "a"}', "line 1", id="open-list"),
        pytest.param("w.json", '[{"image": "a", "version": true}]', "line 1, column version", id="bool"),
        pytest.param(
            "w.json", '[{"image": "a"} {"image": "b"}]', "line 1: Expecting .* at character 17", id="comma"
        ),
        pytest.param(
            "w.json",
            '[{"image": "a", "aliases": 5}]',
            "line 1, column aliases: 5 is not a list",
            id="aliases",
        ),
        pytest.param(
            "w.json",
            '[{"image": "a", "version": 1, "creation_time": 5, "status": 1}]',
            "line 1, column status: 1 is not a text",
            id="text",
        ),
        pytest.param(
            "w.csv", HEADER + "a,1,-5\n", "line 2, column creation_time: '-5' lies outside", id="before-1970"
        ),
        pytest.param(
            "w.csv", HEADER + "a,1,NaN\n", "line 2, column creation_time: 'NaN' is neither", id="nan"
        ),
        pytest.param(
            "w.csv", "image_name\na_b\n", "line 2, column image_name: 'a_b' cannot be the name", id="name"
        ),
        pytest.param("w.txt", "", "neither .csv nor .json", id="suffix"),
    ],
)
def test_load_mistake(tmp_path: Path, name: str, text: str, complaint: str) -> None:
    """The message for a mistake names the file, the line and, if there is one, the column."""
    path = written(tmp_path, name, text)
    with pytest.raises(ConfigError, match=complaint) as caught:
        load_world(path)
    assert str(path) in str(caught.value)


def test_load_unreadable(tmp_path: Path) -> None:
    """A missing file and a file that is not UTF-8 are ConfigErrors that name the problem."""
    with pytest.raises(ConfigError, match=r"none\.csv cannot be read"):
        load_world(tmp_path / "none.csv")
    path = tmp_path / "latin.csv"
    path.write_bytes(b"image_name\n\xe9\n")
    with pytest.raises(ConfigError, match="not UTF-8 at byte 11"):
        load_world(path)
