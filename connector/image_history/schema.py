"""Defines all stored tables: the name, AWS member, type, nullability and meaning of each column, and the keys.

Plain values; must not know how any of it is read, written or queried. `Kind` maps to Arrow and to SQL.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = 10


class Kind(Enum):
    """A column's type: (name in SQL, name in Arrow)."""

    TEXT = ("VARCHAR", "string")
    INTEGER = ("INTEGER", "int32")
    BIGINT = ("BIGINT", "int64")
    INSTANT = ("TIMESTAMP WITH TIME ZONE", "timestamp[ms, tz=UTC]")
    TEXTS = ("VARCHAR[]", "list<string>")
    BOOLEAN = ("BOOLEAN", "bool")

    @property
    def sql(self) -> str:
        """The type's name as DuckDB prints it."""
        return self.value[0]


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `member` is the AWS response member that it holds, None for a column that we add."""

    name: str
    kind: Kind
    meaning: str
    member: str | None = None
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """One table: its grain in words, the columns that identify a row, and all columns in order."""

    name: str
    grain: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]

    def column(self, name: str) -> Column:
        """The column of that name; KeyError if there is none."""
        return {column.name: column for column in self.columns}[name]


def _text(name: str, meaning: str, member: str | None = None, *, nullable: bool = False) -> Column:
    return Column(name, Kind.TEXT, meaning, member, nullable)


def _said(name: str, meaning: str, member: str | None = None) -> Column:
    return _text(name, meaning, member, nullable=True)


def _instant(name: str, meaning: str, member: str | None = None, *, nullable: bool = False) -> Column:
    return Column(name, Kind.INSTANT, meaning, member, nullable)


def _count(name: str, meaning: str, *, nullable: bool = False) -> Column:
    return Column(name, Kind.BIGINT, meaning, nullable=nullable)


_SCOPE = (
    _text("account_id", "AWS account, 12 digits"),
    _text("region", "AWS region, as in us-east-1"),
)
_IMAGE = (*_SCOPE, _text("image_name", "Name of the image as AWS lists it, case kept", "ImageName"))
_VERSION_KEY = (*_IMAGE, Column("version", Kind.INTEGER, "Version number within the image", "Version"))
_VERSION_MEMBERS = (
    _text("image_arn", "ARN of the image; AWS may lower-case the name in it", "ImageArn"),
    _text(
        "image_version_arn",
        "ARN of the version; AWS may give the text None, and reuses it after a re-creation",
        "ImageVersionArn",
    ),
    _text(
        "image_version_status",
        "CREATING, CREATED, CREATE_FAILED, DELETING, DELETE_FAILED, or what AWS adds later",
        "ImageVersionStatus",
    ),
    _text("failure_reason", "Why the creation or deletion failed", "FailureReason", nullable=True),
    _instant("creation_time", "When the version was created; tells incarnations apart", "CreationTime"),
    _instant("last_modified_time", "When AWS last changed the version", "LastModifiedTime"),
)
_RAW = _text("etl_raw", "JSON of members that AWS sent and that have no column here", nullable=True)
_DETAILS = (
    _said("base_image", "Registry path of the image that the version is based on", "BaseImage"),
    _said("container_image", "Registry path of the container image, with its digest", "ContainerImage"),
    _said("job_type", "TRAINING, INFERENCE, NOTEBOOK_KERNEL, or what AWS adds later", "JobType"),
    _said("ml_framework", "Machine learning framework and its version", "MLFramework"),
    _said("programming_lang", "Programming language and its version", "ProgrammingLang"),
    _said("processor", "CPU, GPU, or what AWS adds later", "Processor"),
    Column(
        "horovod",
        Kind.BOOLEAN,
        "Support for Horovod; AWS returns false if it was not set",
        "Horovod",
        nullable=True,
    ),
    _said(
        "vendor_guidance",
        "NOT_PROVIDED, STABLE, TO_BE_ARCHIVED, ARCHIVED, or what AWS adds later",
        "VendorGuidance",
    ),
    _said("release_notes", "The maintainer's notes", "ReleaseNotes"),
    Column(
        "aliases",
        Kind.TEXTS,
        "The version's aliases by ListAliases, sorted; empty if it has none, null if they are not known",
        "SageMakerImageVersionAliases",
        nullable=True,
    ),
    _said("etl_details_raw", "JSON of members that DescribeImageVersion sent and that have no column here"),
)
_LOOKED_AT = (
    _instant(
        "etl_described_at",
        "When DescribeImageVersion answered for this state; null if not yet",
        nullable=True,
    ),
    _instant("etl_aliases_at", "When ListAliases answered for this state; null if not yet", nullable=True),
)
_GONE = (
    _instant("etl_deleted_at", "Since when it is known to be gone; null while it lives", nullable=True),
    _text(
        "etl_delete_evidence",
        "How the deletion was proved: describe_not_found, image_not_found, image_recreated or absent_twice; null "
        "while it lives",
        nullable=True,
    ),
)
_READ_AT = _instant(
    "etl_read_at",
    "T0 of the listing that showed this state or proved its deletion; it was read after that; null if unknown",
    nullable=True,
)
_RUN_ID = _text("etl_run_id", "The sync that wrote this row (runs.etl_run_id)")

IMAGE_VERSIONS = Table(
    "image_versions",
    "one row per version: its newest incarnation in its newest known state",
    ("account_id", "region", "image_name", "version"),
    (
        *_VERSION_KEY,
        *_VERSION_MEMBERS,
        _instant("etl_valid_from", "When this state began at AWS; the same as in its event"),
        _instant("etl_first_seen_at", "When this incarnation was first loaded"),
        _instant("etl_changed_at", "When the row last changed here"),
        *_GONE,
        _RAW,
        _RUN_ID,
        *_DETAILS,
        *_LOOKED_AT,
        _READ_AT,
        _instant(
            "etl_aliases_known_at",
            "When ListAliases last returned its aliases, for this state or an earlier one",
            nullable=True,
        ),
    ),
)

IMAGE_VERSION_EVENTS = Table(
    "image_version_events",
    "append-only: one row per observed state of a version",
    ("account_id", "region", "image_name", "version", "etl_observed_at"),
    (
        *_VERSION_KEY,
        *_VERSION_MEMBERS,
        _instant("etl_valid_from", "When this state began at AWS: at creation, then at each change"),
        _instant(
            "etl_certain_from",
            "From this instant on, AWS certainly had exactly these attributes; not so the details and aliases, which "
            "are known for the time when they were read (etl_described_at, etl_aliases_at)",
        ),
        _instant("etl_observed_at", "When the event was loaded; increases from run to run"),
        _text("etl_change", "created, modified, deleted, recreated or reappeared"),
        Column("etl_changed_columns", Kind.TEXTS, "Columns that differ from the state before, sorted"),
        _instant(
            "etl_last_seen_at",
            "For a deletion, or a change of details alone: when the state before was last seen, a lower bound; "
            "the change came between then and etl_valid_from, an upper bound",
            nullable=True,
        ),
        _text("etl_delete_evidence", "For a deletion: how it was proved", nullable=True),
        _RAW,
        _RUN_ID,
        *_DETAILS,
        _instant(
            "etl_aliases_at",
            "When ListAliases answered for this state; null if not yet: the aliases may then be those of an earlier "
            "state",
            nullable=True,
        ),
        _instant(
            "etl_aliases_before",
            "When ListAliases had last returned the aliases before that, or before the deletion; null if it had not "
            "been called",
            nullable=True,
        ),
        _instant(
            "etl_described_at",
            "When DescribeImageVersion answered for this state; null if not yet, or in events of schemas before 10: "
            "the details may then be those of an earlier state",
            nullable=True,
        ),
    ),
)

IMAGES = Table(
    "images",
    "one row per image",
    ("account_id", "region", "image_name"),
    (
        *_IMAGE,
        _text("image_arn", "ARN of the image", "ImageArn"),
        _text("display_name", "Name shown in Studio", "DisplayName", nullable=True),
        _text("description", "Free text of the owner", "Description", nullable=True),
        _text("image_status", "CREATING, CREATED, CREATE_FAILED, UPDATING, ...", "ImageStatus"),
        _text("failure_reason", "Why the last operation failed", "FailureReason", nullable=True),
        _instant("creation_time", "When the image was created", "CreationTime"),
        _instant("last_modified_time", "When AWS last changed the image", "LastModifiedTime"),
        _instant("etl_first_seen_at", "When the image was first loaded"),
        _instant("etl_changed_at", "When the row last changed here"),
        *_GONE,
        _RAW,
        _RUN_ID,
    ),
)

RUNS = Table(
    "runs",
    "one row per sync, updated by each transaction that loads its rows; running until the last one",
    ("etl_run_id",),
    (
        _text("etl_run_id", "Identifies the sync; sorts by its start"),
        _instant("started_at", "When the sync began, by the local clock"),
        _instant(
            "finished_at",
            "When its last rows so far were loaded: etl_observed_at of deletions, a millisecond after that of the "
            "other events",
        ),
        _text(
            "outcome",
            "complete, held_back when the mass-delete breaker held back deletions, or partial when a stream could "
            "not be read in full; running while parts of it are still to be loaded, and interrupted when these can "
            "no longer be loaded",
        ),
        _text("mode", "incremental, or full when every image was listed in full"),
        _count("streams", "Images that the run planned to list"),
        _count("inserted", "Versions seen for the first time, re-created ones included"),
        _count("updated", "Versions whose attributes changed"),
        _count("unchanged", "Versions read again and found as stored"),
        _count("reappeared", "Versions that had been marked deleted and were listed again"),
        _count("deleted", "Versions marked deleted; null where deletions were not evaluated", nullable=True),
        _count("list_images_calls", "ListImages requests, retries included"),
        _count("list_image_versions_calls", "ListImageVersions requests, retries included"),
        _count("describe_image_calls", "DescribeImage requests, retries included"),
        _count("describe_image_version_calls", "DescribeImageVersion requests, retries included"),
        _count(
            "retries",
            "Requests that failed with a transient error; all but the last attempt of a call were retried",
        ),
        _count("throttles", "Requests that AWS throttled"),
        _count("bytes_received", "Bytes of response bodies"),
        _text("connector_version", "Version of image-history that wrote the run"),
        _text("duckdb_version", "Version of DuckDB that wrote the run"),
        _text("host", "Name of the machine that ran the sync"),
        _count("list_aliases_calls", "ListAliases requests, retries included"),
    ),
)

_DONE_IN_A_SCOPE = (
    (
        "inserted",
        "For a scope: versions seen for the first time, re-created ones included; null for an image",
    ),
    ("updated", "For a scope: versions whose attributes changed; null for an image"),
    ("unchanged", "For a scope: versions read again and found as stored; null for an image"),
    (
        "reappeared",
        "For a scope: versions that had been marked deleted and were listed again; null for an image",
    ),
)

COVERAGE = Table(
    "coverage",
    "one row per run and scope (image_name null), and one per stream for which the run has something new",
    ("etl_run_id", "account_id", "region", "image_name"),
    (
        _text("etl_run_id", "The sync (runs.etl_run_id)"),
        *_SCOPE,
        _text("image_name", "The image; null for the scope's list of images", nullable=True),
        _text("listing", "images, full or incremental; none if it was not listed"),
        _text(
            "outcome",
            "complete, partial, denied, gone, failed, unstable or held_back; for an image that was not listed: "
            "rested, or skipped if the configuration excludes it",
        ),
        _count("pages", "Pages of the accepted reading"),
        _count("rows", "Rows of the accepted reading"),
        _count("readings", "How many times the listing was read"),
        _count("phantoms", "Versions that the listing lacked and Describe found alive"),
        _count(
            "deleted",
            "Versions marked deleted, for a scope in total; null if deletions were not evaluated",
            nullable=True,
        ),
        _instant(
            "t0",
            "Every change at AWS before this instant is covered; null if nothing was read",
            nullable=True,
        ),
        _instant("watermark", "Watermark of the stream after the run", nullable=True),
        _text("error_code", "Error code, AWS's or our own", nullable=True),
        _text("error_message", "What went wrong, in a sentence", nullable=True),
        _text(
            "details",
            "Result for the versions whose details were due: complete, denied or failed; null if none were due",
            nullable=True,
        ),
        _count(
            "detailed", "How many times details of a version were read; null if none were due", nullable=True
        ),
        _text("details_error", "Why details are missing, in a sentence", nullable=True),
        _count(
            "rested",
            "For a scope: images that were not listed because nothing hinted at a change; null for an image",
            nullable=True,
        ),
        _count("hinted", "For a scope: images that hints refer to; null for an image", nullable=True),
        _count("streams", "For a scope: images whose versions were listed; null for an image", nullable=True),
        _text(
            "others",
            "For a scope: the outcome of images that have no row in this run and whose last row is complete or "
            "rested: complete (read, with nothing new) or rested; null if each image has a row",
            nullable=True,
        ),
        _instant(
            "t1",
            "For a scope: the latest T0 among images that were read and have no row of their own",
            nullable=True,
        ),
        _instant("loaded_at", "When the part of the run that contains this row was loaded"),
        *(_count(name, meaning, nullable=True) for name, meaning in _DONE_IN_A_SCOPE),
    ),
)

STREAMS = Table(
    "streams",
    "one row per stream that was ever listed",
    ("account_id", "region", "image_name"),
    (
        *_IMAGE,
        _instant("watermark", "Every change at AWS up to here has been read", nullable=True),
        _instant(
            "last_full_at",
            "T0 of the last full listing; updated only for images of more than one page; coverage has each of those "
            "listings",
            nullable=True,
        ),
        Column(
            "highest_version",
            Kind.INTEGER,
            "Highest version number seen in the image's present life",
            nullable=True,
        ),
        Column(
            "first_version_seen",
            Kind.INTEGER,
            "Lowest version number seen in the image's present life",
            nullable=True,
        ),
        _count("live_versions", "Versions not marked deleted"),
        _RUN_ID,
        _instant(
            "image_created_at",
            "CreationTime of the image at its last full listing; another value means that a new life began",
            nullable=True,
        ),
        _instant(
            "life_began_at",
            "Versions created before this belong to an earlier life of the image; null if AWS lists an older version",
            nullable=True,
        ),
        _count(
            "unexplained",
            "Version numbers between the first and the highest of the image's present life that are neither stored "
            "nor proved absent; null if unknown",
            nullable=True,
        ),
        _count("held_back", "Deletions that the mass-delete breaker holds back; null if none", nullable=True),
    ),
)

ABSENT_VERSIONS = Table(
    "absent_versions",
    "one row per range of version numbers that never were seen and are proved not to exist",
    ("account_id", "region", "image_name", "first_version"),
    (
        *_IMAGE,
        Column("first_version", Kind.INTEGER, "First number of the range"),
        Column("last_version", Kind.INTEGER, "Last number of the range"),
        _text("evidence", "describe_not_found, absent_twice, or single_page (one atomic answer lacked it)"),
        _instant("proved_at", "By when the versions were absent: T1 of the answer that proved it"),
        _RUN_ID,
        _instant(
            "image_created_at",
            "CreationTime of the image in whose life they were absent; null if unknown: the row then counts only "
            "while the CreationTime of the image is unknown too",
            nullable=True,
        ),
    ),
)

SCOPE_ACCOUNTS = Table(
    "scope_accounts",
    "one row per configured access and region: the account that it led to",
    ("access", "region"),
    (
        _text("access", "The configured profile or role, in words"),
        _text("region", "AWS region"),
        _text("account_id", "AWS account, 12 digits"),
        _RUN_ID,
    ),
)

SCHEMA_DRIFT = Table(
    "schema_drift",
    "one row per value or member of AWS's answers that this version does not know",
    ("operation", "member", "value"),
    (
        _text("operation", "The operation whose answer held it"),
        _text("member", "The member, as in ImageVersions[].ImageVersionStatus"),
        _text("value", "The unknown value; null where the member itself is unknown", nullable=True),
        _instant("first_seen_at", "When it was first loaded"),
        _count("occurrences", "How often it occurred, over all runs"),
        _RUN_ID,
    ),
)

NOTIFIED = Table(
    "notified",
    "one row per receiver and kind of news, and one per receiver and ongoing trouble that was reported to it",
    ("receiver", "news", "subject"),
    (
        _text("receiver", "The receiver, by its name in the setting notify"),
        _text("news", "The kind of news, as in notify[].on"),
        _text("subject", "What the ongoing trouble is about; empty in the row of a kind of news"),
        _instant("told_up_to", "News found up to then have been sent; for a trouble, since when it is known"),
    ),
)

TABLES = (
    IMAGE_VERSIONS,
    IMAGE_VERSION_EVENTS,
    IMAGES,
    RUNS,
    COVERAGE,
    STREAMS,
    ABSENT_VERSIONS,
    SCOPE_ACCOUNTS,
    SCHEMA_DRIFT,
    NOTIFIED,
)

# The columns from AWS that are compared to decide whether a version changed.
TRACKED = (*(column.name for column in _VERSION_MEMBERS), _RAW.name)
TRACKED_DETAILS = tuple(column.name for column in _DETAILS)

# The columns of a landed version row besides its key and members: the order in which it was read.
LANDED_ORDER = (
    Column("etl_reading", Kind.INTEGER, "Which reading of the listing the row comes from, from 1"),
    Column("etl_page", Kind.INTEGER, "Which page of the reading, from 1"),
    Column("etl_read_at", Kind.INSTANT, "T0 of the reading"),
)
LANDED_VERSIONS = Table(
    "landed_versions",
    "one row per version and page, as read",
    (),
    (*_VERSION_KEY, *_VERSION_MEMBERS, _RAW, *LANDED_ORDER),
)
LANDED_DETAILS = Table(
    "landed_details",
    "one row per version and lookup; if a call did not answer, its columns and its time are null",
    (),
    (
        *map(IMAGE_VERSIONS.column, (*IMAGE_VERSIONS.key, "creation_time", "last_modified_time")),
        *(*_DETAILS, *_LOOKED_AT),
    ),
)
LANDED_IMAGES = Table(
    "landed_images",
    "one row per image, as read",
    (),
    (*(column for column in IMAGES.columns if not column.name.startswith("etl_")), _RAW),
)


def arrow_schema(table: Table) -> pa.Schema:
    """The table's Arrow schema; instants are milliseconds in UTC; each field has its meaning in its metadata."""
    import pyarrow as pa

    types = {
        Kind.TEXT: pa.string(),
        Kind.INTEGER: pa.int32(),
        Kind.BIGINT: pa.int64(),
        Kind.INSTANT: pa.timestamp("ms", tz="UTC"),
        Kind.TEXTS: pa.list_(pa.string()),
        Kind.BOOLEAN: pa.bool_(),
    }
    return pa.schema(
        pa.field(column.name, types[column.kind], column.nullable, {"comment": column.meaning})
        for column in table.columns
    )
