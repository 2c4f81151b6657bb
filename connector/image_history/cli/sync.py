"""`image-history sync`: the main job, its progress, its summary and its exit code.

Must not know how a run is made, only its options and its report.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from image_history.cli import Globals, Verb
from image_history.cli.parts import images_option, part_option, scopes_option
from image_history.cli.showing import document_option, print_document

if TYPE_CHECKING:
    from image_history.model import RunReport, Stop

logger = logging.getLogger(__name__)

_DRIFT = 1
_NO_PERMISSION = 3
_PARTIAL = 4
_MASS_DELETE = 9


@click.command("sync", cls=Verb)
@click.option("--full", is_flag=True, help="List every image whole, changed or not.")
@images_option
@scopes_option
@click.option("--fresh", is_flag=True, help="Forget an unfinished run instead of continuing it.")
@click.option(
    "--allow-mass-delete",
    is_flag=True,
    help="Mark versions deleted even if a scope loses very many of them.",
)
@click.option(
    "--accept-account", is_flag=True, help="Accept that a profile now leads to another account than before."
)
@part_option
@click.option("--strict", is_flag=True, help="Exit with 1 if AWS sent a member or a value that is not known.")
@document_option
@click.option(
    "--metrics-file",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Write what the run did to this file, as OpenMetrics for node_exporter; also if it fails.",
)
@click.pass_obj
def command(
    options: Globals, /, *, strict: bool, as_json: bool, metrics_file: Path | None, **given: Any
) -> int:
    """Read what changed at AWS since the last sync, and load it.

    Each load becomes visible whole or not at all: at the end of a run, and of a long run also in parts, while it goes
    on. An unfinished run (killed, interrupted, throttled) is continued where it stopped. The exit code is 0 if every
    image was read whole, 4 if some could not be read or a dataset could not be published, and 9 if a scope would
    have lost so many versions that none was marked deleted. What was read is loaded in each case.
    """
    config = options.config()
    from image_history.cli.metrics import measured_into
    from image_history.cli.progress import progress
    from image_history.cli.reports import document, print_report
    from image_history.model import Stop
    from image_history.notify.stage import sync
    from image_history.run.planning import SyncOptions
    from image_history.telemetry import exporting

    # Imported modules stay, so the garbage collector need not search them again.
    gc.freeze()
    stop = Stop()
    wanted = SyncOptions(**given)
    with exporting(os.environ), measured_into(metrics_file, config) as measured:
        with _signals(stop), progress(quiet=options.verbosity < 0) as watcher:
            report = sync(config, options=wanted, progress=watcher, stop=stop)
        measured.report, measured.exit_code = report, exit_code(report, strict=strict)
        logger.info("sync_ended", extra=_figures(report) | {"exit_code": measured.exit_code})
        print_document(document(report)) if as_json else print_report(report, wanted.part)
    return measured.exit_code


def _figures(report: RunReport) -> dict[str, object]:
    """The fields of the log line for a run that ended."""
    return {
        "run_id": report.run_id,
        "outcome": report.outcome.value,
        "duration_seconds": round(report.duration_seconds, 3),
        "lock_seconds": round(report.lock_seconds, 3),
        "calls": report.calls.total,
        **report.rows.by_change(),
    }


def exit_code(report: RunReport, *, strict: bool = False) -> int:
    """0 if all was read whole and published, 9 if deletions were held back, 3 if nothing may be read, else 4.

    With `strict`, 1 if all was read whole, and AWS sent a member or a value that is not known.
    """
    from image_history.model import Outcome

    if any(scope.held_back for scope in report.scopes):
        return _MASS_DELETE
    if report.outcome is Outcome.COMPLETE:
        errors = [
            *(publication.error for publication in report.publications),
            *(notification.error for notification in report.notifications),
        ]
        if any(error is not None for error in errors):
            return _PARTIAL
        return _DRIFT if strict and report.drift else 0
    denied = all(failure.outcome is Outcome.DENIED for failure in report.failures)
    whole = sum(scope.streams for scope in report.scopes) > sum(
        failure.image_name is not None for failure in report.failures
    )
    return _NO_PERMISSION if denied and not whole else _PARTIAL


@contextmanager
def _signals(stop: Stop) -> Iterator[None]:
    """SIGINT and SIGTERM request a stop of the run; a second one ends the process at once."""

    def ask(number: int, _: types.FrameType | None) -> None:
        if stop.requested:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        stop.request(number)
        _say_stopping(number)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say_stopping(number: int) -> None:
    from image_history.cli.logs import as_json

    if as_json():
        logger.warning("stopping", extra={"signal": signal.Signals(number).name})
    else:
        sys.stderr.write("\nStopping: writing what was read ...\n")
