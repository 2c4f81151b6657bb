"""Durations are read in one strict form, and printed in a form that can be read again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_history.config import format_duration, parse_duration
from image_history.errors import ConfigError

milliseconds = st.integers(min_value=0, max_value=3650 * 24 * 3600 * 1000).map(
    lambda ms: timedelta(milliseconds=ms)
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("15m", timedelta(minutes=15), id="minutes"),
        pytest.param("26h", timedelta(hours=26), id="hours-above-a-day"),
        pytest.param("7d", timedelta(days=7), id="days"),
        pytest.param("500ms", timedelta(milliseconds=500), id="milliseconds"),
        pytest.param("1h30m", timedelta(minutes=90), id="two-units"),
        pytest.param(
            "1d2h3m4s5ms", timedelta(days=1, hours=2, minutes=3, seconds=4, milliseconds=5), id="all-units"
        ),
        pytest.param("0s", timedelta(0), id="zero"),
        pytest.param("3650d", timedelta(days=3650), id="longest"),
    ],
)
def test_parse_duration_reads(text: str, expected: timedelta) -> None:
    """A duration is the sum of whole numbers with units, the largest unit first."""
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    ("text", "part"),
    [
        pytest.param("15", "'15' has no unit; write for example 15s, 15m or 15h.", id="bare"),
        pytest.param("0", "'0' has no unit; write for example 0s.", id="bare-zero"),
        pytest.param("1.5", "has no unit", id="bare-fraction"),
        pytest.param("-5", "has no unit", id="bare-negative"),
        pytest.param("1.5h", "is not a duration", id="fraction"),
        pytest.param("-5m", "is not a duration", id="negative"),
        pytest.param("5 m", "is not a duration", id="space"),
        pytest.param("5M", "is not a duration", id="upper-case"),
        pytest.param("2w", "is not a duration", id="unknown-unit"),
        pytest.param("30m1h", "is not a duration", id="order"),
        pytest.param("1h1h", "is not a duration", id="unit-twice"),
        pytest.param("", "is not a duration", id="empty"),
        pytest.param("15m\n", "is not a duration", id="newline"),
        pytest.param("٣m", "is not a duration", id="digits-of-another-script"),
        pytest.param("m", "is not a duration", id="no-number"),
        pytest.param("3651d", "longer than ten years", id="too-long"),
        pytest.param("999999999999999d", "longer than ten years", id="beyond-timedelta"),
    ],
)
def test_parse_duration_refuses(text: str, part: str) -> None:
    """Any other text is a ConfigError that shows the text; for a number without a unit, it says what to write."""
    with pytest.raises(ConfigError, match=r"^'") as caught:
        parse_duration(text)
    assert part in caught.value.message


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        pytest.param(timedelta(0), "0s", id="zero"),
        pytest.param(timedelta(minutes=90), "1h30m", id="two-units"),
        pytest.param(timedelta(hours=24), "24h", id="one-day-stays-hours"),
        pytest.param(timedelta(days=7), "7d", id="days"),
        pytest.param(timedelta(days=2, hours=1), "2d1h", id="days-and-hours"),
        pytest.param(timedelta(microseconds=1999), "1ms", id="below-a-millisecond-is-cut"),
    ],
)
def test_format_duration_prints(duration: timedelta, expected: str) -> None:
    """A duration is printed with its largest units; days are used from two days on."""
    assert format_duration(duration) == expected


def test_format_duration_refuses_negative() -> None:
    """A negative duration has no written form."""
    with pytest.raises(ValueError, match="negative"):
        format_duration(timedelta(seconds=-1))


@given(milliseconds)
def test_format_duration_round_trips(duration: timedelta) -> None:
    """A printed duration is read as the same duration, to the millisecond."""
    assert parse_duration(format_duration(duration)) == duration


@given(st.text())
def test_parse_duration_survives_any_text(text: str) -> None:
    """Any text is read as a duration of at most ten years, or is a ConfigError."""
    try:
        duration = parse_duration(text)
    except ConfigError:
        return
    assert timedelta(0) <= duration <= timedelta(days=3650)
