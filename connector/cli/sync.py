"""`image-history sync`: the main job, its progress, its summary and its exit code.

Must not know how a run is made, only how it is asked for and what it reports.
"""

from __future__ import annotations

import signal
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from connector.cli import Globals, Verb

if TYPE_CHECKING:
    from connector.model import RunReport, Stop

_DRIFT = 1
_NO_PERMISSION = 3
_PARTIAL = 4
_MASS_DELETE = 9


@click.command("sync", cls=Verb)
@click.option("--full", is_flag=True, help="List every image whole, however quiet it is.")
@click.option("--image", "images", multiple=True, metavar="GLOB", help="Only images that match; repeatable.")
@click.option(
    "--scope", "scopes", multiple=True, metavar="ACCOUNT/REGION", help="Only this scope; repeatable."
)
@click.option("--fresh", is_flag=True, help="Forget an unfinished run instead of continuing it.")
@click.option(
    "--allow-mass-delete",
    is_flag=True,
    help="Let deletions through even if a scope loses very many versions.",
)
@click.option(
    "--accept-account", is_flag=True, help="Accept that a profile now leads to another account than before."
)
@click.option("--strict", is_flag=True, help="Exit 1 if AWS sent a member or a value that is new to us.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
@click.pass_obj
def command(options: Globals, /, *, strict: bool, as_json: bool, **asked: Any) -> int:
    """Read what changed at AWS since the last sync, and load it in one transaction.

    An unfinished run (killed, interrupted, throttled) is continued where it stopped. The exit code is 0
    when every image was read whole, 4 when some could not be or a dataset could not be published, 9 when a
    scope would have lost so many versions that none was marked deleted; what was read is loaded either way.
    """
    config = options.config()
    from connector.cli.progress import progress
    from connector.cli.reports import print_report, report_json
    from connector.model import Stop
    from connector.pipeline import SyncOptions, sync

    stop = Stop()
    wanted = SyncOptions(**asked)
    with _signals(stop), progress(quiet=options.verbosity < 0) as watcher:
        report = sync(config, options=wanted, progress=watcher, stop=stop)
    if as_json:
        click.echo(report_json(report))
    else:
        print_report(report)
    return exit_code(report, strict=strict)


def exit_code(report: RunReport, *, strict: bool = False) -> int:
    """0 if all was read whole and published, 9 if deletions were held back, 3 if nothing may be read, else 4.

    With `strict`, 1 if all was read whole and something in it is new to us.
    """
    from connector.model import Outcome

    if any(scope.spared for scope in report.scopes):
        return _MASS_DELETE
    if report.outcome is Outcome.COMPLETE:
        if any(publication.error is not None for publication in report.publications):
            return _PARTIAL
        return _DRIFT if strict and report.drift else 0
    denied = all(failure.outcome is Outcome.DENIED for failure in report.failures)
    whole = sum(scope.streams for scope in report.scopes) > sum(
        failure.image_name is not None for failure in report.failures
    )
    return _NO_PERMISSION if denied and not whole else _PARTIAL


@contextmanager
def _signals(stop: Stop) -> Iterator[None]:
    """SIGINT and SIGTERM ask the run to end; a second one ends the process at once."""

    def ask(number: int, _: types.FrameType | None) -> None:
        if stop.requested:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        stop.request(number)
        sys.stderr.write("\nStopping: writing what was read ...\n")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
