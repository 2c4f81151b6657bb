"""The OpenMetrics file of `sync --metrics-file`: what the last run did, for node_exporter's textfile collector.

Gauges only, so that it reads the same as OpenMetrics and in Prometheus's older text format. Must not know how a run
is made.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, time
from typing import TYPE_CHECKING

from image_history.durable.disk import unwritable
from image_history.errors import ConnectorError, InterruptedRunError, OutputError, SyncRunningError
from image_history.model import Outcome, RunReport, Scope, ScopeReport

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from image_history.config import Config

logger = logging.getLogger(__name__)

PREFIX = "image_history_"
OUTCOMES = ("complete", "partial", "failed", "interrupted")
_SCOPE = ("account_id", "region")
_LAST_COMPLETE = f"{PREFIX}last_complete_timestamp_seconds"
_SCOPE_COMPLETE = f"{PREFIX}scope_last_complete_timestamp_seconds"
# The user of node_exporter has to read it. It holds only counts and the names of accounts and regions.
_READABLE_BY_ALL = 0o644
_UNEXPECTED = 1


@dataclass(frozen=True, slots=True)
class Sample:
    """One figure: its labels in the order of the family's label names, and its value."""

    labels: tuple[str, ...]
    value: float


@dataclass(frozen=True, slots=True)
class Family:
    """The figures of one name; `labels` are the names of their labels."""

    name: str
    meaning: str
    samples: tuple[Sample, ...]
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended. `finished_at` and `duration_seconds` in seconds, the former since the epoch, UTC.

    `report` is None for a run that ended by an error.
    """

    outcome: str
    exit_code: int
    finished_at: float
    duration_seconds: float
    report: RunReport | None = None


@dataclass(slots=True)
class Measured:
    """What is known of a run before it ends: its report, and the exit code of that."""

    report: RunReport | None = None
    exit_code: int = 0
    _started: float = field(default_factory=monotonic)

    def ending(self) -> Ending:
        """How a run with a report ended."""
        outcome = "complete" if self.report and self.report.outcome is Outcome.COMPLETE else "partial"
        return self._ending(outcome, self.exit_code)

    def failure(self, error: BaseException) -> Ending:
        """How a run that raised `error` ended."""
        stopped = isinstance(error, InterruptedRunError | KeyboardInterrupt)
        code = error.exit_code if isinstance(error, ConnectorError) else 130 if stopped else _UNEXPECTED
        return self._ending("interrupted" if stopped else "failed", code)

    def _ending(self, outcome: str, code: int) -> Ending:
        return Ending(outcome, code, time(), monotonic() - self._started, self.report)


@contextmanager
def measured_into(path: Path | None, config: Config) -> Iterator[Measured]:
    """Write the file when the block ends, also by an error; without a `path`, write no file.

    OutputError, before the block, if the file cannot be written. If another sync is running, the file is left
    to that one. If the run fails and the file cannot be written either, the run's error is raised, and the
    other error is logged.
    """
    measured = Measured()
    if path is None:
        yield measured
        return
    _require_writable(path)
    try:
        yield measured
    except SyncRunningError:
        raise
    except BaseException as error:
        try:
            # An error after the report, such as a closed pipe, does not change how the run ended.
            ending = measured.failure(error) if measured.report is None else measured.ending()
            _write(path, ending, config)
        except OutputError as unwritten:
            logger.error("metrics_not_written", extra={"reason": unwritten.message})  # noqa: TRY400 - ours is raised
        raise
    _write(path, measured.ending(), config)


def _require_writable(path: Path) -> None:
    from image_history.formats.files import require_replaceable

    folder = path.parent
    problem = (
        f"there is no folder {folder}; make it first"
        if not folder.is_dir()
        else f"the folder {folder} cannot be written, {refusal}"
        if (refusal := unwritable(folder)) is not None
        else None
    )
    if problem is not None:
        raise OutputError(f"Cannot write {str(path)!r}: {problem}. Nothing was read.", path=str(path))
    require_replaceable(path)


def _write(path: Path, ending: Ending, config: Config) -> None:
    """Replace the file by one with the new figures, in one step."""
    from image_history.formats.files import replaced_file

    text = exposition(ending, remembered(path), config)
    with replaced_file(path) as sink:
        sink.write(text)
        os.fchmod(sink.fileno(), _READABLE_BY_ALL)


@dataclass(frozen=True, slots=True)
class Remembered:
    """When a run last read everything whole, and each scope: seconds since the epoch, UTC."""

    run: float | None = None
    scopes: Mapping[Scope, float] = field(default_factory=dict)


def remembered(path: Path) -> Remembered:
    """Read the times of complete runs from the file of the run before; empty if it cannot be read."""
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    run: float | None = None
    scopes: dict[Scope, float] = {}
    try:
        families = text_string_to_metric_families(path.read_text(encoding="utf-8"))  # type: ignore[no-untyped-call]
        for sample in (each for family in families for each in family.samples):
            if sample.name == _LAST_COMPLETE:
                run = sample.value
            elif sample.name == _SCOPE_COMPLETE:
                scopes[Scope(*(sample.labels[name] for name in _SCOPE))] = sample.value
    except FileNotFoundError:
        return Remembered()
    except (ValueError, KeyError, OSError) as error:
        logger.warning("metrics_forgotten", extra={"path": str(path), "reason": str(error)})
    return Remembered(run, scopes)


def exposition(ending: Ending, before: Remembered, config: Config) -> bytes:
    """The figures as OpenMetrics."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.openmetrics.exposition import generate_latest

    registry = CollectorRegistry(auto_describe=False)
    for family in (*_of_run(ending, before), *_of_scopes(ending, before), *_of_files(config)):
        _register(family, registry)
    text: bytes = generate_latest(registry)  # type: ignore[no-untyped-call] # prometheus_client's own lack
    return text


def _register(family: Family, registry: CollectorRegistry) -> None:
    from prometheus_client import Gauge

    if not family.samples:
        return
    gauge = Gauge(family.name, family.meaning, family.labels, registry=registry)
    for sample in family.samples:
        (gauge.labels(*sample.labels) if family.labels else gauge).set(sample.value)


def _single(name: str, meaning: str, value: float | None) -> Family:
    return Family(f"{PREFIX}{name}", meaning, () if value is None else (Sample((), value),))


def _of_run(ending: Ending, before: Remembered) -> Iterable[Family]:
    report = ending.report
    whole = ending.outcome == "complete"
    yield Family(
        f"{PREFIX}last_run_outcome",
        "What became of the last sync: 1 for the outcome that it had.",
        tuple(Sample((outcome,), float(outcome == ending.outcome)) for outcome in OUTCOMES),
        ("outcome",),
    )
    yield _single("last_run_exit_code", "Exit code of the last sync.", ending.exit_code)
    yield _single("last_run_timestamp_seconds", "When the last sync ended.", ending.finished_at)
    yield _single("last_run_duration_seconds", "How long the last sync took.", ending.duration_seconds)
    yield _single(
        "last_complete_timestamp_seconds",
        "When a sync last ended that read everything whole.",
        ending.finished_at if whole else before.run,
    )
    if report is not None:
        yield _single(
            "last_run_lock_seconds",
            "How long the last sync had the warehouse open for writing.",
            report.lock_seconds,
        )
        lagging = sum(publication.error is not None for publication in report.publications)
        yield _single("last_run_unpublished", "Datasets that the last sync could not bring in step.", lagging)
        hints = report.hints
        if hints is not None:
            yield _single("last_run_hint_messages", "Messages with hints that were there.", hints.messages)
            kept = hints.messages - hints.acknowledged
            yield _single("last_run_hint_messages_kept", "Messages that are left for the next sync.", kept)
            yield _single(
                "last_run_hints_usable", "0 where hints could not be relied on.", float(hints.problem is None)
            )
        unreadable = len(report.unreadable_scopes)
        yield _single("last_run_unreadable_scopes", "Scopes that the last sync could not read.", unreadable)


def _of_scopes(ending: Ending, before: Remembered) -> Iterable[Family]:
    scopes = ending.report.scopes if ending.report is not None else ()
    complete = {
        scope.scope: ending.finished_at for scope in scopes if not scope.failures and not scope.held_back
    }
    yield Family(
        _SCOPE_COMPLETE,
        "When a sync last ended that read the scope whole.",
        tuple(Sample(_key(scope), at) for scope, at in sorted({**before.scopes, **complete}.items())),
        _SCOPE,
    )
    for name, meaning, of in (
        ("images", "Images that the last sync read in the scope.", lambda scope: scope.streams),
        ("rested", "Images that were not listed, since nothing hinted at them.", lambda scope: scope.rested),
        ("hinted", "Images that hints were about.", lambda scope: scope.hinted),
        ("retries", "Requests that failed and may have been made again.", lambda scope: scope.calls.retries),
        ("throttles", "Requests that AWS throttled.", lambda scope: scope.calls.throttles),
        ("answer_bytes", "Bytes of AWS's answers.", lambda scope: scope.calls.bytes),
        ("failures", "Images that could not be read whole.", lambda scope: len(scope.failures)),
        ("held_back", "Deletions that were held back as too many at once.", lambda scope: scope.held_back),
    ):
        samples = tuple(Sample(_key(scope.scope), of(scope)) for scope in scopes)
        yield Family(f"{PREFIX}scope_{name}", meaning, samples, _SCOPE)
    yield Family(
        f"{PREFIX}scope_calls",
        "Requests to AWS, repeated ones included.",
        _by_label(scopes, lambda scope: scope.calls.by_operation),
        (*_SCOPE, "operation"),
    )
    yield Family(
        f"{PREFIX}scope_rows",
        "Rows of image_versions, by what was done with them; deleted is left out where that was not evaluated.",
        _by_label(scopes, lambda scope: scope.rows.by_change()),
        (*_SCOPE, "change"),
    )


def _key(scope: Scope) -> tuple[str, str]:
    return scope.account_id, scope.region


def _by_label(
    scopes: Sequence[ScopeReport], counts: Callable[[ScopeReport], Mapping[str, int]]
) -> tuple[Sample, ...]:
    return tuple(
        Sample((*_key(scope.scope), label), count)
        for scope in scopes
        for label, count in counts(scope).items()
    )


def _of_files(config: Config) -> Iterable[Family]:
    """The sizes on disk; that of the warehouse includes DuckDB's log beside it."""
    log = config.warehouse.with_name(f"{config.warehouse.name}.wal")
    yield _single("warehouse_bytes", "Size of the warehouse.", _size(config.warehouse) + _size(log))
    landed = sum(_size(path) for path in config.landing_folder.rglob("segment-*.parquet"))
    yield _single("landing_bytes", "Size of the fetched rows that wait to be loaded.", landed)


def _size(path: Path) -> int:
    """The size of a file in bytes; 0 if it does not exist."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
