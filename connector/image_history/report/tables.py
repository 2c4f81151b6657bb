"""The tables of a report: the columns of each, how its cells are written, and the command that shows the rest.

Must not know HTML, nor SQL beyond the line that a reader may copy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from image_history.report.content import Facts, Found, Row, Scope
from image_history.report.words import minute, proof, span


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell. `order` is its sort key, if it is not sorted by its text; `kind` is its CSS class."""

    text: str
    order: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table. `rest` is the command that prints all `total` rows, if these are only the first ones."""

    id: str
    title: str
    about: str
    nothing: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    total: int
    rest: str
    bad: bool = False

    @property
    def cut(self) -> bool:
        """Whether `rows` lacks some of the `total` rows."""
        return self.total > len(self.rows)


def tables(facts: Facts) -> list[Table]:
    """All tables; those that need attention come first."""
    return [
        _scopes(facts),
        _unread(facts),
        _archived(facts),
        _troubled(facts),
        _without_good(facts),
        _deleted(facts),
        _changes(facts),
        _images(facts),
    ]


def _key(text: str) -> Cell:
    return Cell(text, kind="k")


def _number(value: int | None) -> Cell:
    return Cell("" if value is None else f"{value:,}", str(-1 if value is None else value), "n")


def _when(instant: datetime | None, never: str = "") -> Cell:
    # ISO 8601 sorts as it reads.
    return Cell(minute(instant) or never, kind="k")


def _status(status: str | None) -> Cell:
    return Cell(status or "", kind="bad k" if status and status.endswith("_FAILED") else "k")


def _place(row: Row) -> tuple[Cell, Cell]:
    return _key(f"{row['account_id']}/{row['region']}"), _key(row["image_name"] or "(list of images)")


def _rows(found: Found, cells: Callable[[Row], Sequence[Cell]]) -> list[Sequence[Cell]]:
    return [cells(row) for row in found.rows]


def _scopes(facts: Facts) -> Table:
    return Table(
        id="scopes",
        title="How fresh each scope is",
        about="Everything that changed at AWS up to the confirmed instant is in this report (UTC, by AWS's clock).",
        nothing="No scope was ever read.",
        columns=("scope", "confirmed until", "before this state", "images", "live versions", "unread", "why"),
        rows=[_scope(scope, facts) for scope in facts.scopes],
        total=len(facts.scopes),
        rest="image-history status",
    )


def _scope(scope: Scope, facts: Facts) -> Sequence[Cell]:
    until = scope.covered_until
    age = None if until is None else facts.now - until
    return (
        _key(scope.name),
        _when(until, "never"),
        Cell("" if age is None else span(age), "" if age is None else str(round(age.total_seconds())), "n k"),
        _number(scope.images),
        _number(scope.versions),
        Cell(f"{scope.unread:,}" if scope.unread else "", str(scope.unread), "n bad"),
        Cell(scope.why),
    )


def _unread(facts: Facts) -> Table:
    return Table(
        id="unread",
        title="What could not be read",
        about="The last run tried and failed. Figures of these images are older than this report.",
        nothing="Everything was read whole.",
        columns=("scope", "image", "outcome", "confirmed until", "why"),
        rows=_rows(
            facts.unread,
            lambda row: (
                *_place(row),
                Cell(row["outcome"], kind="bad k"),
                _when(row["covered_until"], "never"),
                Cell(row["error_message"] or "It was not read to its end."),
            ),
        ),
        total=facts.unread.total,
        rest="image-history status --format csv",
        bad=True,
    )


def _archived(facts: Facts) -> Table:
    return Table(
        id="archived",
        title="Archived, but under a moving alias",
        about="A job that starts from such an alias runs a version that its maintainer archived, or will archive.",
        nothing="None.",
        columns=("scope", "image", "version", "aliases", "guidance", "last modified"),
        rows=_rows(
            facts.archived,
            lambda row: (
                *_place(row),
                _number(row["version"]),
                Cell(", ".join(row["aliases"])),
                Cell(row["vendor_guidance"], kind="bad k"),
                _when(row["last_modified_time"]),
            ),
        ),
        total=facts.archived.total,
        rest="image-history query @archived-but-aliased --format csv",
    )


def _troubled(facts: Facts) -> Table:
    return Table(
        id="failed",
        title="Failed or stuck",
        about="Versions that failed, or have been CREATING or DELETING for more than a day, the latest first.",
        nothing="None.",
        columns=("scope", "image", "version", "status", "since", "reason"),
        rows=_rows(
            facts.troubled,
            lambda row: (
                *_place(row),
                _number(row["version"]),
                _status(row["image_version_status"]),
                _when(row["last_modified_time"]),
                Cell(row["failure_reason"] or ""),
            ),
        ),
        total=facts.troubled.total,
        rest="image-history query @failed-versions --format csv",
    )


def _without_good(facts: Facts) -> Table:
    found = facts.without_good_version
    return Table(
        id="no-good",
        title="Images without a good version",
        about="They have versions, but none is CREATED: nothing can start from them.",
        nothing="Every image that has versions has a good one.",
        columns=("scope", "image", "live versions", "newest", "status", "reason"),
        rows=_rows(
            found,
            lambda row: (
                *_place(row),
                _number(row["live"]),
                _number(row["newest_version"]),
                _status(row["newest_status"]),
                Cell(row["newest_reason"] or ""),
            ),
        ),
        total=found.total,
        rest="image-history query @images-without-good-version --format csv",
    )


def _deleted(facts: Facts) -> Table:
    return Table(
        id="deleted",
        title=f"Deleted since {minute(facts.since)}",
        about="AWS does not say when a version is deleted: it was there at the first instant and gone at the second.",
        nothing="Nothing was deleted.",
        columns=("scope", "image", "version", "was", "still there", "gone by", "within", "how sure"),
        rows=_rows(facts.deleted, _gone),
        total=facts.deleted.total,
        rest='image-history export "FROM image_versions WHERE etl_deleted_at IS NOT NULL" --output deleted.csv',
    )


def _gone(row: Row) -> Sequence[Cell]:
    seen, gone = row["last_seen_at"], row["gone_at"]
    within = None if seen is None else gone - seen
    return (
        *_place(row),
        _number(row["version"]),
        _status(row["last_status"]),
        _when(seen, "unknown"),
        _when(gone),
        Cell(
            "" if within is None else span(within),
            "" if within is None else str(round(within.total_seconds())),
            "n k",
        ),
        Cell(f"confirmed: {proof(row['evidence'])}"),
    )


def _changes(facts: Facts) -> Table:
    return Table(
        id="changes",
        title=f"Changes since {minute(facts.since)}",
        about="By the time at AWS, the latest first; a deletion has the instant by which the version was gone.",
        nothing="Nothing changed.",
        columns=("when", "scope", "image", "version", "change", "status", "what"),
        rows=_rows(
            facts.changes,
            lambda row: (
                _when(row["happened_at"]),
                *_place(row),
                _number(row["version"]),
                Cell(row["change"], kind="bad k" if row["change"] == "deleted" else "k"),
                _status(row["image_version_status"]),
                Cell(row["failure_reason"] or ", ".join(_changed_columns(row))),
            ),
        ),
        total=facts.changes.total,
        rest=f"image-history diff --since {facts.since:%Y-%m-%dT%H:%M:%SZ} --details --format csv",
    )


def _changed_columns(row: Row) -> Sequence[str]:
    """The columns that changed; empty unless the change is a modification."""
    return row["changed_columns"] if row["change"] == "modified" else ()


def _images(facts: Facts) -> Table:
    return Table(
        id="images",
        title="Images",
        about="Images that changed last come first. Aliases that name a number, such as v29, are left out.",
        nothing="There is no image.",
        columns=("scope", "image", "live", "failed", "deleted", "newest", "status", "aliases", "last change"),
        rows=_rows(facts.images, _image),
        total=facts.images.total,
        rest="image-history export images --output images.csv",
    )


def _image(row: Row) -> Sequence[Cell]:
    gone: datetime | None = row["deleted_at"]
    status = (
        Cell(f"deleted {gone.astimezone(UTC):%Y-%m-%d}", kind="bad k")
        if gone
        else _status(row["newest_status"])
    )
    return (
        *_place(row),
        _number(row["live"]),
        _number(row["failed"]),
        _number(row["deleted"]),
        _number(row["newest_version"]),
        status,
        Cell(", ".join(row["aliases"] or ())),
        _when(row["changed_at"]),
    )
