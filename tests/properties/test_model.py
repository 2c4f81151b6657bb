"""The model: schedules of changes between calls and around runs, on the real planner, rules, SQL and warehouse."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import get_args
from unittest import mock

import pytest

from image_history.landing.plan import RunPlan
from image_history.landing.runs import LandedRun
from image_history.listing.pages import read_again
from image_history.listing.request import plan_stream
from image_history.listing.verdict import Findings, Step, next_step
from image_history.model import Checkpoint, ListingKind, ListingRequest
from image_history.run import agenda, settle
from image_history.warehouse import loader, warehouse
from image_history.warehouse.statements import statement
from tests.properties.collection import Tokens
from tests.properties.model import figures, quietly
from tests.properties.scenarios import pairs, whole
from tests.properties.schedules import Scenario, Schedule, Tally, drawn, play, shapes

pytestmark = pytest.mark.duckdb

SHAPES = 3
SCHEDULES = 30


def test_model_breaks_no_promise(rng: random.Random, record_property: Callable[[str, object], None]) -> None:
    """Random schedules break no promise: no false deletion, no lost row; `make soak` plays every schedule."""
    total, began = Tally(), time.monotonic()
    with quietly() as folder:
        for group in rng.sample(shapes(pairs()), SHAPES):
            total.add(drawn(group, folder, rng, SCHEDULES))
    record_property("figures", figures(total, time.monotonic() - began))
    assert total.broken == []
    assert total.schedules == SHAPES * SCHEDULES


def test_whole_model_has_every_kind_of_token_and_of_permission() -> None:
    """`make soak` explores the same scenarios for all tokens, with and without Describe."""
    habits = {(each.habits.tokens, each.habits.describes) for group in whole() for each in group}
    assert habits == {(tokens, describes) for tokens in get_args(Tokens) for describes in (True, False)}


def broken(name: str, *schedules: Schedule) -> list[str]:
    """The promises that these schedules of a scenario break."""
    tally = Tally()
    with quietly() as folder:
        for each in play([(named(name), schedule) for schedule in schedules], folder):
            tally.take(each)
    return tally.broken


def named(name: str) -> Scenario:
    """The scenario of that name."""
    return next(scenario for scenario in pairs() if scenario.name == name)


def rest_on_anything(connection: warehouse.Connection, plan: RunPlan) -> bool:
    """A wrong rule that accepts what a run proved in any warehouse."""
    del connection, plan
    return True


def find_all_settled(connection: warehouse.Connection, run: LandedRun) -> tuple[()]:
    """A wrong rule that takes everything for settled that a listing does not contain."""
    del connection, run
    return ()


@pytest.mark.parametrize(
    ("where", "edits", "scenario", "schedule", "finding"),
    [
        pytest.param(
            "load/changed",
            {
                "outrun.accepted_t0 IS NULL OR source.etl_read_at >= outrun.accepted_t0": "TRUE",
                "source.etl_read_at >= target.etl_read_at": "TRUE",
            },
            "full out of order, keyset tokens",
            ((5, ("touch", 2)),),
            "had before the one that is stored",
            id="order-by-proof",
        ),
        pytest.param(
            "load/unfounded",
            {"listed.listing = 'incremental'": "FALSE"},
            "in memory, keyset tokens",
            ((2, ("touch", 1)),),
            "version 2 changed before T0",
            id="start-of-an-incremental-listing",
        ),
        pytest.param(
            "load/known_streams",
            {"coalesce(streams.held_back, 0)": "0"},
            "held back, offset tokens",
            (),
            "is stored as live, and went before T0",
            id="held-back-is-not-accepted",
        ),
        pytest.param(
            "settle/lives",
            {"WHERE missing OR listing = 'full'": "WHERE listing = 'full'"},
            "held back, all gone, offset tokens",
            (),
            "were deleted at once, and nobody had allowed it",
            id="breaker",
        ),
        pytest.param(
            "load/deleted",
            {"proof.proved_at, stored": "proof.t0, stored"},
            "reconcile, offset tokens",
            ((3, ("drop", 0)),),
            "which is told to be between",
            id="upper-end-of-a-deletion",
        ),
        pytest.param(
            "load/deleted",
            {"AND covered.outcome = 'complete'": ""},
            "held back, offset tokens",
            (),
            "which is told to be between",
            id="lower-end-of-a-deletion",
        ),
        pytest.param(
            "settle/missing",
            {"landed_numbers.etl_reading < listed.readings": "FALSE"},
            "first late, offset tokens",
            ((3, ("delete", 1)), (3, ("kill", 0))),
            "version 1 is stored as live, and went before T0",
            id="landed-and-missing",
        ),
        pytest.param(
            "settle/gaps",
            {"present.life_began_at IS NULL OR stored.creation_time >= present.life_began_at": "TRUE"},
            "next life, offset tokens",
            ((5, ("delete", 2)),),
            "version 3 exists since before T0, and is not stored as live",
            id="incarnations",
        ),
        pytest.param(
            "settle/gaps",
            {"streams.unexplained IS DISTINCT FROM 0": "FALSE"},
            "left, keyset tokens",
            ((2, ("kill", 0)),),
            "nothing is known of the numbers [6]",
            id="gaps-over-the-whole-range",
        ),
        pytest.param(
            "load/changed",
            {"source.last_modified_time >= target.last_modified_time": "TRUE"},
            "lagging, keyset tokens",
            ((0, ("lag", 2)),),
            "had before the one that is stored",
            id="lagging-replica",
        ),
    ],
)
def test_model_finds_a_condition_that_is_taken_out(
    where: str, edits: Mapping[str, str], scenario: str, schedule: Schedule, finding: str
) -> None:
    """If a statement lacks a condition, and the check of the warehouse behind a run is off, a promise is broken."""
    text = statement(where)
    for condition, by in edits.items():
        assert condition in text
        text = text.replace(condition, by)
    with (
        mock.patch.object(warehouse, "statement", lambda name: text if name == where else statement(name)),
        mock.patch.object(loader, "rests_on_this", rest_on_anything),
    ):
        (found,) = broken(scenario, schedule)
    assert finding in found


def test_model_finds_an_image_made_again_that_is_not_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the planner ignores an image's CreationTime, versions of the earlier image stay live."""

    def unaware(*arguments: object, created_ms: int | None = None, **options: object) -> object:
        del created_ms
        return plan_stream(*arguments, **options)  # type: ignore[arg-type]  # passed on as they come

    monkeypatch.setattr(agenda, "plan_stream", unaware)
    (found,) = broken("another life, keyset tokens", ())
    assert "of an image that was deleted are stored as live" in found


def never_ask(checkpoint: Checkpoint, findings: Findings, *, may_describe: bool) -> Step:
    """A wrong rule that takes a version for deleted if one listing lacks it."""
    step = next_step(checkpoint, findings, may_describe=may_describe)
    return Step.ACCEPT if step in {Step.DESCRIBE_MISSING, Step.DESCRIBE_ALL, Step.READ_AGAIN} else step


def compare_anything(checkpoint: Checkpoint, request: ListingRequest | None = None) -> Checkpoint:
    """A wrong rule that takes a listing of another request for a second reading."""
    return replace(read_again(checkpoint, request), t0_before_ms=checkpoint.t0_ms)


def read_short_lists_only_once(checkpoint: Checkpoint, findings: Findings, *, may_describe: bool) -> Step:
    """A wrong rule that accepts an incremental listing of several pages after one reading."""
    step = next_step(checkpoint, findings, may_describe=may_describe)
    incremental = checkpoint.request.kind is ListingKind.INCREMENTAL
    return Step.ACCEPT if incremental and step is Step.READ_AGAIN else step


@pytest.mark.parametrize(
    ("where", "rule", "scenario", "schedule", "finding"),
    [
        pytest.param(
            "settle.next_step",
            never_ask,
            "reconcile, offset tokens",
            ((3, ("delete", 1)),),
            "and exists",
            id="never-asks",
        ),
        pytest.param(
            "settle.next_step",
            read_short_lists_only_once,
            "long, offset tokens",
            ((2, ("delete", 5)), (4, ("touch", 3))),
            "version 1 changed before T0",
            id="reads-short-lists-once",
        ),
        pytest.param(
            "settle.read_again",
            compare_anything,
            "longest, offset tokens, Describe denied",
            ((5, ("touch", 6)), (9, ("delete", 2))),
            "and exists",
            id="compares-anything",
        ),
        pytest.param(
            "loader.rests_on_this",
            rest_on_anything,
            "put back under a later life, offset tokens",
            ((1, ("recreate", 1)),),
            "of an image that was deleted are stored as live",
            id="rests-on-anything",
        ),
    ],
)
def test_model_finds_a_wrong_rule(
    where: str, rule: object, scenario: str, schedule: Schedule, finding: str
) -> None:
    """If a rule is made wrong on purpose, a promise is broken: the model detects the faults that it looks for."""
    module, name = where.split(".")
    with (
        mock.patch.object({"settle": settle, "loader": loader}[module], name, rule),
        # This check would find what the wrong rule lets through, so it is off.
        mock.patch.object(loader, "_unsettled", find_all_settled),
    ):
        assert [text for text in broken(scenario, schedule) if finding in text]
