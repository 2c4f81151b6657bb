"""The command `log`: what happened to one image, in words, the newest first."""

from __future__ import annotations

import csv
import io
import json
import random

import duckdb
import pytest

from image_history.simulator import Rules, VersionRecord
from image_history.warehouse.warehouse import WarehouseFile
from tests.behaviour.asking import HOSTILE
from tests.behaviour.telling import HOUR_MS, IMAGE, MINUTE_MS, NOON_MS, TellWorld, Told, telling
from tests.behaviour.test_query_terminal import COLOUR, assert_fits, on_terminal

__all__ = ["telling"]

pytestmark = pytest.mark.duckdb

HEADER = "when (UTC)           version  what happened"


@pytest.fixture
def told(telling: TellWorld) -> Told:
    """A site with one image that has no version."""
    return telling.once("log", lambda: begun(telling))


@pytest.fixture
def lived(telling: TellWorld) -> Told:
    """The same site after the changes of `live`."""

    def make() -> Told:
        told = begun(telling)
        live(told)
        return told

    return telling.once("log-lived", make)


def begun(telling: TellWorld) -> Told:
    """Make a site with one image without versions, and sync it."""
    told = telling()
    told.site.world.create_image(IMAGE)
    told.site.sync()
    return told


def pass_hour(told: Told) -> None:
    """Let an hour pass, and sync."""
    told.clock.advance(HOUR_MS)
    told.site.sync()


def live(told: Told) -> None:
    """Create versions 1 to 3; change the status of 1 and 2, touch 1, and delete 3."""
    world = told.site.world
    for _ in range(3):
        world.create_version(IMAGE)
    told.site.sync()
    world.set_status(IMAGE, 1, "CREATING")
    pass_hour(told)
    world.set_status(IMAGE, 1, "CREATED")
    pass_hour(told)
    world.set_status(IMAGE, 2, "CREATE_FAILED", failure_reason="no base image")
    pass_hour(told)
    world.set_status(IMAGE, 2, "CREATE_FAILED", failure_reason="no disk")
    pass_hour(told)
    world.update_version(IMAGE, 1)
    world.delete_version(IMAGE, 3)
    pass_hour(told)


def test_log_tells_the_life_of_versions_in_words(lived: Told) -> None:
    """The log has creations, each status with AWS's reason, a touch, and a deletion with its interval and proof."""
    answered = lived("log", IMAGE)
    assert (answered.code, answered.err) == (0, "")
    assert answered.lines == [
        f"111122223333/us-east-1/{IMAGE} (CREATED): 2 live versions, 1 deleted",
        HEADER,
        (
            "2026-09-21 19:13:21        3  deleted between 2026-09-21 18:13:19 and 2026-09-21 19:13:21, "
            "proved: DescribeImageVersion does not find it"
        ),
        "2026-09-21 18:13:20        1  touched: last_modified_time 2026-09-21 15:13:20 -> 2026-09-21 18:13:20",
        "2026-09-21 17:13:20        2  failure_reason: no base image -> no disk",
        "2026-09-21 16:13:20        2  CREATED -> CREATE_FAILED: no base image",
        "2026-09-21 15:13:20        1  CREATING -> CREATED",
        "2026-09-21 14:13:20        1  CREATED -> CREATING",
        "2026-09-21 14:13:20        3  created",
        "2026-09-21 14:13:20        2  created",
        "2026-09-21 14:13:20        1  created",
    ]


def test_log_tells_what_was_made_again_and_what_came_back(told: Told) -> None:
    """A recreated version, and a deleted version that is listed again, are described as such."""
    world = told.site.world
    world.create_version(IMAGE)
    told.site.sync()
    told.clock.advance(HOUR_MS)
    world.delete_image(IMAGE)
    world.create_image(IMAGE)
    world.create_version(IMAGE)
    told.site.sync()
    record = next(row for row in world.truth())
    told.clock.advance(HOUR_MS)
    world.delete_version(IMAGE, 1)
    told.site.sync()
    again = VersionRecord(
        version=1,
        creation_ms=record.creation_ms,
        last_modified_ms=record.last_modified_ms,
        status="DELETE_FAILED",
        failure_reason="in use",
    )
    world.put_version(IMAGE, again)
    told.site.sync()
    descriptions = [row["description"] for row in told.rows("log", IMAGE)]
    assert descriptions[0] == "listed again, though it had been marked deleted, DELETE_FAILED: in use"
    assert descriptions[1].startswith("deleted between ")
    assert descriptions[2:] == ["created anew under a number that was used before", "created"]


def test_log_of_a_deleted_image_says_so(telling: TellWorld) -> None:
    """The heading says since when the image is gone, and the versions' deletions have that as their proof."""
    told = telling(images=3, versions=4)
    told.site.sync()
    name = told.site.world.truth()[0].image_name
    told.site.world.delete_image(name)
    pass_hour(told)
    answered = told("log", name)
    assert "(deleted, gone since 2026-09-21 15:13:21): 0 live versions, 4 deleted" in answered.lines[0]
    assert answered.out.count("proved: the whole image is gone") == 4


def test_log_of_a_recreated_image_says_how_the_earlier_versions_ended(telling: TellWorld) -> None:
    """The versions of the earlier image are deleted, because they are older than the image."""
    told = telling(images=3, versions=4)
    told.site.sync()
    pass_hour(told)
    name = told.site.world.truth()[0].image_name
    told.site.world.delete_image(name)
    told.site.world.create_image(name)
    told.site.world.create_version(name)
    pass_hour(told)
    out = told("log", name).out
    assert "image_recreated" not in out
    assert out.count("proved: it is older than its image, which was recreated") == 3


def test_log_of_one_version_has_its_events_only(lived: Told) -> None:
    """--version prints only that version's events; --limit prints the newest events, and says that there are more."""
    assert {row["version"] for row in lived.rows("log", IMAGE, "--version", "2")} == {2}
    assert len(lived.rows("log", IMAGE, "--version", "2")) == 3
    answered = lived("log", IMAGE, "--limit", "2")
    assert len(answered.lines) == 4
    assert answered.err == "Only the newest 2 events are shown: more with --limit.\n"
    assert lived("log", IMAGE, "--limit", "9").err == ""


def test_log_shows_a_hundred_events_to_people_and_all_to_programs(telling: TellWorld) -> None:
    """A table ends after 100 events, and says so; JSON Lines have every event."""
    told = telling(images=1, versions=0, largest=130)
    told.site.sync()
    name = told.site.world.truth()[0].image_name
    answered = told("log", name)
    assert len(answered.lines) == 102
    assert "newest 100 events" in answered.err
    assert len(told("log", name, "--format", "jsonl").lines) == 130


def test_log_says_when_it_was_learned_if_that_was_late(told: Told) -> None:
    """A change that was loaded more than an hour after it happened has the time of the load; others do not."""
    told.site.world.create_version(IMAGE)
    told.clock.advance(HOUR_MS + MINUTE_MS)
    told.site.sync()
    assert told("log", IMAGE).lines[-1].endswith("  created (learned 2026-09-21 15:14:20)")
    told.site.world.create_version(IMAGE)
    told.clock.advance(MINUTE_MS)
    told.site.sync()
    assert told("log", IMAGE).lines[2].endswith("  created")


def test_log_tells_equal_names_apart(telling: TellWorld) -> None:
    """Images of one name in two regions are printed one after the other; --region and --account choose."""
    told = telling(regions=["us-east-1", "eu-west-1"])
    for number, region in enumerate(("us-east-1", "eu-west-1"), 1):
        told.site.world.create_image(IMAGE, scope=("111122223333", region))
        for _ in range(number):
            told.site.world.create_version(IMAGE, scope=("111122223333", region))
    (told.site.folder / "config.yaml").write_text("accounts: [{regions: [us-east-1, eu-west-1]}]\n")
    assert told("sync").code == 0
    lines = told("log", IMAGE).lines
    assert [line for line in lines if "/" in line] == [
        f"111122223333/eu-west-1/{IMAGE} (CREATED): 2 live versions",
        f"111122223333/us-east-1/{IMAGE} (CREATED): 1 live version",
    ]
    assert lines.count(HEADER) == 2
    assert {row["region"] for row in told.rows("log", IMAGE, "--region", "eu-west-1")} == {"eu-west-1"}
    assert len(told.rows("log", IMAGE, "--account", "111122223333")) == 3
    answered = told("log", IMAGE, "--region", "us-west-2")
    assert answered.code == 2
    assert "in 111122223333/eu-west-1, 111122223333/us-east-1 only" in answered.err


def test_log_of_an_unknown_image_names_the_nearest(told: Told) -> None:
    """With a misspelt name, or one in another case, `log` exits with 2 and names the nearest image."""
    for slip in (IMAGE.upper(), "churn-trainig"):
        answered = told("log", slip)
        assert (answered.code, answered.out) == (2, "")
        assert f"knows no image {slip}; the nearest: {IMAGE}." in answered.err


def test_log_of_an_empty_warehouse_says_to_sync(told: Told) -> None:
    """If the warehouse knows no image, `log` of one exits with 2 and says to run a sync."""
    empty = told.site.folder / "empty.duckdb"
    with WarehouseFile(empty).writing():
        pass
    answered = told("--warehouse", str(empty), "log", IMAGE)
    assert (answered.code, answered.out) == (2, "")
    assert f"knows no image {IMAGE}; it knows none; run image-history sync first." in answered.err


def test_log_of_a_warehouse_without_the_view_says_what_to_do(told: Told) -> None:
    """If the view is missing, as in an old warehouse, `log` says to run a sync, and a sync creates the view."""
    with duckdb.connect(told.site.config.warehouse) as connection:
        connection.execute("DROP VIEW image_timeline")
        connection.execute("DELETE FROM schema_objects")
    answered = told("log", IMAGE)
    assert (answered.code, answered.out) == (2, "")
    assert "run image-history sync: that brings its views up to date." in answered.err
    told.site.sync()
    assert told("log", IMAGE).code == 0


def test_log_of_an_unknown_version_says_what_is_there(told: Told) -> None:
    """An unknown version is explained: no versions at all, above the highest, or proved absent."""
    assert "it has none at all" in told("log", IMAGE, "--version", "1").err
    assert told("log", IMAGE).lines == [f"111122223333/us-east-1/{IMAGE} (CREATED): 0 live versions"]
    told.site.world.create_version(IMAGE)
    told.site.sync()
    told.site.world.create_version(IMAGE)
    told.site.world.create_version(IMAGE)
    told.site.world.delete_version(IMAGE, 2)
    told.site.world.clock.advance(60_000)
    told.site.sync()
    assert "no version 9 of churn-training; the highest is 3" in told("log", IMAGE, "--version", "9").err
    answered = told("log", IMAGE, "--version", "2")
    assert answered.code == 2
    assert "proved absent (single_page, 2026-09-21 14:14:21 UTC)" in answered.err


def test_log_is_the_same_in_every_format(lived: Told) -> None:
    """All formats have the same events; JSON has each changed column's value before and after."""
    rows = lived.rows("log", IMAGE)
    assert rows[3]["changes"] == [
        {"name": "image_version_status", "before": "CREATED", "after": "CREATE_FAILED"},
        {"name": "failure_reason", "before": None, "after": "no base image"},
        {
            "name": "last_modified_time",
            "before": "2026-09-21T14:13:20.000Z",
            "after": "2026-09-21T16:13:20.000Z",
        },
    ]
    assert [json.loads(line) for line in lived("log", IMAGE, "--format", "jsonl").lines] == rows
    table = csv.DictReader(io.StringIO(lived("log", IMAGE, "--format", "csv").out, newline=""))
    assert [row["description"] for row in table] == [row["description"] for row in rows]
    assert len(lived("log", IMAGE, "--format", "markdown").lines) == len(rows) + 2


def test_timeline_has_every_event_once_with_the_columns_that_changed(
    telling: TellWorld, rng: random.Random
) -> None:
    """After random changes, the view has one row for each event, with the columns that the load recorded."""
    told = telling(images=3, versions=6)
    world = told.site.world
    names = sorted({row.image_name for row in world.truth()})
    for _ in range(6):
        told.site.sync()
        told.clock.advance(HOUR_MS)
        for _ in range(8):
            name, version = rng.choice(names), rng.randint(1, 6)
            there = {(row.image_name, row.version) for row in world.truth()}
            if (name, version) not in there:
                world.create_version(name)
            elif rng.random() < 0.2:
                world.delete_version(name, version)
            else:
                status = rng.choice(["CREATED", "CREATE_FAILED", "CREATING"])
                world.set_status(name, version, status, failure_reason=rng.choice([None, "no disk", HOSTILE]))
    told.site.sync(full=True)
    key = "account_id, region, image_name, version"
    assert told.site.ask(f"SELECT {key}, learned_at FROM image_timeline ORDER BY ALL") == told.site.ask(
        f"SELECT {key}, etl_observed_at FROM image_version_events ORDER BY ALL"
    )
    assert (
        told.site.ask(
            f"""SELECT {key}, description, changes, etl_changed_columns FROM image_timeline
            JOIN image_version_events AS events USING ({key})
            WHERE learned_at = etl_observed_at AND (
                list_sort(list_transform(changes, lambda one: one.name)) <> etl_changed_columns
                OR coalesce(description, '') = ''
            )"""
        )
        == []
    )


@pytest.mark.parametrize("columns", [72, 80, 120])
def test_log_fits_a_terminal_and_obeys_no_reason(told: Told, columns: int) -> None:
    """Long reasons are wrapped beside their time and version; control characters in a reason have no effect."""
    told.site.world.create_version(IMAGE)
    told.site.sync()
    told.site.world.set_status(IMAGE, 1, "CREATE_FAILED", failure_reason=HOSTILE * 3)
    pass_hour(told)
    code, screen = on_terminal(told.site.config.warehouse, "log", IMAGE, columns=columns)
    assert code == 0
    assert_fits(screen, columns)
    heading, header, _, *lines = COLOUR.sub("", screen).splitlines()
    assert heading.startswith(f"111122223333/us-east-1/{IMAGE}")
    assert header.split() == ["when", "(UTC)", "version", "what", "happened"]
    assert lines[0].startswith("2026-09-21 14:13        1  CREATED -> CREATE_FAILED:")
    assert lines[-1].split() == ["2026-09-21", "14:13", "1", "created"]
    assert all(line.startswith(" " * 27) for line in lines[1:-1])
    told_reason = "".join("".join(line[27:].split()) for line in lines[:-1])
    assert told_reason.count("<b>line</b>") == 3


def test_log_of_a_passing_status_names_it(telling: TellWorld) -> None:
    """A version that is first seen as CREATING is logged with that status, then with its change to CREATED."""
    told = telling()
    told.site.world.rules = Rules(create_ms=2 * HOUR_MS)
    told.site.world.create_image(IMAGE)
    told.clock.advance(3 * HOUR_MS)
    told.site.world.create_version(IMAGE)
    told.site.sync()
    told.clock.advance(3 * HOUR_MS)
    told.site.sync()
    assert [row["description"] for row in told.rows("log", IMAGE)] == [
        "CREATING -> CREATED",
        "created, CREATING",
    ]
    assert told.rows("log", IMAGE)[0]["happened_at"] > "2026-09-21"
    assert told.clock.now_ms() == NOON_MS + 6 * HOUR_MS


@pytest.mark.parametrize(
    ("option", "value"),
    [("--version", "3"), ("--account", "111122223333"), ("--region", "x"), ("--limit", "1")],
)
def test_option_about_one_image_needs_an_image(told: Told, option: str, value: str) -> None:
    """Without an image, `log` refuses the options that only narrow the history of one image."""
    answered = told("log", option, value)
    assert (answered.code, answered.out) == (2, "")
    assert f"{option} is about the history of one image: name the image, or leave it out." in answered.err


@pytest.mark.parametrize("text", ["x", "-1"])
def test_log_refuses_what_is_no_version(told: Told, text: str) -> None:
    """A version that is no whole number is refused in the words of the option."""
    answered = told("log", IMAGE, "--version", text)
    assert answered.code == 2
    assert f"'{text}' is no version number; name a whole number" in " ".join(answered.err.split())
