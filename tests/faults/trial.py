"""A site under faults: what one sync of it comes to, and what must hold once the faults are over.

Must not know which faults there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import msgspec

from image_history.cli.sync import exit_code
from image_history.config import Config, Retry, Timeout
from image_history.errors import ConnectorError
from image_history.model import RunReport, Stop
from image_history.run.pipeline import SyncOptions, sync
from image_history.simulator import FaultRule, VersionRecord, VirtualClock, World
from tests.behaviour.harness import Row, Site
from tests.behaviour.stage import Waits

NOON_MS = 1_790_000_000_000
HOUR_MS = 3_600_000
SMALL = ("Alpha", "beta", "gamma-2.0")
LARGE = "large"
_DAY_MS = 86_400_000
CALM = Retry(attempts=8, max_wait=timedelta(milliseconds=1))
QUICK = Timeout(connect=timedelta(seconds=2), read=timedelta(seconds=1))


def world(large: int = 250) -> World:
    """Three images of five versions and one of many, made ten minutes apart, long ago; time stands still."""
    made = World(clock=VirtualClock(frozen_at=NOON_MS))
    for name, count in (*((name, 5) for name in SMALL), (LARGE, large)):
        made.create_image(name)
        for number in range(1, count + 1):
            at_ms = NOON_MS - 30 * _DAY_MS + number * 600_000
            record = VersionRecord(version=number, creation_ms=at_ms, last_modified_ms=at_ms + 370)
            made.put_version(name, record)
    return made


@dataclass(frozen=True, slots=True)
class Came:
    """What a sync came to: its exit code, and its report or its one sentence."""

    code: int
    report: RunReport | None = None
    message: str = ""

    @property
    def failures(self) -> dict[str | None, str]:
        """The images that were not read whole, each with its code."""
        assert self.report is not None, self.message
        return {failure.image_name: failure.error_code for failure in self.report.failures}


@dataclass(slots=True)
class Trial:
    """One site with a sync at a time, and what was known before its faults."""

    site: Site
    watermarks: dict[Row, Row] = field(default_factory=dict)
    waits: Waits = field(default_factory=Waits)

    def __post_init__(self) -> None:
        self.site.config = msgspec.structs.replace(
            self.site.config, concurrency=1, retry=CALM, timeout=QUICK, checkpoint_rows=1
        )

    @property
    def config(self) -> Config:
        """The configuration of the next sync."""
        return self.site.config

    def set(self, **changes: object) -> None:
        """Change the configuration of every later sync."""
        self.site.config = msgspec.structs.replace(self.site.config, **changes)

    def spoil(self, *rules: FaultRule) -> None:
        """Put these faults in force, and remember how far every image was read before them."""
        self.site.simulator.faults = rules
        self.watermarks = self.marks()

    def spoil_in_turn(self, kinds: Sequence[str], image: str = LARGE, seconds: float | None = None) -> None:
        """One fault of each kind, on one request of the image's list after the other."""
        self.spoil(
            *(
                FaultRule(kind=kind, operation="ListImageVersions", image=image, nth=number, seconds=seconds)
                for number, kind in enumerate(kinds, start=1)
            )
        )

    def sync(self, **options: object) -> Came:
        """One sync in this process, whose waits between attempts take no time and are written down."""
        self.site.simulator.counters.reset()
        self.waits = Waits()
        try:
            report = sync(
                self.config,
                options=SyncOptions(**options),  # type: ignore[arg-type]  # a test's own options
                stop=Stop(event=self.waits),
            )
        except ConnectorError as error:
            return Came(error.exit_code, message=error.message)
        return Came(exit_code(report), report)

    def marks(self) -> dict[Row, Row]:
        """How far every image has been read, as the warehouse has it."""
        if not self.config.warehouse.exists():
            return {}
        rows = self.site.ask(
            "SELECT image_name, epoch_ms(watermark), live_versions FROM streams ORDER BY image_name"
        )
        return {row[:1]: row[1:] for row in rows}

    def figures(self) -> Row:
        """Retries, throttles and outcome of the run that was loaded last."""
        return self.site.ask(
            "SELECT retries, throttles, outcome FROM runs ORDER BY finished_at DESC LIMIT 1"
        )[0]

    def injected(self) -> dict[str, int]:
        """The faults that were made during the last sync."""
        return self.site.simulator.counters.totals().injected

    def assert_unmoved(self, image: str) -> None:
        """The image's watermark and live rows are what they were when the faults began."""
        assert self.marks().get((image,)) == self.watermarks.get((image,))

    def assert_converges(self) -> None:
        """One clean sync later: no row lost, doubled or falsely deleted, and no watermark went back."""
        self.site.simulator.faults = ()
        came = self.sync(full=True)
        # A run that was begun under faults ends as they left it.
        while came.report is not None and came.report.resumed:
            came = self.sync(full=True)
        assert came.code == 0, (came.message, came.report)
        self.site.assert_true()
        for name, before in self.watermarks.items():
            after = self.marks().get(name, before)
            assert before[0] is None or after[0] >= before[0], name  # type: ignore[operator]  # integers
        self.assert_nothing_falsely_deleted()

    def assert_nothing_falsely_deleted(self) -> None:
        """Whatever ever was called deleted is not there, or was found to have reappeared."""
        there = {(row.image_name, row.version) for row in self.site.world.truth()}
        gone = self.site.ask(
            "SELECT image_name, version FROM image_version_events WHERE etl_change = 'deleted' "
            "EXCEPT SELECT image_name, version FROM image_version_events WHERE etl_change = 'recreated'"
        )
        assert there.isdisjoint(gone)
