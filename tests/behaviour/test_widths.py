"""Printed text fits the terminal: at each width no line is longer, and no word is broken."""

from __future__ import annotations

import re
from importlib import import_module

import click
import pytest

from image_history.cli import VERBS as VERBS_THERE_ARE
from image_history.simulator import generate
from tests.behaviour.checking import denying
from tests.behaviour.commanding import Commanded, CommandWorld, commanding
from tests.behaviour.test_query_terminal import COLOUR, assert_fits, on_terminal

__all__ = ["commanding"]

pytestmark = pytest.mark.duckdb

WIDTHS = (60, 80, 110, 200)
# Wider than anything that is printed.
ENDLESS = 2_000
# Words of the lines that name the columns left out, and those with one value in every row.
SAID_OF_COLUMNS = (
    "The same in every row: Without a value: Left out for lack of room: schema --json --format blocks "
    "shows all."
)
VERBS = (
    ("plan",),
    ("-q", "sync"),
    ("check",),
    ("-q", "publish"),
    ("status",),
    ("runs",),
    ("log",),
    ("list",),
    ("diff", "--since", "9d"),
    ("diff", "--since", "9d", "--details"),
    ("schema", "runs"),
    ("queries",),
    ("query", "FROM runs"),
    ("query", "@newest-versions"),
)


@pytest.fixture
def desk(commanding: CommandWorld) -> Commanded:
    """A synced site with one region that is denied now, which publishes to two paths."""
    desk = commanding()
    (desk.folder / "config.yaml").write_text("publish: [{to: set}, {to: none/set}]\n", encoding="utf-8")
    assert desk("sync").code == 4
    return desk


def words(screen: str) -> set[str]:
    """The words on a screen."""
    return set(COLOUR.sub("", screen).replace("─", " ").split())


def joined(words: set[str]) -> set[str]:
    """The words, and the pieces into which lines may break them."""
    return {piece for word in words for start in _joints(word) for piece in _ends(word[start:])}


def _joints(word: str) -> list[int]:
    return [0, *(found.end() for found in re.finditer(r"[/:,;=_.@-](?=[^/:,;=_.@-])", word))]


def _ends(word: str) -> list[str]:
    return [word, *(word[:end] for end in _joints(word)[1:])]


@pytest.mark.parametrize("arguments", VERBS, ids=lambda given: "-".join(given).strip("-"))
def test_report_fits_the_terminal(desk: Commanded, arguments: tuple[str, ...]) -> None:
    """No line is wider than the terminal, and every word is one that is printed without line breaks."""
    warehouse = desk.site.config.warehouse
    whole = joined(words(on_terminal(warehouse, *arguments, columns=ENDLESS, NO_COLOR="1")[1]))
    whole |= words(SAID_OF_COLUMNS)
    for columns in WIDTHS:
        screen = on_terminal(warehouse, *arguments, columns=columns, NO_COLOR="1")[1]
        assert_fits(screen, columns)
        # Names of columns in a sentence are followed by a comma or a full stop; times differ between commands.
        told = {word.rstrip(".,") for word in words(screen)} - {word.rstrip(".,") for word in whole}
        assert {word for word in told if not re.match(r"…|[\d(]", word)} == set(), screen


def test_sync_at_60_columns(desk: Commanded) -> None:
    """At 60 columns the summary is a table, and a column with the same value in every row is named below it."""
    desk.site.simulator.fault = denying("ListImageVersions")
    code, screen = on_terminal(desk.site.config.warehouse, "-q", "sync", columns=60, NO_COLOR="1")
    header, _, scope, total, *rest = screen.splitlines()
    assert (code, header.split()) == (3, ["scope", "images", "calls", "inserted", "updated"])
    assert (scope.split()[0], total.split()[0]) == ("111122223333/us-east-1", "total")
    assert rest[0] == "The same in every row: deleted not evaluated."


def test_sync_names_the_columns_that_it_leaves_out(commanding: CommandWorld) -> None:
    """A column for which there is no room is named below the table, with the option that shows all columns."""
    regions = ("eu-west-1", "us-east-1")
    desk = commanding(generate(31, regions=regions, images=1, versions_per_image=2))
    (desk.folder / "config.yaml").write_text(
        f"accounts: [{{regions: [{', '.join(regions)}]}}]\n", encoding="utf-8"
    )
    desk.site.simulator.fault = denying("ListImageVersions", region="eu-west-1")
    code, screen = on_terminal(desk.site.config.warehouse, "-q", "sync", columns=60, NO_COLOR="1")
    header, _, *rows = screen.splitlines()
    assert (code, header.split()) == (4, ["scope", "images", "inserted", "deleted"])
    assert [row.split()[0] for row in rows[:3]] == [
        *(f"111122223333/{region}" for region in regions),
        "total",
    ]
    assert rows[3:5] == [
        "The same in every row: updated 0.",
        "Left out for lack of room: calls. --json shows all.",
    ]


def test_remarks_on_stderr_fit_too(desk: Commanded) -> None:
    """What is left out is said in lines that fit the terminal; a token, which is copied, is whole on its line."""
    warehouse, image = desk.site.config.warehouse, desk.site.world.truth()[0].image_name
    screen = on_terminal(warehouse, "list", image, "--max-items", "1", columns=60, NO_COLOR="1")[1]
    told, _, token = screen.partition("next token: ")
    assert "More versions follow: " in told
    assert_fits(told, 60)
    assert re.fullmatch(r"\S+\n", token)
    screen = on_terminal(warehouse, "query", "FROM range(9)", "--max-rows", "1", columns=60, NO_COLOR="1")[1]
    assert "Only the first 1 row is shown" in screen
    assert_fits(screen, 60)


@pytest.mark.parametrize("verb", sorted(VERBS_THERE_ARE))
def test_help_fits_60_columns(verb: str) -> None:
    """No line of a verb's help is longer than 60 characters."""
    command = import_module(VERBS_THERE_ARE[verb][0]).command
    told = command.get_help(click.Context(command, info_name=verb, terminal_width=60))
    assert [line for line in told.splitlines() if len(line) > 60] == []
