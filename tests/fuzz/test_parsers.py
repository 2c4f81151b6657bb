"""Random bytes and mutations of valid inputs make a parser fail only with its own error."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import SEEDS, TARGETS

# Empty pieces, long numbers, deep nesting, and special characters of JSON, CSV and YAML.
PIECES = st.sampled_from(
    [
        *(
            b"",
            b"{",
            b"}",
            b"[",
            b"]",
            b'"',
            b",",
            b":",
            b"null",
            b"true",
            b"-1",
            b"1e999999999",
            b"NaN",
            b"\\u0000",
        ),
        *(b"\\ud800", b"\0", b"\n", b"\r", b"\xff\xfe", b"\xef\xbb\xbf", b"0" * 5000, b"9" * 5000),
        *(b"[" * 3000, b'{"a":' * 3000, b"9999-12-31T23:59:59.999Z", b"0000", b"PAR1", b"1.5", b"1e19"),
    ]
)


@st.composite
def mutated(draw: st.DrawFn, content: bytes) -> bytes:
    """Valid content with a few of its parts replaced or removed, or pieces inserted."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = draw(st.integers(start, min(len(content), start + 40)))
        piece = draw(PIECES | st.binary(max_size=8))
        content = content[:start] + piece + content[end:]
    return content


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_parser_takes_any_bytes(name: str) -> None:
    """A parser accepts random bytes, or refuses them with its own error."""

    @settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
    @given(st.binary() | st.lists(PIECES).map(b"".join))
    def anything(content: bytes) -> None:
        TARGETS[name](content)

    anything()


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_parser_takes_valid_input_and_its_mutations(name: str) -> None:
    """A parser accepts valid input and its mutations, or refuses them with its own error."""
    for seed in SEEDS[name]:
        TARGETS[name](seed)

    @settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
    @given(st.sampled_from(SEEDS[name]).flatmap(mutated))
    def nearly(content: bytes) -> None:
        TARGETS[name](content)

    nearly()


@pytest.mark.parametrize("name", sorted(TARGETS))
@pytest.mark.parametrize(
    "piece", [b"[", b'{"a":', b"- ", b"9", b"{"], ids=["list", "object", "yaml", "digits", "flow"]
)
def test_parser_takes_what_is_deep_or_long(name: str, piece: bytes) -> None:
    """A parser refuses nesting that exhausts a stack, and numbers that are too large, with its own error."""
    for before in (
        b"",
        b'{"x": ',
        b'[{"image_name": "a", "version": ',
        b"image_name,version,creation_time\na,1,",
    ):
        TARGETS[name](before + piece * 20_000)
