"""Rows 16 to 24 of the list of faults: pages, tokens and filters that behave in unexpected ways."""

from __future__ import annotations

import pytest

from image_history.errors import ListingUnstableError
from image_history.extract.calls import Pace, ScopeCalls
from image_history.extract.discovery import discover
from image_history.extract.pace import Pacer
from image_history.extract.retry import RetryPolicy
from image_history.landing.runs import Landing
from image_history.listing.pages import PageRead, begin
from image_history.listing.request import ImageFilter
from image_history.model import ListingKind, ListingRequest, Outcome, PlannedStream, Scope, Stop, Stream
from image_history.simulator import Behaviour, FaultRule, VersionRecord
from tests.behaviour.harness import ServeWorld
from tests.behaviour.scripted import Reply, Request, answer, item
from tests.behaviour.stage import Waits, staged, unpaced_calls
from tests.faults.trial import HOUR_MS, LARGE, NOON_MS, Trial, world
from tests.unit.fakes import read_scopes

LIST = "ListImageVersions"
SCOPE = Scope("111122223333", "us-east-1")
STREAM = PlannedStream(Stream(SCOPE, "base"), ListingRequest(ListingKind.FULL, 100))


def emptily(count: int, operation: str = "ImageVersions", *last: dict[str, object]) -> list[Reply]:
    """A number of empty pages with tokens, and a last page with rows."""
    going_on = [answer(**{operation: []}, NextToken=f"token {number}") for number in range(count)]
    return [*going_on, answer(**{operation: list(last)})]


@pytest.mark.parametrize("count", [1, 200])
def test_row_16_empty_pages_that_go_on(count: int) -> None:
    """Empty pages with a token do not end a list: each keeps the pace of a page, and the rows after them are read."""
    pages: list[PageRead] = []
    turns: list[float] = []
    stop = Stop(event=Waits())
    with staged() as stage:
        stage.play(*emptily(count, "ImageVersions", item()))
        pace = Pace(lists=Pacer(2, clock=lambda: 0.0, sleep=turns.append), describes=Pacer(1e9))
        calls = ScopeCalls(stage.api, policy=RetryPolicy(3), pace=pace, stop=stop)
        read_scopes({SCOPE: calls}, pages.append, [begin(STREAM)], stop=stop)
        assert len(stage.server.requests) == count + 1
    assert turns == [number / 2 for number in range(1, count + 1)]
    assert [row.Version for page in pages for row in page.rows] == [1]
    assert pages[-1].checkpoint.outcome is Outcome.READ


def endless(member: str, request: Request) -> Reply:
    """An empty page with a new token."""
    token = int(request.parameters.get("NextToken", "0"))
    return answer(**{member: []}, NextToken=str(token + 1))


def test_row_16_empty_pages_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that has only empty pages ends as unstable, with an error that names the limit."""
    monkeypatch.setattr("image_history.extract.streams.MOST_EMPTY_PAGES", 50)
    monkeypatch.setattr("image_history.listing.chain.MOST_EMPTY_PAGES", 50)
    pages: list[PageRead] = []
    with staged() as stage:
        calls = unpaced_calls(stage.api)
        stage.answering = lambda request: endless("ImageVersions", request)
        read_scopes({SCOPE: calls}, pages.append, [begin(STREAM)], stop=Stop(event=Waits()))
        stage.answering = lambda request: endless("Images", request)
        with pytest.raises(ListingUnstableError, match="50 empty pages in a row"):
            discover(calls, ImageFilter())
        assert len(stage.server.requests) == 100
    end = pages[-1].checkpoint
    assert (end.outcome, end.error_code) == (Outcome.UNSTABLE, "ListingUnstableError")
    assert "50 empty pages in a row" in str(end.error_message)


NOWHERE = {
    "same_token": "ListingUnstableError",
    "token_cycle": "ListingUnstableError",
    "token_none": "ValidationException",
    "token_too_long": "MalformedResponseError",
}


def test_row_17_tokens_that_lead_nowhere(served: ServeWorld) -> None:
    """An image whose tokens repeat, form a cycle or are invalid fails; its watermark and all rows stay the same."""
    made = world()
    codes = {kind.replace("_", "-"): code for kind, code in NOWHERE.items()}
    for name in codes:
        made.create_image(name)
        for number in range(1, 9):
            record = VersionRecord(version=number, creation_ms=number, last_modified_ms=NOON_MS - HOUR_MS)
            made.put_version(name, record)
    trial = Trial(served(made))
    trial.set(page_size=2)
    assert trial.sync(images=tuple(codes)).code == 0
    trial.spoil(*(FaultRule(kind=kind, operation=LIST, image=kind.replace("_", "-")) for kind in NOWHERE))
    before = trial.site.stored()
    came = trial.sync(full=True, images=tuple(codes))
    assert (came.code, came.failures) == (4, codes)
    assert trial.site.stored() == before
    for name in codes:
        trial.assert_unmoved(name)
    trial.set(page_size=100)
    trial.assert_converges()


def interrupted(trial: Trial, **changes: object) -> str:
    """Interrupt a first sync after the first page of the large image; return the token of its next page."""
    trial.set(**changes)
    trial.spoil(FaultRule(kind="throttling", operation=LIST, image=LARGE, start=2))
    assert trial.sync().code == 6
    trial.site.simulator.faults = ()
    (run,) = Landing(trial.config.landing_folder).runs()
    tokens = {mark.next_token for mark in run.checkpoints.values() if mark.next_token is not None}
    (token,) = tokens
    return token


def asked_tokens(trial: Trial) -> list[object]:
    """The tokens of the large image's requests in the last sync."""
    records = [record for record in trial.site.simulator.counters.log if record.image_name == LARGE]
    return [record.parameters.get("NextToken") for record in records]


def test_row_18_token_that_expired_meanwhile(trial: Trial) -> None:
    """If AWS refuses the token of a resumed list, the list is read from its start."""
    token = interrupted(trial)
    trial.spoil(FaultRule(kind="token_expired", operation=LIST, times=1))
    assert trial.sync().code == 0
    assert asked_tokens(trial)[:2] == [token, None]
    trial.assert_converges()


def test_row_18_tokens_that_are_never_taken(trial: Trial) -> None:
    """If AWS refuses every token, the image fails without a watermark, and the other images are loaded."""
    interrupted(trial)
    trial.spoil(FaultRule(kind="token_expired", operation=LIST))
    came = trial.sync()
    assert (came.code, came.failures) == (4, {LARGE: "ValidationException"})
    assert trial.marks()[(LARGE,)][0] is None
    trial.assert_converges()


def test_row_19_token_of_another_question(trial: Trial) -> None:
    """A sync with another selection of images does not send the earlier run's token, and no rows are lost."""
    token = interrupted(trial)
    assert trial.sync(images=("lar*",)).code == 0
    assert asked_tokens(trial)[0] is None
    assert token not in asked_tokens(trial)
    trial.assert_converges()


def test_row_20_page_size_that_was_changed(trial: Trial) -> None:
    """A run that began with pages of 100 continues with its token when `page_size` is 7."""
    token = interrupted(trial)
    trial.set(page_size=7)
    came = trial.sync()
    assert came.code == 0
    assert asked_tokens(trial)[0] == token
    trial.site.assert_true()
    trial.assert_converges()


@pytest.mark.parametrize(
    ("row", "behaviour"),
    [
        pytest.param(21, Behaviour(filters="ignored"), id="row-21"),
        pytest.param(22, Behaviour(filtering="page_then_filter"), id="row-22"),
        pytest.param(23, Behaviour(filters="exclusive"), id="row-23"),
    ],
)
def test_row_21_22_23_filters_that_do_as_they_like(trial: Trial, row: int, behaviour: Behaviour) -> None:
    """The sync sends no filters, so it reads the same changes with one call, however AWS applies filters."""
    trial.site.simulator.behaviour = behaviour
    assert trial.sync().code == 0
    for number in (1, 120, 250):
        trial.site.simulator.clock.advance(HOUR_MS)
        trial.site.world.update_version(LARGE, number)
    came = trial.sync()
    assert came.report is not None
    assert (came.report.rows.updated, trial.site.calls(LIST, LARGE)) == (3, 1)
    asked = {name for record in trial.site.simulator.counters.log for name in record.parameters}
    assert not {name for name in asked if name.endswith(("After", "Before"))}
    trial.site.assert_true()


@pytest.mark.parametrize("tokens", ["keyset", "offset"])
def test_row_24_ties_across_pages(trial: Trial, tokens: str) -> None:
    """All of 250 versions with the same times are stored, although AWS lists them in a shuffled order."""
    trial.site.simulator.behaviour = Behaviour(tokens=tokens, tie_order="shuffled", tie_seed=5)  # type: ignore[arg-type]  # a choice
    for moment in (NOON_MS - HOUR_MS, NOON_MS):
        for number in range(1, 251):
            record = VersionRecord(version=number, creation_ms=moment, last_modified_ms=moment)
            trial.site.world.put_version(LARGE, record)
        trial.site.simulator.clock.advance(HOUR_MS)
        assert trial.sync().code == 0
        trial.site.assert_true()
