"""`sync --metrics-file`: the metrics of the last run for node_exporter, whether or not it succeeded."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from image_history.cli.metrics import Measured
from image_history.errors import InterruptedRunError, SourceError
from image_history.landing.runs import Landing
from image_history.simulator import FaultRule
from tests.behaviour.commanding import Commanded, commanded, commanding
from tests.behaviour.test_refusals import held

__all__ = ["commanded", "commanding"]

pytestmark = pytest.mark.duckdb

FILE = "sync.prom"
SCOPE = {"account_id": "111122223333", "region": "us-east-1"}
RUN_COMPLETE = "image_history_last_complete_timestamp_seconds"
SCOPE_COMPLETE = "image_history_scope_last_complete_timestamp_seconds"


class Figures:
    """A metrics file as both of Prometheus's parsers read it; they have to agree."""

    def __init__(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        self.all = self._read(openmetrics(text))  # type: ignore[no-untyped-call]  # prometheus_client's own lack
        assert self._read(prometheus(text)) == self.all

    @staticmethod
    def _read(families: Any) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        found = [family for family in families if family.samples]
        assert {family.type for family in found} == {"gauge"}
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in found
            for sample in family.samples
        }

    def of(self, name: str, labels: Mapping[str, str] | None = None) -> float | None:
        """One metric's value, or None if the metric is missing."""
        return self.all.get((f"image_history_{name}", frozenset((labels or {}).items())))

    def scope(self, name: str, **labels: str) -> float | None:
        """One metric's value for the only scope."""
        return self.of(f"scope_{name}", SCOPE | labels)

    @property
    def outcome(self) -> str:
        """The only outcome whose value is 1."""
        (only,) = [
            dict(labels)["outcome"]
            for (name, labels), value in self.all.items()
            if name == "image_history_last_run_outcome" and value == 1
        ]
        return only

    @property
    def complete(self) -> dict[str, float]:
        """The times when the run and its scope were last complete."""
        return {
            name: value for (name, _), value in self.all.items() if name in {RUN_COMPLETE, SCOPE_COMPLETE}
        }


def figures(site: Commanded) -> Figures:
    """The metrics in the file."""
    return Figures(site.folder / FILE)


def test_metrics_are_those_of_the_report(commanded: Commanded) -> None:
    """The file has every count of the report and the sizes of the files on disk, and every user may read it."""
    answered = commanded("sync", "--json", "--metrics-file", FILE)
    report = json.loads(answered.out)
    told = figures(commanded)
    (scope,) = report["scopes"]
    assert told.outcome == report["outcome"] == "complete"
    assert told.of("last_run_exit_code") == answered.code == 0
    assert told.of("last_run_lock_seconds") == report["lock_seconds"]
    assert (told.of("last_run_duration_seconds") or 0) >= report["duration_seconds"]
    assert told.scope("images") == scope["streams"]
    for operation, count in scope["calls"]["by_operation"].items():
        assert told.scope("calls", operation=operation) == count
    for change, count in scope["rows"].items():
        assert told.scope("rows", change=change) == count
    assert told.scope("retries") == told.scope("throttles") == told.scope("failures") == 0
    assert told.scope("answer_bytes") == scope["calls"]["bytes"]
    assert told.of("warehouse_bytes") == commanded.site.config.warehouse.stat().st_size
    assert told.of("landing_bytes") == 0
    # node_exporter runs as another user: only this file is readable by all, and no temporary file stays beside it.
    assert stat.S_IMODE((commanded.folder / FILE).stat().st_mode) == 0o644
    assert stat.S_IMODE(commanded.site.config.warehouse.stat().st_mode) == 0o600
    assert [path.name for path in commanded.folder.glob("*prom*")] == [FILE]


def test_metrics_of_throttled_and_partial_runs_say_so(commanded: Commanded) -> None:
    """Retries and throttles are counted; an image that cannot be read makes the scope incomplete."""
    name = min(row.image_name for row in commanded.site.world.truth())
    commanded.site.simulator.faults = (
        FaultRule(kind="throttling", operation="ListImages", times=2),
        FaultRule(kind="access_denied", operation="ListImageVersions", image=name),
    )
    assert commanded("sync", "--metrics-file", FILE).code == 4
    told = figures(commanded)
    assert told.outcome == "partial"
    assert told.of("last_run_exit_code") == 4
    assert (told.scope("retries"), told.scope("throttles"), told.scope("failures")) == (2, 2, 1)
    assert told.complete == {}


def test_metrics_of_a_failed_run_keep_when_it_was_last_complete(commanded: Commanded) -> None:
    """A failed run writes its exit code and outcome, and keeps the times of the last complete run."""
    commanded("sync", "--metrics-file", FILE)
    before = figures(commanded)
    commanded.site.simulator.faults = (FaultRule(kind="unknown_credentials"),)
    assert commanded("sync", "--metrics-file", FILE).code == 3
    after = figures(commanded)
    assert (after.outcome, after.of("last_run_exit_code")) == ("failed", 3)
    assert len(before.complete) == 2
    assert after.complete == before.complete
    assert after.scope("images") is None


def test_metrics_tell_of_rows_that_wait_for_the_warehouse(
    commanded: Commanded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another program holds the warehouse, the metrics have the size of the segments that wait for it."""
    monkeypatch.setenv("IMAGE_HISTORY_LOCK_WAIT", "0s")
    commanded("sync")
    with held(commanded.site.config.warehouse):
        assert commanded("sync", "--full", "--metrics-file", FILE).code == 5
    told = figures(commanded)
    landed = commanded.site.config.landing_folder.rglob("segment-*.parquet")
    assert told.of("landing_bytes") == sum(path.stat().st_size for path in landed)
    assert (told.of("landing_bytes") or 0) > 0


def test_metrics_are_left_to_the_sync_that_is_at_work(commanded: Commanded) -> None:
    """A sync that finds another sync running writes no metrics file."""
    with Landing(commanded.site.config.landing_folder).locked():
        assert commanded("sync", "--metrics-file", FILE).code == 7
    assert not (commanded.folder / FILE).exists()


def test_metrics_file_that_cannot_be_written_stops_before_anything_is_read(commanded: Commanded) -> None:
    """If the file's folder does not exist, a sync exits with 2 and names it before any call to AWS."""
    answered = commanded("sync", "--metrics-file", "nowhere/sync.prom")
    assert answered.code == 2
    assert "there is no folder nowhere" in answered.err
    assert commanded.site.simulator.counters.calls() == 0


def test_metrics_file_that_is_damaged_is_written_anew(commanded: Commanded) -> None:
    """A metrics file that cannot be read is replaced, with a warning."""
    (commanded.folder / FILE).write_bytes(b"image_history_last_complete_timestamp_seconds \xff\n")
    answered = commanded("sync", "--metrics-file", FILE)
    assert answered.code == 0
    assert "metrics_forgotten" in answered.err
    assert figures(commanded).outcome == "complete"


@pytest.mark.parametrize(
    ("error", "outcome", "code"),
    [
        pytest.param(InterruptedRunError("stopped", signal_number=15), "interrupted", 143, id="sigterm"),
        pytest.param(KeyboardInterrupt(), "interrupted", 130, id="ctrl-c"),
        pytest.param(SourceError("throttled"), "failed", 6, id="ours"),
        pytest.param(ZeroDivisionError(), "failed", 1, id="unexpected"),
    ],
)
def test_ending_has_the_exit_code_of_its_error(error: BaseException, outcome: str, code: int) -> None:
    """Whatever error ends a run, the metrics have the exit code of the process."""
    ending = Measured().failure(error)
    assert (ending.outcome, ending.exit_code, ending.report) == (outcome, code, None)


def test_reader_that_went_away_leaves_the_figures_of_the_run(
    commanded: Commanded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the report cannot be printed, the metrics still have the run's own outcome."""

    def gone(*_: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("image_history.cli.reports.print_report", gone)
    assert commanded("sync", "--metrics-file", FILE).code == 141
    assert (figures(commanded).outcome, figures(commanded).scope("images")) == ("complete", 2)
