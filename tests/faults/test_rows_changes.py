"""Rows 25 to 32 and 50 of the list of faults: the world changes during a listing, or the listing shows it late."""

from __future__ import annotations

import json

import boto3
import pytest

from image_history.simulator import Behaviour, FaultRule, Script, VersionRecord
from tests.behaviour.harness import true_rows
from tests.faults.trial import HOUR_MS, LARGE, NOON_MS, Trial

LIST = "ListImageVersions"
TOKENS = ("keyset", "offset")


def meanwhile(trial: Trial, *actions: dict[str, object], after: int = 1, operation: str = LIST) -> None:
    """Change the world right after a number of responses for the large image, or of another operation."""
    image = LARGE if operation == LIST else None
    steps = [
        {"after_requests": after, "operation": operation, "image": image, "action": action}
        for action in actions
    ]
    trial.site.simulator.play(Script.parse(json.dumps(steps).encode()))


def touched(version: int) -> dict[str, object]:
    """An action that updates a version of the large image."""
    return {"do": "update_version", "image": LARGE, "version": version}


def paged(trial: Trial, tokens: str) -> None:
    """Set the kind of AWS's tokens, and advance its clock, so that a change is newer than all earlier ones."""
    trial.site.simulator.behaviour = Behaviour(tokens=tokens)  # type: ignore[arg-type]  # a choice
    trial.site.simulator.clock.advance(HOUR_MS)


@pytest.mark.parametrize("tokens", TOKENS)
@pytest.mark.parametrize("full", [True, False], ids=["by-version", "newest-first"])
def test_row_25_versions_touched_while_they_are_read(begun: Trial, tokens: str, full: bool) -> None:
    """Versions that are updated behind the cursor, ahead of it, or twice are all current after the next run."""
    paged(begun, tokens)
    for number in range(90, 250):
        begun.site.world.update_version(LARGE, number)
    begun.site.simulator.clock.advance(HOUR_MS)
    meanwhile(begun, touched(3), touched(249), touched(120), {"do": "advance_clock", "milliseconds": 1000})
    meanwhile(begun, touched(120), after=2)
    assert begun.sync(full=full).code == 0
    begun.site.simulator.clock.advance(HOUR_MS)
    assert begun.sync().code == 0
    begun.site.assert_true()
    begun.assert_nothing_falsely_deleted()


@pytest.mark.parametrize("tokens", TOKENS)
def test_row_26_version_created_while_its_image_is_read(trial: Trial, tokens: str) -> None:
    """A version that is created during a run is stored by that run or the next."""
    paged(trial, tokens)
    meanwhile(trial, {"do": "create_version", "image": LARGE, "count": 2})
    assert trial.sync().code == 0
    trial.site.simulator.clock.advance(HOUR_MS)
    assert trial.sync().code == 0
    trial.site.assert_true()


@pytest.mark.parametrize(
    ("tokens", "versions"),
    [
        pytest.param("offset", (3, 50), id="behind"),
        pytest.param("offset", (150, 250), id="ahead"),
        pytest.param("keyset", (3, 250), id="both"),
    ],
)
def test_row_27_versions_deleted_while_their_image_is_read(
    begun: Trial, tokens: str, versions: tuple[int, int]
) -> None:
    """If versions are deleted on either side of the cursor, no other version is marked as deleted."""
    paged(begun, tokens)
    meanwhile(begun, *({"do": "delete_version", "image": LARGE, "version": version} for version in versions))
    assert begun.sync(full=True).code == 0
    begun.assert_nothing_falsely_deleted()
    begun.assert_converges()


def test_row_29_deleted_version_that_the_list_still_shows(begun: Trial) -> None:
    """A version that Describe no longer finds but the list still shows is kept until the list omits it."""
    begun.site.simulator.clock.advance(HOUR_MS)
    begun.site.world.delete_version("beta", 2)
    begun.site.world.delete_version("beta", 5)
    begun.spoil(FaultRule(kind="list_lag", operation=LIST, seconds=60))
    came = begun.sync(full=True)
    assert (came.code, begun.injected()["list_lag"] > 0) == (0, True)
    assert ("beta", 2) in {row[2:4] for row in begun.site.stored()}
    begun.site.simulator.faults = ()
    came = begun.sync(full=True)
    assert came.report is not None
    assert came.report.rows.deleted == 2
    begun.site.assert_true()


def test_row_30_image_deleted_between_its_list_and_its_versions(begun: Trial) -> None:
    """An image that is deleted right after it was listed is looked up, marked as deleted, and fails no run."""
    begun.site.simulator.clock.advance(HOUR_MS)
    meanwhile(begun, {"do": "delete_image", "image": "beta"}, operation="ListImages")
    came = begun.sync()
    assert came.code == 0
    assert begun.site.calls("DescribeImage") == 1
    assert begun.site.ask(
        "SELECT version, etl_delete_evidence FROM image_versions WHERE etl_deleted_at IS NOT NULL ORDER BY ALL"
    ) == [(version, "image_not_found") for version in range(1, 6)]
    begun.site.assert_true()


def paginated(image: str) -> set[tuple[object, ...]]:
    """The versions that boto3's paginator returns, with times in milliseconds."""
    pages = boto3.client("sagemaker").get_paginator("list_image_versions").paginate(ImageName=image)
    return {
        (
            image,
            row["Version"],
            row["ImageVersionStatus"],
            round(row["CreationTime"].timestamp() * 1000),
            round(row["LastModifiedTime"].timestamp() * 1000),
        )
        for page in pages
        for row in page["ImageVersions"]
    }


def test_row_50_three_readers_agree(trial: Trial) -> None:
    """The warehouse, boto3's paginator and the simulator's truth have the same rows."""
    trial.site.world.put_version(
        "Alpha",
        VersionRecord(version=9, creation_ms=NOON_MS - 1, last_modified_ms=NOON_MS, status="CREATING"),
    )
    assert trial.sync().code == 0
    stored = trial.site.stored()
    assert stored == true_rows(trial.site.world)
    narrowed = {(*row[2:4], row[6], *row[8:10]) for row in stored}
    assert set().union(*(paginated(str(name)) for name in {row[2] for row in stored})) == narrowed
