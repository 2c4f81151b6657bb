"""The verb diff: what the warehouse learned between two instants, over all images."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from image_history.simulator import VersionRecord
from tests.behaviour.telling import DAY_MS, HOUR_MS, MINUTE_MS, NOON_MS, TellWorld, Told, telling
from tests.behaviour.test_query_terminal import COLOUR, assert_fits, on_terminal
from tests.behaviour.test_true_history import waiting

__all__ = ["telling"]

pytestmark = pytest.mark.duckdb

KEY = ("account_id", "region", "image_name", "version")
STATE = (
    "creation_time, last_modified_time, image_version_status, failure_reason, image_arn, image_version_arn"
)

OLD = """
SELECT image_name, version FROM image_version_events
WHERE epoch_ms(etl_valid_from) < {0} AND epoch_ms(etl_observed_at) > {0} ORDER BY ALL
"""


def at(milliseconds: int) -> str:
    """An instant in the form that the command line takes."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")


def names(told: Told) -> list[str]:
    """The images, sorted."""
    return sorted({row.image_name for row in told.site.world.truth()})


@pytest.fixture
def changed(telling: TellWorld) -> Told:
    """A site whose three images changed in many ways after its first sync at noon."""
    return telling.once("diff", lambda: change(telling))


def change(telling: TellWorld) -> Told:
    """Three syncs, with many changes in between."""
    told = telling(images=3, versions=4)
    told.site.sync()
    one, two, three = names(told)
    world = told.site.world
    told.clock.advance(DAY_MS)
    world.create_version(one)
    world.create_version(one)
    world.set_status(one, 1, "CREATE_FAILED", failure_reason="no base image")
    world.delete_version(two, 2)
    world.delete_image(three)
    world.create_image(three)
    world.create_version(three)
    told.site.sync()
    told.clock.advance(HOUR_MS)
    world.delete_version(one, 5)
    told.site.sync()
    told.clock.advance(MINUTE_MS)
    return told


def test_diff_counts_what_changed_in_each_image(changed: Told) -> None:
    """`diff` prints counts for each image, and a total; a version that was created and deleted since is transient."""
    one, two, three = names(changed)
    answered = changed("diff", "--since", at(NOON_MS + 2))
    assert (answered.code, answered.err) == (0, "")
    assert answered.lines[0] == (
        "Learned after 2026-09-21 14:13:20 and up to 2026-09-22 15:14:20 UTC, in 2 runs."
    )
    assert answered.lines[2] == "111122223333/us-east-1"
    assert [line.split() for line in answered.lines[3:]] == [
        ["image", "created", "modified", "deleted", "recreated", "transient"],
        [one, "1", "1", "1"],
        [two, "1"],
        [three, "3", "1"],
        ["total", "1", "1", "4", "1", "1"],
    ]
    rows = {row["image_name"]: row for row in changed.rows("diff", "--since", at(NOON_MS + 2))}
    kinds = ("created", "modified", "deleted", "recreated", "reappeared", "transient", "events")
    assert [rows[one][kind] for kind in kinds] == [1, 1, 0, 0, 0, 1, 4]
    assert [rows[three][kind] for kind in kinds] == [0, 0, 3, 1, 0, 0, 4]


def test_diff_details_say_what_became_of_each_version(changed: Told) -> None:
    """`diff --details` has a row for each version, with its status before and after, and the change in words."""
    one, two, three = names(changed)
    rows = changed.rows("diff", "--since", at(NOON_MS + 2), "--details")
    assert [
        (row["image_name"], row["version"], row["change"], row["status_before"], row["status_after"])
        for row in rows
    ] == [
        (one, 1, "modified", "CREATED", "CREATE_FAILED"),
        (one, 5, "transient", None, None),
        (one, 6, "created", None, "CREATED"),
        (two, 2, "deleted", "CREATED", None),
        (three, 1, "recreated", "CREATED", "CREATED"),
        *((three, number, "deleted", "CREATED", None) for number in (2, 3, 4)),
    ]
    assert rows[0]["description"] == "CREATED -> CREATE_FAILED: no base image"
    assert [change["name"] for change in rows[0]["changes"]] == [
        "image_version_status",
        "failure_reason",
        "last_modified_time",
    ]
    lines = [line.split() for line in changed("diff", "--since", at(NOON_MS + 2), "--details").lines]
    assert [one, "5", "transient:", "came", "and", "went", "again"] in lines


def test_diff_knows_what_came_back(telling: TellWorld) -> None:
    """A version that was deleted before --since, and is listed again after it, has reappeared."""
    told = telling(images=1, versions=3)
    told.site.sync()
    row = told.site.world.truth()[1]
    told.site.world.delete_version(row.image_name, 2)
    told.clock.advance(HOUR_MS)
    told.site.sync()
    began = told.clock.now_ms() + 2
    told.site.world.put_version(
        row.image_name,
        VersionRecord(
            version=2,
            creation_ms=row.creation_ms,
            last_modified_ms=row.last_modified_ms,
            status=row.status,
            failure_reason=row.failure_reason,
        ),
    )
    told.clock.advance(HOUR_MS)
    told.site.sync()
    (found,) = told.rows("diff", "--since", at(began), "--details")
    assert (found["version"], found["change"], found["status_before"]) == (2, "reappeared", None)


def test_diff_is_the_step_from_one_knowledge_to_another(telling: TellWorld, rng: random.Random) -> None:
    """For any two instants, the versions known at the first, changed by the diff, are those known at the second."""
    told = telling(images=3, versions=5)
    world = told.site.world
    instants = [NOON_MS - 1]
    for _ in range(6):
        told.site.sync()
        instants.append(told.clock.now_ms() + rng.randint(2, HOUR_MS))
        told.clock.advance(2 * HOUR_MS)
        for _ in range(6):
            name, version = rng.choice(names(told)), rng.randint(1, 7)
            there = {(row.image_name, row.version) for row in world.truth()}
            if (name, version) not in there:
                world.create_version(name)
            elif rng.random() < 0.4:
                world.delete_version(name, version)
            else:
                world.set_status(name, version, rng.choice(["CREATED", "CREATING", "DELETE_FAILED"]))
    known = {
        instant: {
            row[:4]: row[4:]
            for row in told.site.ask(
                f"SELECT {', '.join(KEY)}, {STATE} FROM image_versions_known_at('{at(instant)}')"
            )
        }
        for instant in instants
    }
    for _ in range(8):
        since, until = sorted(rng.sample(instants, 2))
        rows = told.rows("diff", "--since", at(since), "--until", at(until), "--details")
        kinds = {tuple(row[name] for name in KEY): row["change"] for row in rows}
        before, after = known[since], known[until]
        assert {key for key in after if key not in before} == {
            key
            for key, kind in kinds.items()
            if kind in {"created", "reappeared"} or (kind == "recreated" and key not in before)
        }
        assert {key for key in before if key not in after} == {
            key for key, kind in kinds.items() if kind == "deleted"
        }
        assert {key for key in before if key in after and before[key] != after[key]} == {
            key
            for key, kind in kinds.items()
            if kind == "modified" or (kind == "recreated" and key in before)
        }
        counted = told.rows("diff", "--since", at(since), "--until", at(until))
        for kind in ("created", "modified", "deleted", "recreated", "reappeared", "transient"):
            assert sum(row[kind] for row in counted) == list(kinds.values()).count(kind)


def test_diff_of_a_time_that_has_passed_never_changes(changed: Told) -> None:
    """A diff up to an instant in the past stays the same after later syncs, also if they learn of older changes.

    Some of the changes were made at AWS before that instant, and one of their runs read them before it too.
    """
    one, two, three = names(changed)
    world = changed.site.world
    world.create_version(one)
    world.set_status(two, 1, "CREATE_FAILED", failure_reason="too old")
    world.delete_version(two, 3)
    changed.clock.advance(MINUTE_MS)
    waiting(changed.site)
    changed.clock.advance(MINUTE_MS)
    ended = changed.clock.now_ms()
    asked = ("diff", "--since", at(NOON_MS + 2), "--until", at(ended), "--details")
    changed.clock.advance(HOUR_MS)
    first = changed.rows(*asked)
    world.create_version(three)
    world.delete_version(one, 6)
    changed.site.sync()
    changed.clock.advance(MINUTE_MS)
    assert changed.rows(*asked) == first
    learned = changed.rows("diff", "--since", at(ended), "--details")
    assert [(row["image_name"], row["version"], row["change"]) for row in learned] == [
        (one, 6, "deleted"),
        (one, 7, "created"),
        (two, 1, "modified"),
        (two, 3, "deleted"),
        (three, 2, "recreated"),
    ]
    # These were true at AWS before the end of the first diff.
    assert changed.site.ask(OLD.format(ended)) == [(one, 7), (two, 1), (two, 3)]


def test_diff_since_a_duration_goes_by_the_clock(changed: Told) -> None:
    """A duration counts back from now; if no run is in that time, diff prints that nothing changed."""
    rows = changed.rows("diff", "--since", "30m")
    assert [(row["created"], row["deleted"]) for row in rows] == [(0, 1)]
    changed.clock.advance(DAY_MS)
    answered = changed("diff", "--since", "12h")
    assert answered.lines == [
        "Learned after 2026-09-23 03:14:20 and up to 2026-09-23 15:14:20 UTC, in 0 runs.",
        "Nothing changed.",
    ]
    assert changed.rows("diff", "--since", "12h") == []


def test_diff_from_before_the_first_run_says_that_all_is_new(telling: TellWorld) -> None:
    """If --since is before the first run, diff says that nothing was known then."""
    told = telling(images=3, versions=4)
    told.site.sync()
    told.clock.advance(HOUR_MS)
    answered = told("diff", "--since", "7d")
    assert "in 1 run. Nothing was known before the first run, 2026-09-21 14:13:20" in answered.lines[0]
    assert answered.lines[-1].split() == ["total", "12", "0", "0"]


def test_diff_of_a_time_before_the_first_run_says_that_nothing_was_known(telling: TellWorld) -> None:
    """If --until is before the first run too, nothing is called new or unchanged."""
    told = telling(images=1, versions=1)
    told.site.sync()
    told.clock.advance(HOUR_MS)
    answered = told("diff", "--since", "2026-01-01", "--until", "2026-01-02")
    (line,) = answered.lines
    assert line.startswith("Nothing was known between 2026-01-01 00:00:00 and 2026-01-02 00:00:00 UTC: ")
    assert line.endswith("the first run ended later, 2026-09-21 14:13:20.")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(["--since", "3651d"], "'3651d' is longer than ten years; the longest", id="too-long"),
        pytest.param(["--since", "1m2d"], "'1m2d' is not a duration; write whole numbers", id="order"),
        pytest.param(["--since", "0001-01-01T00:00+02:00"], "outside the years 1 to 9999", id="year-0"),
        pytest.param(["--since", "9999-12-31T23:59-02:00"], "outside the years 1 to 9999", id="year-10000"),
        pytest.param(["--since", "soon"], "'soon' is no instant: write 2026-01-31", id="no-instant"),
        pytest.param(["--since", "2026-13-01"], "'2026-13-01' is no instant", id="no-date"),
        pytest.param(["--since", "2027-01-01"], "must be before now (2026-09-21 14:13:20 UTC)", id="future"),
        pytest.param(["--since", "1d", "--until", "2d"], "must be before --until", id="reversed"),
        pytest.param([], "--since", id="missing"),
    ],
)
def test_diff_refuses_a_time_that_is_none(telling: TellWorld, arguments: list[str], sentence: str) -> None:
    """`diff` exits with 2 and says what is wrong with the time."""
    answered = telling(images=1, versions=1)("diff", *arguments)
    assert (answered.code, answered.out) == (2, "")
    assert sentence in answered.err


def test_diff_takes_an_instant_in_any_zone(telling: TellWorld) -> None:
    """An offset is respected, an instant without an offset is in UTC, and fractions of a second count."""
    told = telling(images=1, versions=1)
    told.site.sync()
    told.clock.advance(HOUR_MS)
    for text in ("2026-09-21T16:13:19.999+02:00", "2026-09-21T14:13:19.999", "2026-09-21 14:13:19.999Z"):
        assert len(told.rows("diff", "--since", text)) == 1, text
    assert told.rows("diff", "--since", "2026-09-21T14:13:20.000Z") == []


def test_diff_fits_a_terminal_and_keeps_scopes_apart(telling: TellWorld) -> None:
    """Each region has its own table; only the counts have one total; no line is wider than 80 columns."""
    told = telling(images=3, versions=4, regions=2)
    (told.site.folder / "config.yaml").write_text("accounts: [{regions: [us-east-1, eu-west-1]}]\n")
    assert told("sync").code == 0
    for extra in ([], ["--details"]):
        code, screen = on_terminal(told.site.config.warehouse, "diff", "--since", "2026-01-01", *extra)
        assert code == 0
        assert_fits(screen, 80)
        lines = [line.strip() for line in COLOUR.sub("", screen).splitlines()]
        assert "111122223333/eu-west-1" in lines
        assert "111122223333/us-east-1" in lines
        assert ("all scopes" in lines) is not bool(extra)
