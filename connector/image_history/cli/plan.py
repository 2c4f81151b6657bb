"""`image-history plan`: what a sync would do now, how many calls it takes, and how long it takes.

Must not know how calls are estimated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from image_history.cli import Globals, Verb
from image_history.cli.moments import shown, took
from image_history.cli.parts import images_option, nothing_of, part_option, scopes_option
from image_history.cli.showing import Sheet, document_option, print_document, say, show
from image_history.counting import counted
from image_history.run.parts import WHOLE

if TYPE_CHECKING:
    from image_history.forecast.estimate import Pace, Reason, ScopeEstimate, Seconds, Span
    from image_history.forecast.forecasting import Forecast, Unloaded

_PARTIAL = 4
_SHOWN = 3


@click.command("plan", cls=Verb)
@click.option("--full", is_flag=True, help="Plan a sync that lists every image whole.")
@images_option
@scopes_option
@part_option
@click.option("--fresh", is_flag=True, help="Plan a sync that forgets an unfinished run.")
@document_option
@click.pass_obj
def command(shared: Globals, /, *, as_json: bool, **given: Any) -> int:
    """Show what a sync would do now: how it lists each image, with how many calls, and how long it takes.

    Only the lists of images are read; nothing is written, here or at AWS. The figures are those of a sync that
    finds nothing changed: changes cost another call for each page of changes and for each deleted version.
    If the number of calls is not known, a range is shown with its reason.
    """
    from image_history.forecast.forecasting import forecast, pace_of
    from image_history.run.planning import SyncOptions

    options = SyncOptions(**given)
    config = shared.config()
    found = forecast(config, options=options)
    if as_json:
        print_document(document(found, pace_of(config)))
    elif options.part != WHOLE and not (found.scopes or found.unreadable):
        say(nothing_of(options.part))
    else:
        _print(found, pace_of(config))
    return _PARTIAL if found.unreadable else 0


def _print(found: Forecast, pace: Pace) -> None:
    from image_history.forecast.estimate import Listing, total_calls

    kinds = [kind for kind in Listing if any(scope.listings.get(kind) for scope in found.scopes)]
    header = ("scope", "images", *(kind.value for kind in kinds), "lists", "describes", "time")
    lines = [_line(scope, kinds) for scope in found.scopes]
    listings = sum((Counter(scope.listings) for scope in found.scopes), start=Counter[Listing]())
    calls = total_calls(found.scopes)
    total = ("total", *_cells(listings, calls, kinds), _duration(found.seconds))
    show(
        Sheet(
            header, [*lines, total], frozenset(header[1:]), least=("images", *header[2:-3]), all_by="--json"
        )
    )
    for text in _notes(found, calls, pace):
        say(text)


def _line(scope: ScopeEstimate, kinds: Iterable[Any]) -> tuple[str, ...]:
    return (str(scope.scope), *_cells(scope.listings, scope.calls, kinds), _duration(scope.seconds))


def _cells(listings: Mapping[Any, int], calls: Mapping[str, Span], kinds: Iterable[Any]) -> tuple[str, ...]:
    lists = calls["ListImages"] + calls["ListImageVersions"]
    return (
        f"{sum(listings.values()):,}",
        *(f"{listings.get(kind, 0):,}" for kind in kinds),
        _span(lists + calls["ListAliases"] if "ListAliases" in calls else lists),
        _span(calls["DescribeImage"] + calls["DescribeImageVersion"]),
    )


def _span(span: Span) -> str:
    if span.high is None:
        return f"{span.low:,}+"
    return f"{span.low:,}" if span.exact else f"{span.low:,}-{span.high:,}"


def _duration(seconds: Seconds) -> str:
    low = took(seconds.low)
    if seconds.high is None:
        return f"{low}+"
    high = took(seconds.high)
    return low if low == high else f"{low}-{high}"


def _notes(found: Forecast, calls: Mapping[str, Span], pace: Pace) -> Iterable[str]:
    yield "calls: " + ", ".join(f"{_span(span)} {name}" for name, span in calls.items())
    yield (
        f"pace: {pace.list_per_second:g} lists and {pace.describe_per_second:g} describes a second and scope, "
        f"{pace.concurrency} at a time; if nothing changed at AWS since the last sync"
    )
    yield from _hints(found)
    yield from _details(found)
    for reason, images in _merged(scope.reasons for scope in found.scopes).items():
        yield f"a range for {_named(images)}: {reason.value}"
    for caveat, images in _merged(scope.caveats for scope in found.scopes).items():
        yield f"maybe more for {_named(images)}: {caveat.value}"
    yield from _continued(found)
    for run in found.waiting:
        yield f"loads first: run {run.run_id}, begun {_begun(run)} UTC, {counted(run.images, 'image')}"
    if found.locked is not None:
        yield (
            f"planned without the warehouse, which is locked by {found.locked}; a sync can read, but not "
            "load meanwhile"
        )
    for region in found.regions_from:
        yield f"region: {region}"
    for failure in found.unreadable:
        yield f"{failure.outcome.value}: {failure.where}: {failure.message}"


def _continued(found: Forecast) -> Iterable[str]:
    if found.syncing is not None:
        yield (f"syncing: process {found.syncing} syncs now; a second sync exits with 7 until it has ended")
    if (run := found.continued) is not None:
        listed = (
            f" ({run.images_listed:,} listed, but not compared with the warehouse)"
            if run.images_listed
            else ""
        )
        yield (
            f"continues: run {run.run_id}, begun {_begun(run)} UTC, with {run.images_left:,} of "
            f"{counted(run.images, 'image')} left{listed}; sync --fresh begins anew"
        )


def _details(found: Forecast) -> Iterable[str]:
    if found.details_syncs.high is None or found.details_syncs.high > 1:
        yield (
            f"details: {_span(found.details_pending)} calls are pending; with details_budget they take "
            f"{_span(found.details_syncs)} syncs, the newest versions first"
        )


def _hints(found: Forecast) -> Iterable[str]:
    if found.hinted:
        yield f"hints: {counted(found.hinted, 'image')} hinted at, to be listed first"
    if found.hints_problem is not None:
        yield f"hints: not relied on, so that no image rests: {found.hints_problem}"


def _named(images: Sequence[str]) -> str:
    names = ", ".join(images[:_SHOWN]) + (", ..." if len(images) > _SHOWN else "")
    return f"{counted(len(images), 'image')} ({names})"


def _merged(scopes: Iterable[Mapping[Reason, tuple[str, ...]]]) -> dict[Reason, list[str]]:
    """The images of all scopes, by reason."""
    merged: dict[Reason, list[str]] = {}
    for reasons in scopes:
        for reason, images in reasons.items():
            merged.setdefault(reason, []).extend(images)
    return merged


def _begun(run: Unloaded) -> str:
    return shown(datetime.fromtimestamp(run.started_at_ms / 1000, tz=UTC))


def document(found: Forecast, pace: Pace) -> dict[str, object]:
    """The plan as one JSON document."""
    from dataclasses import asdict

    from image_history.forecast.estimate import total_calls

    return {
        **asdict(found),
        "scopes": [{**asdict(scope), "images": sum(scope.listings.values())} for scope in found.scopes],
        "calls": {name: asdict(span) for name, span in total_calls(found.scopes).items()},
        "pace": asdict(pace),
    }
