"""The exhaustive model: every schedule of changes between calls, on the real planner and the real rules."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import get_args

import pytest

from image_history.aws.bodies import ImageVersion
from image_history.extract import streams
from image_history.listing.pages import PageRead, read_again
from image_history.listing.verdict import Findings, Step, next_step
from image_history.listing.windows import opened
from image_history.model import Checkpoint, ListingKind, ListingRequest
from image_history.run import settle
from tests.properties.collection import Tokens
from tests.properties.model import figures, tallies
from tests.properties.scenarios import pairs, quick, whole, windows
from tests.properties.schedules import Scenario, Tally, play, started
from tests.properties.store import Landing


def test_model_breaks_no_promise(record_property: Callable[[str, object], None]) -> None:
    """No false deletion, nothing lost or late, watermarks in order, quiet listings at their price."""
    total, began = Tally(), time.monotonic()
    for _, tally in tallies(quick(), processes=1):
        total.add(tally)
    record_property("figures", figures(total, time.monotonic() - began))
    assert total.broken == []
    assert total.late == 0
    assert total.schedules > 5_000


def test_whole_model_has_every_kind_of_token_and_of_permission() -> None:
    """`make soak` explores the same scenarios for all tokens, with and without Describe."""
    habits = {(scenario.habits.tokens, scenario.habits.describes) for scenario in whole()}
    assert habits == {(tokens, describes) for tokens in get_args(Tokens) for describes in (True, False)}


def never_ask(checkpoint: Checkpoint, findings: Findings, *, may_describe: bool) -> Step:
    """A rule that takes what one listing lacks for gone."""
    step = next_step(checkpoint, findings, may_describe=may_describe)
    return Step.ACCEPT if step in {Step.DESCRIBE_ALL, Step.READ_AGAIN} else step


def compare_anything(checkpoint: Checkpoint, request: ListingRequest | None = None) -> Checkpoint:
    """A rule that takes a listing of another request for a second opinion."""
    return replace(read_again(checkpoint, request), t0_before_ms=checkpoint.t0_ms)


def read_short_lists_only_once(checkpoint: Checkpoint, findings: Findings, *, may_describe: bool) -> Step:
    """A rule that believes an incremental listing of several pages."""
    step = next_step(checkpoint, findings, may_describe=may_describe)
    incremental = checkpoint.request.kind is ListingKind.INCREMENTAL
    return Step.ACCEPT if incremental and step is Step.READ_AGAIN else step


@pytest.mark.parametrize(
    ("rule", "scenario", "broken"),
    [
        pytest.param(("next_step", never_ask), "reconcile, offset tokens", "and exists", id="never-asks"),
        pytest.param(
            ("read_again", compare_anything),
            "longest, offset tokens, Describe denied",
            "absent_twice",
            id="compares-anything",
        ),
    ],
)
def test_model_finds_a_wrong_rule(
    monkeypatch: pytest.MonkeyPatch,
    rule: tuple[str, Callable[..., object]],
    scenario: str,
    broken: str,
) -> None:
    """A rule that is made wrong on purpose breaks a promise: the model can see what it looks for."""
    monkeypatch.setattr(settle, *rule)
    assert [text for text in explored(scenario).broken if broken in text]


def test_model_finds_a_change_that_is_seen_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """One reading of a long incremental listing is not enough where tokens count rows."""
    monkeypatch.setattr(settle, "next_step", read_short_lists_only_once)
    assert explored("long, offset tokens").late > 0


def overlook_the_newest(
    checkpoint: Checkpoint, last: Sequence[ImageVersion], newest: Sequence[ImageVersion], *, date_ms: int
) -> PageRead | None:
    """A rule that lets windows end before the end of the list."""
    return opened(checkpoint, last, newest[1:], date_ms=date_ms)


def test_model_finds_windows_that_end_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest version is lost for the next incremental listing, for it may be older than the watermark."""
    monkeypatch.setattr(streams, "opened", overlook_the_newest)
    assert explored("first windows, keyset tokens", depth=1).late > 0


def test_model_finds_windows_that_are_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a deletion lets a window skip is not gone: its union is settled like any listing."""
    monkeypatch.setattr(settle, "next_step", never_ask)
    broken = explored("known windows, offset tokens", depth=1).broken
    assert [text for text in broken if "and exists" in text]


def most_windows(scenario: Scenario) -> int:
    """In how many windows the scenario is read when nothing changes."""
    counts: list[int] = []
    original = Landing.put

    def put(landing: Landing, page: PageRead) -> None:
        counts.append(len(page.checkpoint.windows))
        original(landing, page)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Landing, "put", put)
        play(scenario, started(scenario), ())
    return max(counts)


def test_model_reads_in_windows() -> None:
    """Every scenario of windows has the chain and the end, and between them more where the filter is of use."""
    begun = {scenario.name: most_windows(scenario) for scenario in windows()}
    useless = [name for name in begun if "after paging" in name or "ignored" in name]
    assert {begun[name] for name in useless} == {2}
    assert {count for name, count in begun.items() if name.startswith("three")} == {4}
    assert {count for name, count in begun.items() if name not in useless} == {3, 4}


def explored(name: str, *, depth: int | None = None) -> Tally:
    """What the exploration of a scenario finds, in this process."""
    (scenario,) = [scenario for scenario in pairs() if scenario.name == name]
    chosen = [scenario if depth is None else replace(scenario, depth=depth)]
    return next(tally for _, tally in tallies(chosen, processes=1))
