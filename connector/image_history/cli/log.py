"""`image-history log`: what happened to one image.

Must not know how history is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from image_history.cli import Globals, Verb, offering, remark
from image_history.cli.moments import shown
from image_history.cli.showing import Sheet, deliver, format_option, opened, require_none, say, show
from image_history.counting import counted
from image_history.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

    from image_history.warehouse.reports import Reports

_SHOWN = 100
_ALL = 1 << 40
# An event that was learned more than this after it happened shows when: earlier reports lack it.
_MUCH_LATER = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which events are wanted; None does not restrict them."""

    image: str
    version: int | None = None
    account: str | None = None
    region: str | None = None
    limit: int | None = None


class _Version(click.IntRange):
    """A version number; click calls one that it refuses "not a valid integer range"."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return int(super().convert(value, param, ctx))
        except click.BadParameter:
            self.fail(f"{value!r} is no version number; name a whole number, as in --version 7.", param, ctx)


@click.command("log", cls=Verb)
@click.argument("image", required=False, shell_complete=offering.images)
@click.option("--version", type=_Version(0), metavar="N", help="Only this version.")
@click.option("--account", metavar="ID", help="Only in this account, where several have such an image.")
@click.option("--region", help="Only in this region.")
@click.option(
    "--limit",
    type=click.IntRange(1),
    help="The most events to show.  [default: 100 for table, blocks and markdown]",
)
@format_option
@click.pass_obj
def command(shared: Globals, /, *, how: str, **given: Any) -> None:
    """Show what happened to one image, the newest first, from the warehouse. Without IMAGE, list the images.

    The time is AWS's, in UTC. AWS gives no time for a deletion: there it is when the version was first
    missing. An event that the warehouse learned of more than an hour later also shows when that was.
    """
    if given["image"] is None:
        require_none(given, "the history of one image")
        _print_images(shared, how)
        return
    with opened(shared) as reports:
        log = found(reports, Wanted(**given))
    log.print(how)


@dataclass(frozen=True, slots=True)
class Timeline:
    """The images of a name, and their events."""

    wanted: Wanted
    images: Sequence[dict[str, Any]]
    events: pa.Table

    def print(self, how: str) -> None:
        """Print the events, the newest first."""
        limit = self.wanted.limit or (_SHOWN if how in {"table", "blocks", "markdown"} else _ALL)
        _print(self.events.slice(0, limit), self.images, self.wanted.image, how)
        if self.events.num_rows > limit:
            shown_events = counted(limit, "event is", "events are")
            remark(f"Only the newest {shown_events} shown: more with --limit.")


def found(reports: Reports, wanted: Wanted) -> Timeline:
    """What happened to an image. ConfigError names the nearest ones if there is none."""
    images = _images(reports, wanted)
    events = _events(reports, wanted, (wanted.limit or _ALL) + 1)
    if not events.num_rows and wanted.version is not None:
        raise _no_version(reports, wanted, images)
    return Timeline(wanted, images, events)


def _print_images(shared: Globals, how: str) -> None:
    """The images that the warehouse knows, those that changed last first."""
    with opened(shared) as reports:
        images = reports.table("images", limit=_ALL)
    if how != "table":
        deliver(images, how)
        return
    rows = [
        (
            _scope(row),
            row["image_name"],
            f"{row['live_versions']:,}",
            f"{row['deleted_versions']:,}" if row["deleted_versions"] else "",
            shown(row["changed_at"]),
        )
        for row in images.to_pylist()
    ]
    header = ("scope", "image", "live", "deleted", "last change (UTC)")
    show(Sheet(header, rows, frozenset({"live", "deleted"}), least=("deleted", "live")))
    if rows:
        click.echo()
        say("image-history log IMAGE shows what happened to one of them.")


def _where(wanted: Wanted) -> dict[str, object]:
    return {"image": wanted.image, "account_id": wanted.account, "region": wanted.region}


def _events(reports: Reports, wanted: Wanted, limit: int) -> pa.Table:
    return reports.table("log", **_where(wanted), version=wanted.version, limit=limit)


def _images(reports: Reports, wanted: Wanted) -> Sequence[dict[str, Any]]:
    """The images of that name; ConfigError names the nearest ones if there is none."""
    images: Sequence[dict[str, Any]] = reports.table("image", **_where(wanted)).to_pylist()
    if images:
        return images
    near = reports.table("nearest_images", image=wanted.image).to_pylist()
    places = sorted({_scope(row) for row in near if row["image_name"] == wanted.image})
    if places:
        raise ConfigError(f"The warehouse knows the image {wanted.image} in {', '.join(places)} only.")
    names = list(dict.fromkeys(row["image_name"] for row in near))
    hint = f"the nearest: {', '.join(names)}" if names else "it knows none; run image-history sync first"
    raise ConfigError(f"The warehouse knows no image {wanted.image}; {hint}.")


def _no_version(reports: Reports, wanted: Wanted, images: Sequence[dict[str, Any]]) -> ConfigError:
    absent = reports.table("absent_version", **_where(wanted), version=wanted.version).to_pylist()
    if absent:
        proof = f"{absent[0]['evidence']}, {shown(absent[0]['proved_at'])} UTC"
        return ConfigError(
            f"{wanted.image} has no version {wanted.version}, and had none in any sync: it is proved absent "
            f"({proof})."
        )
    highest = max((row["highest_version"] or 0 for row in images), default=0)
    there = f"the highest is {highest}" if highest else "it has none at all"
    return ConfigError(f"The warehouse knows no version {wanted.version} of {wanted.image}; {there}.")


def _scope(row: dict[str, Any]) -> str:
    return f"{row['account_id']}/{row['region']}"


def _print(events: pa.Table, images: Sequence[dict[str, Any]], name: str, how: str) -> None:
    if how != "table":
        deliver(events, how)
        return
    rows = events.to_pylist()
    for number, image in enumerate(images):
        if number:
            click.echo()
        say(_heading(image, name))
        lines = [_line(row) for row in rows if _scope(row) == _scope(image)]
        if lines:
            show(Sheet(("when (UTC)", "version", "what happened"), lines, frozenset({"version"})))


def _heading(image: dict[str, Any], name: str) -> str:
    deleted = f", {image['deleted_versions']:,} deleted" if image["deleted_versions"] else ""
    gone: datetime | None = image["etl_deleted_at"]
    status = image["image_status"] if gone is None else f"deleted, gone since {shown(gone)}"
    return f"{_scope(image)}/{name} ({status}): {counted(image['live_versions'], 'live version')}{deleted}"


def _line(row: dict[str, Any]) -> tuple[str, str, str]:
    happened, learned = row["happened_at"], row["learned_at"]
    late = f" (learned {shown(learned)})" if learned - happened > _MUCH_LATER else ""
    return shown(happened), str(row["version"]), f"{row['description']}{late}"
