"""Kills syncs at random moments, while the account that they read keeps changing.

Must not know the connector's files, except for the landing that a resumed sync continues from.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from image_history.errors import LandingError
from image_history.landing.runs import LandedRun, Landing
from image_history.simulator import Simulator, VirtualClock, World, generate
from image_history.warehouse.statements import names, statement
from tests.behaviour.harness import STORED, true_rows
from tests.faultpoints.forking import Command, Ended, Forge
from tests.looking import looking

NOON_MS = 1_790_000_000_000
PAGE_ROWS = 10
CHECKPOINT_ROWS = 50
CONCURRENCY = 3
SETTINGS = {
    "AWS_EC2_METADATA_DISABLED": "true",
    "IMAGE_HISTORY_PAGE_SIZE": str(PAGE_ROWS),
    "IMAGE_HISTORY_CHECKPOINT_ROWS": str(CHECKPOINT_ROWS),
    "IMAGE_HISTORY_CONCURRENCY": str(CONCURRENCY),
    "IMAGE_HISTORY_RATE__LIST_PER_SECOND": "10000",
    "IMAGE_HISTORY_RATE__DESCRIBE_PER_SECOND": "10000",
}
# An event is stored twice if two rows have the same state; a version and its change identify a state.
DOUBLED = """
SELECT count(*) FROM (
    SELECT 1 FROM image_version_events
    GROUP BY account_id, region, image_name, version, creation_time, last_modified_time, etl_change
    HAVING count(*) > 1
)
"""
Counts = Mapping[str, int]


@dataclass(slots=True)
class KillFigures:
    """The results of all trials: a sync that ended before its signal is not counted in `killed`."""

    trials: int = 0
    killed: int = 0
    epochs: int = 0
    lost: int = 0
    duplicated: int = 0
    falsely_deleted: int = 0
    longest_resume_pages: int = 0
    bound_pages: int = CHECKPOINT_ROWS // PAGE_ROWS + CONCURRENCY
    failures: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether no row was lost, duplicated or falsely deleted, and every resume stayed within its bound."""
        wrong = self.lost or self.duplicated or self.falsely_deleted or self.failures
        return not wrong and self.longest_resume_pages <= self.bound_pages

    def add(self, other: KillFigures) -> None:
        """Add the results of another loop."""
        for name in ("trials", "killed", "epochs", "lost", "duplicated", "falsely_deleted"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.longest_resume_pages = max(self.longest_resume_pages, other.longest_resume_pages)
        self.failures += other.failures

    def __str__(self) -> str:
        return (
            f"{self.trials} kill trials ({self.killed} cut off, {self.epochs} epochs): {self.lost} lost, "
            f"{self.duplicated} duplicated, {self.falsely_deleted} falsely deleted; longest resume read "
            f"{self.longest_resume_pages} pages again (at most {self.bound_pages})"
        )


@dataclass(slots=True)
class KillLoop:
    """Kills syncs of one warehouse. An epoch ends with clean full syncs and a comparison with the true state."""

    folder: Path
    simulator: Simulator
    forge: Forge
    rng: random.Random
    figures: KillFigures = field(default_factory=KillFigures)
    pages: dict[str, set[str]] = field(default_factory=dict)
    sync_seconds: float = 1.0

    @property
    def world(self) -> World:
        return self.simulator.world

    def run(self, trials: int, *, trials_an_epoch: int) -> KillFigures:
        """Run `trials` kill trials; returns the results."""
        while self.figures.trials < trials:
            self._begin()
            for _ in range(min(trials_an_epoch, trials - self.figures.trials)):
                self._trial()
            self._judge()
        return self.figures

    def _begin(self) -> None:
        """Start each epoch with a new warehouse, so that first syncs are killed as well."""
        self.figures.epochs += 1
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True)

    def _sync(self, *arguments: str, kill_after_seconds: float | None = None) -> Ended:
        environment = SETTINGS | self.simulator.environment()
        return self.forge.run(
            Command(
                str(self.folder),
                ("sync", *arguments),
                environment,
                None,
                (),
                kill_after_seconds=kill_after_seconds,
            )
        )

    def _trial(self) -> None:
        before = self._unfinished()
        self.simulator.counters.reset()
        full = ("--full",) if self.rng.random() < 0.2 else ()
        ended = self._sync(*full, kill_after_seconds=self.rng.uniform(0, self.sync_seconds))
        self.figures.trials += 1
        if ended.code == -9:
            self.figures.killed += 1
        elif ended.code != 0:
            self.figures.failures.append(f"exit {ended.code}: {ended.sentence}")
        self._count_pages(before)
        if self.rng.random() < 0.3:
            self._change()

    def _unfinished(self) -> LandedRun | None:
        try:
            runs = Landing(self.folder / "image-history.landing").runs()
        except LandingError as error:
            self.figures.failures.append(str(error))
            return None
        unfinished = [run for run in runs if not run.finished]
        return unfinished[-1] if unfinished else None

    def _count_pages(self, resumed: LandedRun | None) -> None:
        """Count the pages of a run that both the killed sync and the sync that resumes it requested."""
        asked = [
            f"{record.image_name} {record.parameters.get('NextToken', '')}"
            for record in self.simulator.counters.log
            if record.operation == "ListImageVersions"
        ]
        current = self._unfinished()
        for run_id in {run.plan.run_id for run in (resumed, current) if run is not None}:
            earlier = self.pages.setdefault(run_id, set())
            if resumed is not None and resumed.plan.run_id == run_id:
                again = len(earlier.intersection(asked))
                self.figures.longest_resume_pages = max(self.figures.longest_resume_pages, again)
                earlier |= set(asked)
            elif resumed is None:
                earlier |= set(asked)

    def _change(self) -> None:
        """Advance the clock, and create, update or delete one version."""
        self.simulator.clock.advance(self.rng.randint(1_000, 3_600_000))
        rows = self.world.truth()
        row = self.rng.choice(rows)
        kind = self.rng.choice(("create", "update", "delete"))
        if kind == "create":
            self.world.create_version(row.image_name)
        elif kind == "update":
            self.world.update_version(row.image_name, row.version)
        else:
            self.world.delete_version(row.image_name, row.version)

    def _judge(self) -> None:
        """Run two clean syncs, and compare all tables with the true state."""
        for _ in range(2):
            self.simulator.clock.advance(60_000)
            ended = self._sync("--full")
            if ended.code != 0:
                self.figures.failures.append(f"clean sync: exit {ended.code}: {ended.sentence}")
                return
            self.sync_seconds = ended.seconds
        truth = true_rows(self.world)
        with looking(self.folder / "image-history.duckdb") as connection:
            stored = connection.execute(STORED).fetchall()
            keys = {row[:4] for row in truth}
            deleted = connection.execute(
                "SELECT account_id, region, image_name, version FROM image_versions WHERE etl_deleted_at IS NOT NULL"
            ).fetchall()
            doubled = connection.execute(DOUBLED).fetchone()
            wrong = [name for name in names("audit") if connection.execute(statement(name)).fetchall()]
        self.figures.lost += len(truth - set(stored))
        self.figures.duplicated += len(stored) - len(set(stored)) + (doubled[0] if doubled else 0)
        self.figures.falsely_deleted += len(keys.intersection(deleted))
        self.figures.failures += [f"the audit {name} found rows" for name in wrong]
        if set(stored) - truth:
            self.figures.failures.append(f"{len(set(stored) - truth)} rows are stored that AWS does not have")


def small_account(seed: int) -> World:
    """Five images, one of them with several pages, and a clock that advances only with a change."""
    clock = VirtualClock(frozen_at=NOON_MS)
    return generate(seed, images=5, versions_per_image=8, largest=75, clock=clock)
