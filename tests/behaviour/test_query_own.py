"""A user's own saved queries: listed, run and locked down like the built-in ones, or refused if malformed."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from image_history import Warehouse
from image_history.cli import run
from image_history.errors import ConfigError
from image_history.warehouse.saved import saved_names, saved_queries
from tests.behaviour.publishing import Stock

pytestmark = pytest.mark.duckdb

ASKING = Path(__file__).parents[2] / "docs" / "asking.md"
HEADER = "-- What: versions of a region.\n-- Parameters: {parameters}\n-- Columns: versions.\n"
COUNTED = HEADER.format(parameters="$region (region of the\n-- images), $least = 1 (first version).") + (
    "SELECT count(*) AS versions FROM image_versions WHERE region = $region AND version >= $least::BIGINT;\n"
)
FORTY = '"versions"\r\n40\r\n'
PLAIN = HEADER.format(parameters="none.")

Say = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Stock:
    """A warehouse that is only read."""
    return Stock(tmp_path_factory.mktemp("own")).fill()


@pytest.fixture
def own(stock: Stock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of queries, named by a configuration beside it; neither is in the working directory."""
    folder = tmp_path / "team" / "queries"
    folder.mkdir(parents=True)
    settings = f"warehouse: {stock.warehouse}\nqueries: queries\n"
    (tmp_path / "team" / "config.yaml").write_text(settings, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def say(own: Path, capfd: pytest.CaptureFixture[str]) -> Say:
    """Runs a command with the configuration of `own`; returns its exit code, stdout and stderr."""

    def command(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = run(["--config", str(own.parent / "config.yaml"), *arguments])
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return command


def test_own_query_is_listed_and_asked_like_ours(own: Path, say: Say) -> None:
    """A user's query is listed among the built-in ones, with parameters, defaults and example; export takes it."""
    (own / "by-region.sql").write_text(COUNTED, encoding="utf-8")
    (own / "notes.txt").write_text("no query", encoding="utf-8")
    code, listed, _ = say("queries")
    assert code == 0
    assert (
        "@by-region: versions of a region.\n"
        "    region: region of the images\n"
        "    least: first version  [default: 1]\n"
        "    $ image-history query @by-region --param region=REGION --param least=1\n"
    ) in listed
    assert "@newest-versions: " in listed
    named = [json.loads(line)["name"] for line in say("queries", "--format", "jsonl")[1].splitlines()]
    assert named == sorted([*(query.name for query in saved_queries()), "by-region"])
    assert say("queries", "@by-region")[1] == COUNTED
    asked = ("@by-region", "--param", "region=us-east-1")
    assert say("query", *asked, "--format", "csv")[1] == FORTY
    assert say("query", *asked, "--param", "least=2", "--format", "csv")[1] == FORTY.replace("40", "0")
    code, _, told = say("query", "@by-region")
    assert (code, "@by-region needs $region, the region of the images" in told) == (2, True)
    assert say("export", *asked, "--output", "counted.csv")[0] == 0
    assert Path("counted.csv").read_bytes().decode() == FORTY


def test_query_of_the_documentation_is_one(own: Path, say: Say) -> None:
    """The query file that docs/asking.md shows is listed as it says, and runs with its default and another value."""
    (shown,) = re.findall(r"```sql\n(-- What.*?)```", ASKING.read_text(encoding="utf-8"), re.DOTALL)
    (own / "large-images.sql").write_text(shown, encoding="utf-8")
    code, listed, _ = say("queries")
    assert code == 0
    assert (
        "@large-images: images with at least so many versions.\n"
        "    least: fewest versions to be shown  [default: 100]\n"
        "    region: region of the images\n"
    ) in listed
    asked = ("query", "@large-images", "--param", "region=us-east-1", "--format", "jsonl")
    assert say(*asked) == (0, "", "")
    code, out, _ = say(*asked, "--param", "least=1")
    assert (code, sum(json.loads(line)["versions"] for line in out.splitlines())) == (0, 40)


def test_shell_and_library_know_own_queries(
    own: Path, say: Say, stock: Stock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shell lists, runs and completes a user's own queries; `Warehouse` runs those of its given folder."""
    (own / "by-region.sql").write_text(COUNTED, encoding="utf-8")
    typed = io.BytesIO(b".queries\n.mode csv\n@by-region region=us-east-1\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(typed))
    code, out, err = say("shell")
    assert (code, err) == (0, "")
    assert "@by-region: versions of a region." in out
    assert out.endswith(FORTY)
    assert "by-region" in saved_names(own)
    asked = Warehouse(stock.warehouse, queries=own).query("@by-region", region="us-east-1")
    assert asked.rows() == [{"versions": 40}]
    with pytest.raises(ConfigError, match="There is no saved query @by-region"):
        Warehouse(stock.warehouse).query("@by-region", region="us-east-1")


@pytest.mark.parametrize(
    "sql", ["FROM read_text('config.yaml')", "DELETE FROM image_versions", "SELECT 1; SELECT 2"]
)
def test_own_query_is_as_locked_down_as_any(own: Path, say: Say, sql: str) -> None:
    """A user's query may only read the warehouse, in one statement; anything else exits with 2."""
    (own / "sly.sql").write_text(f"{PLAIN}{sql}", encoding="utf-8")
    code, out, told = say("query", "@sly")
    assert (code, out, told.count("\n")) == (2, "", 1), told


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        pytest.param("newest-versions", PLAIN, "@newest-versions is a query of image-history", id="taken"),
        pytest.param("bare", "SELECT 1", "has no line '-- What: ...'", id="bare"),
        pytest.param("half", "-- What: this.\n-- Columns: n.\nSELECT 1", "'-- Parameters: ...'", id="half"),
        pytest.param("empty", PLAIN.replace("versions of a region.", ""), "'-- What: ...'", id="empty"),
        pytest.param("slip", HEADER.format(parameters="image (name)."), "nor a list such as", id="slip"),
        pytest.param("loose", HEADER.format(parameters="$a (one) $b."), "nor a list such as", id="loose"),
        pytest.param("clear", f"{PLAIN}SELECT '\x1b[2J'", "clear.sql:4: U+001B", id="control"),
        pytest.param("latin", f"{PLAIN}SELECT 'gr\udcf6\udcdfte'", "is not UTF-8 text", id="latin"),
        pytest.param("two words", PLAIN, "letters, digits, - and _", id="name"),
    ],
)
def test_file_that_is_no_saved_query_is_refused(
    own: Path, say: Say, name: str, text: str, sentence: str
) -> None:
    """A malformed file exits with 2 and one sentence that has the file's name, in `queries` and in `query`."""
    (own / f"{name}.sql").write_text(text, encoding="utf-8", errors="surrogateescape")
    for arguments in (["queries"], ["query", f"@{name}"]):
        code, out, told = say(*arguments)
        assert (code, out, told.count("\n")) == (2, "", 1), told
        assert f"{name}.sql" in told
        assert sentence in told


@pytest.mark.parametrize("name", ["broken", "no name", "version-history"])
def test_broken_neighbour_stops_no_other_query(own: Path, say: Say, name: str) -> None:
    """A malformed file, or one whose name is taken, is named by `queries`, but every other saved query still runs."""
    (own / "by-region.sql").write_text(COUNTED, encoding="utf-8")
    (own / f"{name}.sql").write_text("SELECT 1", encoding="utf-8")
    assert say("query", "@by-region", "--param", "region=us-east-1")[0] == 0
    assert say("query", "@newest-versions")[0] == 0
    code, out, told = say("queries")
    assert (code, out, told.count("\n")) == (2, "", 1)
    assert str(own / f"{name}.sql") in told


def test_folder_that_is_not_there_is_named(own: Path, say: Say) -> None:
    """If the folder is missing, a saved query fails and names it; plain SQL needs no folder."""
    own.rmdir()
    code, _, told = say("query", "@newest-versions")
    assert (code, told.count("\n")) == (2, 1)
    assert f"{own}: the folder of your own queries cannot be read (No such file or directory)" in told
    assert say("query", "SELECT 1")[0] == 0
