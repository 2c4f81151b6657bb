"""Times and ages on the command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from image_history.cli.moments import iso, parse_moment, shown, shown_age, shown_minute
from image_history.errors import ConfigError

NOW = datetime(2026, 11, 23, 12, 0, 0, 123_000, UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("2026-11-20", datetime(2026, 11, 20, tzinfo=UTC), id="date"),
        pytest.param("2026-11-20T09:30:00", datetime(2026, 11, 20, 9, 30, tzinfo=UTC), id="no-zone"),
        pytest.param("2026-11-20 09:30", datetime(2026, 11, 20, 9, 30, tzinfo=UTC), id="blank"),
        pytest.param("2026-11-20T09:30:00Z", datetime(2026, 11, 20, 9, 30, tzinfo=UTC), id="utc"),
        pytest.param("2026-11-20T09:30:00.007Z", datetime(2026, 11, 20, 9, 30, 0, 7000, UTC), id="fraction"),
        pytest.param("2026-11-20T09:30:00+02:00", datetime(2026, 11, 20, 7, 30, tzinfo=UTC), id="offset"),
        pytest.param("7d", NOW - timedelta(days=7), id="days"),
        pytest.param("1h30m", NOW - timedelta(minutes=90), id="both"),
    ],
)
def test_moment_is_an_instant_or_a_time_ago(text: str, expected: datetime) -> None:
    """A moment is ISO 8601 with a zone, without one in UTC, or a duration before now."""
    assert parse_moment(text, NOW) == expected
    assert parse_moment(text, NOW).tzinfo is UTC


@pytest.mark.parametrize("text", ["", "now", "5", "-7d", "2026-02-30", "yesterday" * 20])
def test_moment_that_is_none_is_refused(text: str) -> None:
    """Other text is refused; the message is short and shows how to write a moment."""
    with pytest.raises(ConfigError, match="is no instant: write 2026-01-31") as refusal:
        parse_moment(text, NOW)
    assert len(refusal.value.message) < 200


def test_moment_is_shown_in_utc() -> None:
    """A moment is shown in UTC, to the second or minute, and to the millisecond for SQL."""
    moment = datetime(2026, 11, 20, 1, 30, 7, 45_000, timezone(timedelta(hours=2)))
    assert shown(moment) == "2026-11-19 23:30:07"
    assert shown_minute(moment) == "2026-11-19 23:30"
    assert iso(moment) == "2026-11-19T23:30:07.045+00:00"


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (timedelta(), "0s"),
        (timedelta(seconds=-5), "0s"),
        (timedelta(seconds=59, milliseconds=999), "59s"),
        (timedelta(minutes=2), "2m"),
        (timedelta(hours=3, minutes=4, seconds=5), "3h4m"),
        (timedelta(hours=3, seconds=5), "3h"),
        (timedelta(days=40, hours=23, minutes=59), "40d23h"),
        (timedelta(days=7), "7d"),
    ],
    ids=str,
)
def test_age_has_two_units(age: timedelta, expected: str) -> None:
    """An age has its two largest units, rounded down; the age of a future moment is 0s."""
    assert shown_age(age) == expected
