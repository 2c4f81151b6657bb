from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from botocore.parsers import JSONParser
from hypothesis import given
from hypothesis import strategies as st

from image_history.aws import bodies as wire
from image_history.aws.bodies import epoch_ms, readable_error
from image_history.errors import MalformedResponseError

YEAR_2100_MS = 4_102_444_800_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(st.integers(0, YEAR_2100_MS))
def test_milliseconds_survive_the_float(milliseconds: int) -> None:
    """Every millisecond until 2100 is read exactly from the seconds that AWS writes."""
    assert epoch_ms(float(f"{milliseconds / 1000:.3f}")) == milliseconds
    assert (
        epoch_ms(msgspec.json.decode(f"{milliseconds // 1000}.{milliseconds % 1000:03d}".encode()))
        == milliseconds
    )


def test_milliseconds_are_those_of_datetime(rng: random.Random) -> None:
    """The milliseconds are those of Python's own conversion to a datetime."""
    for _ in range(1_000):
        seconds = rng.randrange(YEAR_2100_MS) / 1000
        whole, rest = divmod(datetime.fromtimestamp(seconds, tz=UTC) - EPOCH, timedelta(milliseconds=1))
        assert (epoch_ms(seconds), rest) == (whole, timedelta(0))


@pytest.mark.parametrize("operation", sorted(wire.BODIES))
@pytest.mark.parametrize("body", [b"", b"{}", b"null", b"[]", b"<html>", b"\xff", b'{"Images":null}', b"NaN"])
def test_body_of_every_operation_is_judged(operation: str, body: bytes) -> None:
    """Every operation refuses a body that lacks a member of its successful answers."""
    with pytest.raises(MalformedResponseError, match=operation) as refused:
        wire.decode_body(operation, body)
    assert refused.value.context["operation"] == operation


@given(
    st.one_of(
        st.binary(max_size=300),
        st.builds(
            msgspec.json.encode,
            st.dictionaries(
                st.sampled_from(["__type", "message", "Message", "x"]),
                st.none() | st.integers() | st.text() | st.lists(st.text()),
                max_size=4,
            ),
        ),
    )
)
def test_error_body_is_readable_for_botocore(body: bytes) -> None:
    """For any body of an error, botocore finds a text as code and as message after the conversion."""
    response = {"status_code": 502, "headers": {}, "body": readable_error(body)}
    error = JSONParser().parse(response, None)["Error"]
    assert isinstance(error["Code"], str)
    assert isinstance(error["Message"], str)


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        ('{"__type":"ns#Code","Message":"said","other":[1]}', {"__type": "ns#Code", "message": "said"}),
        (
            '{"message":"gesagt: \\u00e4\\n\\"x\\"","__type":"Code"}',
            {"__type": "Code", "message": 'gesagt: ä\n"x"'},
        ),
        ('{"__type":"Code","message":"small","Message":"capital"}', {"__type": "Code", "message": "small"}),
        ('{"__type":"Code"}', {"__type": "Code"}),
        ('{"message":""}', {}),
    ],
    ids=["capital", "escaped", "both", "code-alone", "empty"],
)
def test_error_body_keeps_code_and_message(body: str, kept: dict[str, str]) -> None:
    """An error keeps its code and its message, whole and in either spelling, and botocore reads the same of both."""
    rewritten = readable_error(body.encode())
    assert msgspec.json.decode(rewritten) == kept
    read = [
        JSONParser().parse({"status_code": 400, "headers": {}, "body": each}, None)["Error"]
        for each in (body.encode(), rewritten)
    ]
    assert read[0] == read[1]


def test_description_keeps_members_of_next_year() -> None:
    """A new member of DescribeImageVersion is stored apart from members of the list, and reported as drift."""
    body = {
        "Version": 1,
        "ImageArn": "arn:image/a",
        "ImageVersionArn": "arn:image-version/a/1",
        "ImageVersionStatus": "CREATED",
        "CreationTime": 1.5,
        "LastModifiedTime": 1.5,
        "Attestation": {"level": 3},
    }
    described, drift = wire.decode_body("DescribeImageVersion", msgspec.json.encode(body))
    assert isinstance(described, wire.DescribedImageVersion)
    assert (described.etl_raw, described.etl_details_raw) == (None, '{"Attestation":{"level":3}}')
    assert [(each.member, each.value) for each in drift] == [("Attestation", None)]
