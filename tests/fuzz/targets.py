"""The parsers as functions of bytes: a target fails if its parser raises anything but its documented error.

The Hypothesis tests and the coverage-guided fuzzer use them. Must not know where the bytes come from.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

import msgspec
import pyarrow as pa

from image_history.aws.bodies import BODIES, decode_body, readable_error
from image_history.cli.browse import ResumeToken
from image_history.config import load_config, parse_duration
from image_history.errors import ConfigError, LandingError, MalformedResponseError
from image_history.landing.files import checksum, noted, parquet, seal, unsealed
from image_history.landing.mark import Mark
from image_history.landing.plan import RunPlan
from image_history.landing.rows import empty_images
from image_history.landing.runs import Landing, SegmentHeader, read_run
from image_history.model import ListingKind
from image_history.simulator.script import Script
from image_history.simulator.worldfile import load_world
from image_history.warehouse.saved import header

Target = Callable[[bytes], None]


@cache
def _temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="image-history-fuzz-")


def folder() -> Path:
    """A folder for the files of the targets; it is deleted when the process ends."""
    return Path(_temporary().name)


def bodies(content: bytes) -> None:
    """A response body gives a response or MalformedResponseError, for every operation."""
    for operation in BODIES:
        with suppress(MalformedResponseError):
            decoded, _ = decode_body(operation, content)
            assert type(decoded) is BODIES[operation]


def error_body(content: bytes) -> None:
    """For any error body, botocore gets JSON with only texts, or nothing."""
    readable = readable_error(content)
    if readable.strip():
        members = msgspec.json.decode(readable, type=dict[str, str])
        assert set(members) <= {"__type", "message"}


def segment(content: bytes) -> None:
    """A segment gives a header or LandingError."""
    with suppress(LandingError):
        noted(content, SegmentHeader, Path("segment.parquet"))


def segment_header(content: bytes) -> None:
    """The metadata of a valid Parquet file gives a header or LandingError."""
    with suppress(LandingError):
        noted(
            parquet(pa.table({}), msgspec.Raw(content)).to_pybytes(), SegmentHeader, Path("segment.parquet")
        )


def run_folder(content: bytes) -> None:
    """A run's plan file gives a run or LandingError."""
    place = folder() / "20260101T000000.000Z-00000000"
    place.mkdir(exist_ok=True)
    (place / "plan.json").write_bytes(content)
    with suppress(LandingError):
        read_run(place)


def sealed_plan(content: bytes) -> None:
    """A document with a valid seal gives a plan or LandingError."""
    path = folder() / "plan.json"
    path.write_bytes(seal(msgspec.Raw(content)))
    with suppress(LandingError):
        unsealed(path, RunPlan)


def known_streams(content: bytes) -> None:
    """The landing's file of known streams gives a table or None."""
    (folder() / "known-streams.parquet").write_bytes(content)
    Landing(folder()).remembered(Mark("an id", "../image-history.duckdb", "2026-01-01T00:00:00Z"))


def query_header(content: bytes) -> None:
    """The header of a saved query can be read from any text."""
    entries = header(content.decode("utf-8", "replace"))
    assert all(key.isalpha() for key in entries)


def duration(content: bytes) -> None:
    """A text gives a duration or ConfigError."""
    with suppress(ConfigError):
        assert parse_duration(content.decode("utf-8", "replace")).total_seconds() >= 0


def config(content: bytes) -> None:
    """A configuration file gives a configuration or ConfigError."""
    path = folder() / "config.yaml"
    path.write_bytes(content)
    with suppress(ConfigError):
        load_config(path, {"A": "b"})


def world_json(content: bytes) -> None:
    """A JSON world file gives a world or ConfigError."""
    path = folder() / "world.json"
    path.write_bytes(content)
    with suppress(ConfigError):
        load_world(path)


def world_csv(content: bytes) -> None:
    """A CSV world file gives a world or ConfigError."""
    path = folder() / "world.csv"
    path.write_bytes(content)
    with suppress(ConfigError):
        load_world(path)


def script(content: bytes) -> None:
    """A script file gives a script or ConfigError."""
    with suppress(ConfigError):
        Script.parse(content)


def resume_token(content: bytes) -> None:
    """A text gives a token of `list` or ConfigError; a token that is encoded and decoded is the same."""
    with suppress(ConfigError):
        token = ResumeToken.decode(content.decode("utf-8", "replace"))
        assert token.skip >= 0
        if len(token.encode()) <= 12_000:
            assert ResumeToken.decode(token.encode()) == token


TARGETS: Mapping[str, Target] = {
    target.__name__: target
    for target in (
        bodies,
        error_body,
        segment,
        segment_header,
        run_folder,
        sealed_plan,
        known_streams,
        query_header,
        duration,
        config,
        world_json,
        world_csv,
        script,
        resume_token,
    )
}


def _plan() -> bytes:
    plan = RunPlan("20260101T000000.000Z-00000000", 1, ListingKind.FULL, "all", (), ())
    return msgspec.json.encode(plan)


_VERSION = (
    b'{"Version": 1, "ImageArn": "arn:aws:sagemaker:us-east-1:111122223333:image/a", "ImageVersionArn": '
    b'"arn:aws:sagemaker:us-east-1:111122223333:image-version/a/1", "ImageVersionStatus": "CREATED", '
    b'"CreationTime": 1.79e9, "LastModifiedTime": 1790000000.123, "FailureReason": null, "New": [1]}'
)
_IMAGES = parquet(empty_images()).to_pybytes()
# Valid inputs: mutations of them reach more code than random bytes.
SEEDS: Mapping[str, tuple[bytes, ...]] = {
    "bodies": (b'{"ImageVersions": [' + _VERSION + b'], "NextToken": "t"}', _VERSION, b'{"Images": []}'),
    "error_body": (b'{"__type": "ThrottlingException", "message": "Rate exceeded"}', b"<html>504</html>"),
    "segment": (parquet(empty_images(), SegmentHeader("r", 1, ())).to_pybytes(),),
    "segment_header": (msgspec.json.encode(SegmentHeader("r", 1, ())),),
    "run_folder": (seal({"plan": msgspec.Raw(_plan()), "images": checksum(_IMAGES)}),),
    "sealed_plan": (_plan(),),
    "known_streams": (parquet(empty_images(), checksum(b"[]")).to_pybytes(),),
    "query_header": (b"-- What: x\n--   more\n-- Parameters: $a = 1 (b)\nSELECT 1",),
    "duration": (b"15m", b"1h30m", b"7d"),
    "config": (b"warehouse: ${A}\naccounts:\n  - profile: x\n    regions: [us-east-1]\nlookback: 15m\n",),
    "world_json": (
        b"""[{"image_name": "a", "version": 1, "creation_time": "2026-01-31T12:00:00Z", "aliases": ["x"],
              "details": {"Horovod": true}}]""",
    ),
    "world_csv": (b'image name,version,creation_time,aliases,details\na,1,1790000000.5,"x y","{}"\n',),
    "script": (
        b"""[{"after_requests": 3, "operation": "ListImageVersions",
              "action": {"do": "delete_version", "image": "base", "version": 7}},
             {"at": "2026-01-01T00:00:00Z", "action": {"do": "create_version", "image": "base"}}]""",
    ),
    "resume_token": (ResumeToken("token", 3).encode().encode(), b"plain"),
}
