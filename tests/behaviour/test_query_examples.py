"""Each saved query returns the same rows by its defaults and by the example that `queries` prints."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from image_history.cli import run
from image_history.cli.queries import example
from image_history.config import Config
from image_history.run.pipeline import sync
from image_history.simulator import Simulator
from image_history.warehouse.saved import SavedQuery, saved_queries
from tests.behaviour.harness import FAST
from tests.cookbook import HOUR_MS, first_hour, second_hour, world

pytestmark = pytest.mark.duckdb

QUERIES = saved_queries()
# An image without a good version, and one without any.
BROKEN, EMPTY = "broken", "empty"
Rows = list[dict[str, Any]]
Answer = Callable[..., Rows]


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse in which every saved query finds rows: stuck, failed and copied versions, and an empty image."""
    path = tmp_path_factory.mktemp("examples") / "image-history.duckdb"
    aws = world()
    first = next(row for row in aws.truth() if row.region == aws.default_scope.region)
    name, copied = first.image_name, first.details
    for _ in range(2):
        aws.create_version(name, details=copied)
    config = Config(warehouse=path, rate=FAST, details=True)
    with pytest.MonkeyPatch.context() as patch, Simulator(aws) as simulator:
        for variable, value in simulator.environment().items():
            patch.setenv(variable, value)
        sync(config)
        for change in (first_hour, second_hour):
            simulator.clock.advance(HOUR_MS)
            change(aws)
            sync(config)
        aws.set_status(name, 1, "DELETING")
        for image in (BROKEN, EMPTY):
            aws.create_image(image)
        aws.create_version(BROKEN, failure_reason="The repository does not exist in the registry.")
        sync(config)
    return path


@pytest.fixture
def answer(warehouse: Path, capfd: pytest.CaptureFixture[str]) -> Answer:
    """Runs a saved query on the command line and returns its rows."""

    def rows(*arguments: str) -> Rows:
        capfd.readouterr()
        code = run(["--warehouse", str(warehouse), *arguments, "--format", "jsonl"])
        told = capfd.readouterr()
        assert code == 0, told.err
        return [json.loads(line) for line in told.out.splitlines()]

    return rows


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)
def test_example_and_defaults_of_a_saved_query_find_the_same_rows(query: SavedQuery, answer: Answer) -> None:
    """The example, left-out defaults and written defaults give the same rows, with the columns of the header."""
    image = answer("query", "SELECT image_name FROM alias_moves LIMIT 1")[0]["image_name"]
    program, *arguments = (word.replace("=IMAGE", f"={image}") for word in shlex.split(example(query)))
    by_example = answer(*arguments)
    assert program == "image-history"
    assert by_example, example(query)
    assert {tuple(row) for row in by_example} == {query.columns}
    needed = [
        word for one in query.parameters if one.default is None for word in ("--param", f"{one.name}={image}")
    ]
    assert answer("query", f"@{query.name}", *needed) == by_example
    every = [
        word
        for one in query.parameters
        for word in ("--param", f"{one.name}={image if one.default is None else one.default}")
    ]
    assert answer("query", f"@{query.name}", *every) == by_example


def test_images_without_good_version_are_those_of_the_report(answer: Answer) -> None:
    """The query finds the live image whose versions all failed; neither a deleted image nor one without versions."""
    found = answer("query", "@images-without-good-version")
    assert [(row["image_name"], row["versions"]) for row in found] == [(BROKEN, 1)]
    images = answer("query", "SELECT image_name, etl_deleted_at IS NOT NULL AS gone FROM images")
    assert any(row["gone"] for row in images)
    assert EMPTY in {row["image_name"] for row in images}


def test_alias_moves_without_a_parameter_has_every_move(answer: Answer) -> None:
    """By default (an empty text) the query returns every move; with an image's name, the moves of that image."""
    moves = answer("query", "@alias-moves")
    stored = answer("query", "FROM alias_moves")
    assert len(moves) == len(stored) > 1
    names = {row["image_name"] for row in moves}
    assert len(names) > 1
    for name in names:
        chosen = answer("query", "@alias-moves", "--param", f"image={name}")
        assert chosen == [row for row in moves if row["image_name"] == name]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("''", ""),
        ("'two words'", "two words"),
        ("'it''s'", "it's"),
        ("12", "12"),
        ("a'b", "a'b"),
        ("''''", "'"),
    ],
    ids=["empty", "spaces", "quote", "number", "word", "only-quote"],
)
def test_default_in_quotes_is_the_text_between_them(
    written: str, value: str, warehouse: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A quoted default in a user's query is the text between its quotes; one without quotes is taken as it is."""
    folder = tmp_path / "queries"
    folder.mkdir()
    (folder / "own.sql").write_text(
        f"-- What: the parameter.\n-- Parameters: $text = {written} (any text).\n-- Columns: told.\n"
        "SELECT $text::VARCHAR AS told;\n",
        encoding="utf-8",
    )
    config = tmp_path / "config.yaml"
    config.write_text(f"warehouse: {warehouse}\nqueries: queries\n", encoding="utf-8")
    assert run(["--config", str(config), "query", "@own", "--format", "jsonl"]) == 0
    assert json.loads(capfd.readouterr().out) == {"told": value}
