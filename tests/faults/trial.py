"""A site under faults: the result of a sync, and the checks after the faults.

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
    """A world of three images of five versions and one of many, ten minutes apart, with a frozen clock."""
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
    """The result of a sync: its exit code, and its report or its error message."""

    code: int
    report: RunReport | None = None
    message: str = ""

    @property
    def failures(self) -> dict[str | None, str]:
        """The error code of each image that was not read completely."""
        assert self.report is not None, self.message
        return {failure.image_name: failure.error_code for failure in self.report.failures}


@dataclass(slots=True)
class Trial:
    """A site whose syncs make one call at a time, and the watermarks from before its faults."""

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
        """Activate these faults, and keep the watermarks from before them."""
        self.site.simulator.faults = rules
        self.watermarks = self.marks()

    def spoil_in_turn(self, kinds: Sequence[str], image: str = LARGE, seconds: float | None = None) -> None:
        """Activate one fault of each kind, each on another request for the image's list."""
        self.spoil(
            *(
                FaultRule(kind=kind, operation="ListImageVersions", image=image, nth=number, seconds=seconds)
                for number, kind in enumerate(kinds, start=1)
            )
        )

    def sync(self, **options: object) -> Came:
        """Run a sync in this process; its waits between attempts take no time and are recorded."""
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
        """The watermark and the number of live versions of each image in the warehouse."""
        if not self.config.warehouse.exists():
            return {}
        rows = self.site.ask(
            "SELECT image_name, epoch_ms(watermark), live_versions FROM streams ORDER BY image_name"
        )
        return {row[:1]: row[1:] for row in rows}

    def figures(self) -> Row:
        """The retries, throttles and outcome of the last loaded run."""
        return self.site.ask(
            "SELECT retries, throttles, outcome FROM runs ORDER BY finished_at DESC LIMIT 1"
        )[0]

    def injected(self) -> dict[str, int]:
        """The number of injected faults of each kind in the last sync."""
        return self.site.simulator.counters.totals().injected

    def assert_unmoved(self, image: str) -> None:
        """Check that the image's watermark and number of live versions are the same as before the faults."""
        assert self.marks().get((image,)) == self.watermarks.get((image,))

    def assert_converges(self) -> None:
        """Sync without faults; then no row is lost, doubled or falsely deleted, and no watermark has moved back."""
        self.site.simulator.faults = ()
        came = self.sync(full=True)
        # A resumed run keeps the failures of its faults, so a further sync is needed.
        while came.report is not None and came.report.resumed:
            came = self.sync(full=True)
        assert came.code == 0, (came.message, came.report)
        self.site.assert_true()
        for name, before in self.watermarks.items():
            after = self.marks().get(name, before)
            assert before[0] is None or after[0] >= before[0], name  # type: ignore[operator]  # integers
        self.assert_nothing_falsely_deleted()

    def assert_nothing_falsely_deleted(self) -> None:
        """Check that each version with a `deleted` event does not exist in AWS, or also has a `recreated` event."""
        there = {(row.image_name, row.version) for row in self.site.world.truth()}
        gone = self.site.ask(
            "SELECT image_name, version FROM image_version_events WHERE etl_change = 'deleted' "
            "EXCEPT SELECT image_name, version FROM image_version_events WHERE etl_change = 'recreated'"
        )
        assert there.isdisjoint(gone)
