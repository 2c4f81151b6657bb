"""Since when the hints about a scope are heard without a gap. Pure.

An acknowledged hint is gone. If the change that it was about is lost again, as after a backup of the warehouse was
restored, or if its image was not read when it came, no hint is left to say so: a listing from before must not let the
image rest. Must not know where hints come from, or where this is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from image_history.listing.request import ImageFilter
from image_history.model import Scope


@dataclass(frozen=True, slots=True)
class Heard:
    """Every hint about a scope that was acknowledged since a load is settled by what is stored.

    `since_ms` is when that load was made, UTC epoch milliseconds; 0 before the first load. A listing that was loaded
    then or earlier may lack a change whose hint is gone. `source` is where the hints came from and which images they
    were heard for.
    """

    account_id: str
    region: str
    source: str
    since_ms: int

    @property
    def scope(self) -> Scope:
        """The scope."""
        return Scope(self.account_id, self.region)


def source_of(mailbox: str, images: ImageFilter) -> str:
    """Names a queue or folder and the images of a scope that are read: another source may have lacked a hint."""
    return msgspec.json.encode((mailbox, images.include, images.exclude)).decode()


def heard_since(heard: Iterable[Heard], scope: Scope, source: str) -> int | None:
    """Since which load hints about the scope are heard from this source, UTC epoch milliseconds; None if never."""
    found = (each.since_ms for each in heard if (each.scope, each.source) == (scope, source))
    return next(found, None)


def heard_after(
    before: Iterable[Heard], sources: Mapping[Scope, str], *, since_ms: int, everything: bool
) -> tuple[Heard, ...]:
    """What is heard after a run that read the scopes of `sources`.

    `since_ms` is a load, such that all later ones have listings that began when that source was read already. With
    `everything` the run read every configured scope, and acknowledged the hints about all others: these count as not
    heard.
    """
    earlier = tuple(before)
    kept = () if everything else (each for each in earlier if each.scope not in sources)
    read = (
        Heard(scope.account_id, scope.region, source, since_ms if found is None else found)
        for scope, source in sources.items()
        for found in (heard_since(earlier, scope, source),)
    )
    return (*kept, *read)
