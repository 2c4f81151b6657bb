"""The page: the template filled with facts, pictures and tables, with a policy that allows nothing else.

The only place that knows Jinja2. Must not know where the page goes.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib import resources
from typing import TYPE_CHECKING

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from image_history.counting import counted
from image_history.report.brief import brief, unread_of
from image_history.report.content import Facts, Row
from image_history.report.lanes import Lane, axis_of, lanes_picture
from image_history.report.tables import tables
from image_history.report.weeks import weeks_picture
from image_history.report.words import length, minute
from image_history.version import __version__

if TYPE_CHECKING:
    from jinja2 import Template


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One figure, and the table that it links to. `news` is how it changed lately."""

    target: str
    number: int
    what: str
    news: str = ""
    bad: bool = False


def page(facts: Facts) -> str:
    """The whole page, one HTML document."""
    style, script = _asset("page.css"), _asset("page.js")
    axis = axis_of(facts.begin, facts.now, facts.first_run, facts.lives)
    lanes = _lanes(facts)
    return _template().render(
        facts=facts,
        chosen=_chosen(facts),
        style=Markup(style),  # noqa: S704  # our own file
        script=Markup(script),  # noqa: S704  # our own file
        policy=_policy(style, script),
        tiles=_tiles(facts),
        answers=brief(facts),
        behind=sum(scope.unread > 0 for scope in facts.scopes),
        unread_of=partial(unread_of, facts),
        weeks=weeks_picture(facts.weeks, axis),
        lanes=lanes_picture(lanes, axis) if lanes else None,
        left_out=facts.images.total - len(lanes),
        axis=axis,
        tables=tables(facts),
        since=length(facts.selection.since),
        minute=minute,
        counted=counted,
        quiet=_quiet(facts),
        version=__version__,
    )


def _quiet(facts: Facts) -> bool:
    """Whether the pictures would be empty."""
    return not any(week[kind] for week in facts.weeks for kind in ("created", "failed", "changed", "deleted"))


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_asset("page.html"))


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8").rstrip("\n")


def _policy(style: str, script: str) -> str:
    """The security policy: loads nothing, and allows only our own style and script, by hashes that stay the same."""
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)]
    return (
        f"default-src 'none'; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _chosen(facts: Facts) -> str:
    """The selected scopes and images in words; empty if the report has all of them."""
    chosen = facts.selection
    parts = [
        f"{name} {glob}" for name, glob in (("scopes", chosen.scope), ("images", chosen.image)) if glob != "*"
    ]
    return ", ".join(parts)


def _tiles(facts: Facts) -> Sequence[Tile]:
    totals, held_back = facts.totals, sum(scope.held_back for scope in facts.scopes)
    tiles = [
        Tile(target="unread", number=facts.unread.total, what="unread", bad=facts.unread.total > 0),
        Tile(target="unread", number=held_back, what="held back", bad=True),
        Tile(
            target="archived",
            number=facts.archived.total,
            what="archived, under a moving alias",
            bad=facts.archived.total > 0,
        ),
        Tile(
            target="failed",
            number=facts.troubled.total,
            what="failed or stuck",
            news=_more(totals["failed_since"]),
            bad=facts.troubled.total > 0,
        ),
        Tile(
            target="no-good",
            number=facts.without_good_version.total,
            what=_noun(facts.without_good_version.total, "image", " without a good version"),
            bad=facts.without_good_version.total > 0,
        ),
        Tile(target="deleted", number=totals["deleted_since"], what="deleted", news="in this time"),
        Tile(
            target="images",
            number=totals["live"],
            what=_noun(totals["live"], "live version"),
            news=_net(totals["created_since"], totals["deleted_since"]),
        ),
        Tile(target="images", number=facts.live_images, what=_noun(facts.live_images, "image")),
    ]
    return [tile for tile in tiles if tile.what != "held back" or tile.number]


def _noun(number: int, one: str, more: str = "") -> str:
    """The noun without its number, which the tile shows apart."""
    return f"{one if number == 1 else one + 's'}{more}"


def _more(number: int) -> str:
    return f"+{number:,} new" if number else "none new"


def _net(created: int, deleted: int) -> str:
    parts = [f"+{created:,}" if created else "", f"−{deleted:,}" if deleted else ""]  # noqa: RUF001  # a minus sign
    return " ".join(filter(None, parts)) or "no change"


def _lanes(facts: Facts) -> list[Lane]:
    """The lanes scope by scope; in each, the images that changed last come first, as in their table."""
    lives: dict[tuple[str, str, str], list[Row]] = {}
    for life in facts.lives:
        lives.setdefault(_key(life), []).append(life)
    lanes = [_lane(row, lives[_key(row)]) for row in facts.images.rows if _key(row) in lives]
    return sorted(lanes, key=lambda lane: lane.scope)


def _key(row: Row) -> tuple[str, str, str]:
    return row["account_id"], row["region"], row["image_name"]


def _lane(row: Row, lives: Sequence[Row]) -> Lane:
    account, region, name = _key(row)
    return Lane(f"{account}/{region}", name, ", ".join(row["aliases"] or ()), lives, lives[0]["left_out"])
