from __future__ import annotations

from datetime import UTC, datetime

import pytest
from botocore.serialize import TIMESTAMP_PRECISION_DEFAULT, JSONSerializer
from hypothesis import given
from hypothesis import strategies as st

from image_history.cli.instants import Bound, parse_instant
from image_history.errors import ConfigError

NOW = datetime(2026, 11, 23, 12, 0, 0, 250_000, tzinfo=UTC)
NOON = 1_795_435_200


def parsed(text: str, bound: Bound = Bound.AFTER) -> int:
    """Parse an instant, with NOW as the present time."""
    return parse_instant(text, bound, now=NOW)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23T12:00:00",
        "2026-11-23 12:00",
        "2026-11-23T12:00:00Z",
        "2026-11-23T12:00:00.000Z",
        "2026-11-23T07:00:00-05:00",
        "2026-11-23T17:45:00+05:45",
        "20261123T120000Z",
        "1795435200",
        "1795435200.0",
    ],
)
def test_instant_in_every_notation(text: str) -> None:
    """ISO 8601 with or without a zone, and an epoch in seconds, name the same instant."""
    assert parsed(text) == NOON


@pytest.mark.parametrize(
    ("text", "bound", "seconds"),
    [
        ("7d", Bound.AFTER, NOON - 7 * 86_400),
        ("7d", Bound.BEFORE, NOON - 7 * 86_400 + 1),
        ("1h30m", Bound.AFTER, NOON - 5_400),
        ("250ms", Bound.BEFORE, NOON),
        ("0s", Bound.AFTER, NOON),
    ],
)
def test_duration_admits_more_rather_than_less(text: str, bound: Bound, seconds: int) -> None:
    """A duration before now is rounded to the whole second at which the filter loses no row."""
    assert parsed(text, bound) == seconds


@pytest.mark.parametrize(
    "text",
    ["2026-11-23T12:00:00.750", "2026-11-23T12:00:00,1Z", "2026-11-23T12:00:00.0000001", "1795435200.5"],
)
def test_fraction_of_a_second_is_refused(text: str) -> None:
    """A fraction of a second is refused, since botocore would truncate it and AWS would leave out rows."""
    with pytest.raises(ConfigError, match="fraction of a second, and AWS filters by whole seconds"):
        parsed(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1795435200000", "read as seconds since 1970"),
        ("20261123", "write a date as 2026-01-31"),
        ("-5", "read as seconds since 1970"),
        ("99999999999999999999", "read as seconds since 1970"),
        ("9" * 5_000, "read as seconds since 1970"),
        ("9999-12-31T23:59:59-02:00", "is after the year 9999"),
        ("yesterday", "is no instant"),
        ("", "is no instant"),
        ("2026-13-01", "is no instant"),
        ("12:00", "is no instant"),
        ("nan", "is no instant"),
        ("1969-12-31", "is before 1970"),
        ("0001-01-01T00:00:00+14:00", "is before 1970"),
        ("4000d", "longer than ten years"),
        ("1m1h", "is not a duration"),
        ("x" * 500, "is no instant"),
    ],
)
def test_anything_else_is_refused(text: str, reason: str) -> None:
    """A text that is not an instant, or an unlikely one, is refused with one short sentence."""
    with pytest.raises(ConfigError, match=reason) as refused:
        parsed(text)
    assert len(refused.value.message) < 250


@given(st.datetimes(min_value=datetime(1973, 3, 4), max_value=datetime(9999, 12, 31)))  # noqa: DTZ001
def test_instant_is_what_botocore_would_send(moment: datetime) -> None:
    """An instant without a zone becomes the same second that botocore sends for it."""
    whole = moment.replace(microsecond=0)
    serializer = JSONSerializer(timestamp_precision=TIMESTAMP_PRECISION_DEFAULT)
    sent = serializer._convert_timestamp_to_str(whole, "unixTimestamp")
    assert parsed(whole.isoformat()) == sent
