"""A store that does everything on a real warehouse as well, and fails where the two differ.

Must not know schedules, or how a listing is accepted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq

from image_history.aws.bodies import Image, epoch_ms
from image_history.landing.rows import VersionPage, empty_images, image_table, version_table
from image_history.landing.runs import LandedRun, RunPlan, ScopePlan
from image_history.listing.verdict import Findings
from image_history.model import Calls, Checkpoint, ListingKind, PlannedStream
from image_history.warehouse.findings import hold_against
from image_history.warehouse.loader import load_run
from image_history.warehouse.warehouse import Connection
from tests.properties.collection import STREAM
from tests.properties.store import Landing, Store, Stored

VERSIONS = """
SELECT version, epoch_ms(creation_time), epoch_ms(last_modified_time), image_version_status, etl_delete_evidence
FROM image_versions
"""
STREAMS = """
SELECT epoch_ms(watermark), highest_version, first_version_seen, live_versions, epoch_ms(image_created_at), held_back
FROM streams
"""
ABSENT = "SELECT first_version, last_version, epoch_ms(image_created_at) FROM absent_versions"
_ARN = "arn:aws:sagemaker:us-east-1:111122223333:image/base"


@dataclass(slots=True)
class CheckedStore(Store):
    """The tables of one stream, twice. It is never copied: a schedule goes on with the one warehouse."""

    connection: Connection = field(kw_only=True)
    folder: Path = field(kw_only=True)
    checks: int = 0
    _runs: int = 0
    _files: int = 0

    def copy(self) -> Store:
        return self

    def findings(self, landing: Landing, mark: Checkpoint) -> Findings:
        """What both say of a listing that was read to its end."""
        said = Store.findings(self, landing, mark)
        held = hold_against(self.connection, self._landed(landing, mark))
        found = held.findings.get(STREAM, Findings())
        assert found == said, f"the warehouse finds {found}, the model {said}"
        self.checks += 1
        return said

    def load(self, landing: Landing) -> list[Stored]:
        """Load a run into both."""
        deleted = Store.load(self, landing)
        if landing.mark is not None:
            self._runs += 1
            load_run(self.connection, self._landed(landing, landing.mark))
            self._compare()
        return deleted

    def _compare(self) -> None:
        stored = {
            (
                number,
                epoch_ms(each.row.CreationTime),
                epoch_ms(each.row.LastModifiedTime),
                each.row.ImageVersionStatus,
                None if each.evidence is None else each.evidence.value,
            )
            for number, each in self.versions.items()
        }
        assert self._rows(VERSIONS) == stored
        present = self.present(self.image_ms)
        known = (
            self.watermark_ms,
            max(present, default=None),
            min(present, default=None),
            len(self.live()),
            self.stream_image_ms,
            self.held_back,
        )
        assert self._rows(STREAMS) == {known}
        assert self._rows(ABSENT) == set(self.absent)
        self.checks += 1

    def _rows(self, query: str) -> set[tuple[object, ...]]:
        return set(self.connection.duck.execute(query).fetchall())

    def _landed(self, landing: Landing, mark: Checkpoint) -> LandedRun:
        pages = [
            VersionPage(STREAM, [each.row], each.reading, each.page, each.t0_ms) for each in landing.rows
        ]
        # DuckDB remembers files by name: each has its own, as in a landing.
        self._files += 1
        segment = self.folder / f"segment-{self._files}.parquet"
        pq.write_table(version_table(pages), segment)
        folder = self.folder / f"run-{self._files}"
        folder.mkdir()
        created_ms = landing.image_created_ms
        image = Image("base", _ARN, "CREATED", (created_ms or 0) / 1000, 0.0)
        images = empty_images() if created_ms is None else image_table(STREAM.scope, [image])
        pq.write_table(images, folder / "images.parquet")
        plan = RunPlan(
            run_id=f"run {self._runs}",
            started_at_ms=0,
            mode=ListingKind.FULL,
            selection="",
            scopes=(ScopePlan(STREAM.scope, None, 1, 1, mark.t0_ms or 0, Calls()),),
            streams=(PlannedStream(STREAM, mark.request),),
        )
        return LandedRun(folder, plan, (segment,), {STREAM: mark}, {}, tuple(landing.absences))
