"""Rows 11 to 15 of the list of faults: malformed responses with a status of success."""

from __future__ import annotations

import logging
import re

import pytest

from image_history.config import Retry
from image_history.simulator import FaultRule, VersionRecord, VirtualClock, World
from tests.behaviour.harness import ServeWorld
from tests.faults.trial import HOUR_MS, LARGE, NOON_MS, Trial

LIST = "ListImageVersions"
ROWS = {
    "row-11": ("html",),
    "row-12": ("cut_json", "empty_body", "empty_object", "null_body", "list_body"),
    "row-13": (
        "null_list",
        "object_list",
        "null_item",
        "missing_member",
        "version_text",
        "version_fraction",
        "version_huge",
        "no_request_id",
    ),
    "row-14": ("invalid_utf8", "time_nan", "time_infinity", "time_milliseconds", "time_true"),
    "row-15": ("arn_bit_flip",),
}


KINDS = tuple(kind for kinds in ROWS.values() for kind in kinds)


def image_of(kind: str) -> str:
    """The image whose list has this kind of fault."""
    return kind.replace("_", "-")


@pytest.fixture
def spoiled(served: ServeWorld) -> Trial:
    """A site with an image of two pages for each kind of malformed response, and one image without faults."""
    world = World(clock=VirtualClock(frozen_at=NOON_MS))
    for kind in (*KINDS, "whole"):
        world.create_image(image_of(kind))
        for number in range(1, 4):
            record = VersionRecord(version=number, creation_ms=number, last_modified_ms=NOON_MS - HOUR_MS)
            world.put_version(image_of(kind), record)
    trial = Trial(served(world))
    trial.set(page_size=2)
    return trial


def test_row_11_12_13_14_15_malformed_once(spoiled: Trial) -> None:
    """If a response is malformed once, the request is repeated and counted as one retry, and the table is right."""
    spoiled.spoil(*(FaultRule(kind=kind, image=image_of(kind), nth=2) for kind in KINDS))
    assert spoiled.sync().code == 0
    assert spoiled.injected() == dict.fromkeys(sorted(KINDS), 1)
    assert spoiled.figures() == (len(KINDS), 0, "complete")
    spoiled.site.assert_true()


def test_row_11_12_13_14_15_malformed_for_ever(spoiled: Trial, caplog: pytest.LogCaptureFixture) -> None:
    """If responses stay malformed, only their images fail, without deletion or new watermark; the id is logged."""
    assert spoiled.sync().code == 0
    spoiled.set(retry=Retry(attempts=1))
    for kind in (*KINDS, "whole"):
        spoiled.site.world.set_status(image_of(kind), 2, "CREATE_FAILED", failure_reason="new")
    # Few enough deletions that the mass-delete breaker does not trip.
    for kind in (*KINDS[:8], "whole"):
        spoiled.site.world.delete_version(image_of(kind), 1)
    before = {row for row in spoiled.site.stored() if row[2] != "whole"}
    spoiled.spoil(*(FaultRule(kind=kind, operation=LIST, image=image_of(kind)) for kind in KINDS))
    with caplog.at_level(logging.WARNING, logger="image_history"):
        came = spoiled.sync(full=True)
    assert (came.code, came.failures) == (4, {image_of(kind): "MalformedResponseError" for kind in KINDS})
    assert before <= spoiled.site.stored()
    assert spoiled.site.ask(
        "SELECT DISTINCT image_name FROM image_versions WHERE etl_deleted_at IS NOT NULL"
    ) == [("whole",)]
    for kind in KINDS:
        spoiled.assert_unmoved(image_of(kind))
    told = [str(vars(record)["reason"]) for record in caplog.records if record.getMessage() == "call_failed"]
    assert len(told) == len(KINDS)
    assert sum("request id none" in reason for reason in told) == 1
    assert all(re.search(r"request id ([0-9a-f-]{36}|none)", reason) for reason in told)
    spoiled.assert_converges()


def test_row_11_captive_portal_deletes_nothing(begun: Trial) -> None:
    """If every response is a captive portal's page, the sync exits with 6 and the warehouse does not change."""
    before = begun.site.stored()
    begun.set(retry=Retry(attempts=2, max_wait=begun.config.retry.max_wait))
    begun.spoil(FaultRule(kind="html"))
    came = begun.sync(full=True)
    assert came.code == 6
    assert "Nothing was read" in came.message
    assert begun.site.stored() == before
    begun.assert_converges()


def test_row_15_arn_that_is_wrong_in_one_bit(trial: Trial) -> None:
    """A row with a damaged ARN is not stored; if a retry returns it again, its image fails and the run is partial."""
    trial.set(retry=Retry(attempts=2, max_wait=trial.config.retry.max_wait))
    trial.spoil(FaultRule(kind="arn_bit_flip", operation=LIST, image=LARGE))
    came = trial.sync()
    assert (came.code, came.failures) == (4, {LARGE: "MalformedResponseError"})
    assert trial.figures()[2] == "partial"
    assert trial.site.ask("SELECT count(*) FROM image_versions WHERE image_name = 'large'") == [(0,)]
    assert "image-version/marge/1" in trial.site.ask("SELECT max(error_message) FROM coverage")[0][0]  # type: ignore[operator]  # a text
    trial.assert_converges()
