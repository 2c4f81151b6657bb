"""Which news is due to a receiver, and the message that it gets, without a warehouse."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some

from image_history.config import Config, Notify
from image_history.notify import finding
from image_history.notify.message import message, text
from image_history.notify.news import Item, Known, Phase, Sent, due, is_worth_recording

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def deleted(version: int, at: datetime = NOON, image: str = "churn") -> Item:
    """The deletion of a version."""
    name = f"1111/us-east-1/{image}:{version}"
    return Item("deleted", Phase.HAPPENED, name, f"deleted: {name}", at, "1111", "us-east-1", image, version)


def trouble(subject: str, at: datetime = NOON, news: str = "unread") -> Item:
    """A trouble that has begun."""
    return Item(news, Phase.BEGAN, subject, f"{news}: {subject}", at)


def known(
    newest: datetime = NOON,
    before: datetime | None = NOON - HOUR,
    changes: Sequence[Item] = (),
    troubles: Sequence[Item] = (),
) -> Known:
    """What the warehouse knows."""
    return Known(
        newest=newest,
        before=before,
        changes=lambda kind, since: [each for each in changes if each.news == kind and each.at > since],
        troubles={(each.news, each.subject): each for each in troubles},
        undecided=lambda _: False,
    )


def test_new_receiver_is_told_of_this_run_alone() -> None:
    """A new receiver gets the changes of this run only, none after the very first run, and every present trouble."""
    changes = [deleted(1, NOON - 2 * HOUR), deleted(2)]
    assert due(known(changes=changes), {}, ["deleted"]).items == (deleted(2),)
    assert due(known(before=None, changes=changes), {}, ["deleted"]).items == ()
    assert due(known(before=None, troubles=[trouble("x")]), {}, ["unread"]).items == (trouble("x"),)


@given(
    some.lists(
        some.tuples(some.booleans(), some.sets(some.sampled_from("abc")), some.integers(0, 3)), max_size=12
    )
)
def test_each_change_is_told_once_and_each_trouble_at_its_ends(
    runs: list[tuple[bool, set[str], int]],
) -> None:
    """Whatever fails, each change is sent once, and a trouble's messages alternate between begin and end."""
    told: Sent = {("deleted", ""): NOON, ("unread", ""): NOON}
    happened: list[Item] = []
    heard: list[Item] = []
    number = 0
    for hour, (works, troubles, count) in enumerate(runs, 1):
        now = NOON + hour * HOUR
        happened += [deleted(number + each, now) for each in range(count)]
        number += count
        coming = due(
            known(now, now - HOUR, happened, [trouble(each, now) for each in sorted(troubles)]),
            told,
            ["deleted", "unread"],
        )
        if works:
            heard += coming.items
            if is_worth_recording(coming, told):
                told = coming.sent
    changes = [each for each in heard if each.news == "deleted"]
    assert len(changes) == len({each.id for each in changes})
    if runs and runs[-1][0]:
        assert changes == happened
        assert {subject for news, subject in told if news == "unread" and subject} == runs[-1][1]
    for subject in "abc":
        phases = [each.phase for each in heard if each.subject == subject]
        assert phases == [Phase.BEGAN, Phase.ENDED] * (len(phases) // 2) + [Phase.BEGAN] * (len(phases) % 2)


def test_message_is_bounded_and_harmless() -> None:
    """Thousands of changes make a short text and bounded JSON, and markup in a text is escaped."""
    items = [deleted(number, image=f"image-{number // 100}") for number in range(5_000)]
    content = message("team", items, "RUN")
    document = json.loads(content)
    assert len(content) < 100_000
    assert (len(document["news"]), document["left_out"]) == (200, 4_800)
    assert document["text"].splitlines()[0] == "image-history: 5,000 deleted (run RUN)"
    assert document["text"].splitlines()[-1] == "... and 35 more"
    hostile = Item("unread", Phase.BEGAN, "x", "unread: <!channel> & \x1b[31m red", NOON)
    assert text([hostile], None) == ("image-history: 1 unread\n• unread: &lt;!channel&gt; &amp;  [31m red")


class Asked:
    """A fake reader that knows only the time of the newest run, and records the names of its queries."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def rows(self, name: str, **_: object) -> list[dict[str, object]]:
        """A row for the newest run, and none for any other query."""
        self.names.append(name)
        return [{"newest": NOON, "before": None}] if name == "notify/newest" else []


@pytest.mark.parametrize(
    ("kinds", "names"),
    [
        pytest.param(("deleted", "failed", "drift"), {"notify/newest"}, id="changes"),
        pytest.param(("stuck",), {"notify/newest", "notify/stuck"}, id="stuck"),
        pytest.param(
            ("stale",), {"notify/newest", "load/known_accounts", "reports/stream_freshness"}, id="scopes"
        ),
    ],
)
def test_only_what_a_receiver_is_told_of_is_looked_for(kinds: tuple[str, ...], names: set[str]) -> None:
    """Only the queries for a receiver's kinds of news run: deletions do not pay for the freshness of scopes."""
    asked = Asked()
    entry = Notify(run=("me",), on=kinds)
    found = finding.known(asked, Config(), entry, finding.Occasion(NOON))  # type: ignore[arg-type]  # a fake
    assert found is not None
    assert {*asked.names} == names
