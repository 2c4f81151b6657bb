"""What a receiver is told: changes since it was told last, and troubles that began or ended.

Pure: decides on what the warehouse says and remembers; must not know SQL, clocks, or how anybody is told.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

KINDS_OF_CHANGE = ("deleted", "failed", "drift")
# The trouble that no sync can run at all, and those of scopes that cannot even be opened.
WHOLE = "sync"
UNOPENED = "unopened: "


class Phase(StrEnum):
    """Whether something happened once, or goes on from now on, or does so no more."""

    HAPPENED = "happened"
    BEGAN = "began"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Item:
    """One piece of news. `subject` names what it is about, `at` is when it was learned, `text` is the sentence.

    Where it is about an image or a version, these are named one by one as well.
    """

    news: str
    phase: Phase
    subject: str
    text: str
    at: datetime
    account_id: str | None = None
    region: str | None = None
    image_name: str | None = None
    version: int | None = None

    @property
    def id(self) -> str:
        """The same whenever this is told again, and of nothing else."""
        whole = f"{self.news}\n{self.phase}\n{self.subject}\n{self.at.isoformat()}"
        return hashlib.sha256(whole.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Known:
    """What the warehouse says. `newest` is when the newest run was loaded, `before` when the one before this run was.

    `changes` of a kind are those learned after an instant; `troubles` go on now, by kind and subject. `undecided`
    tells of which known troubles nothing can be said now.
    """

    newest: datetime
    before: datetime | None
    changes: Callable[[str, datetime], Sequence[Item]]
    troubles: Mapping[tuple[str, str], Item]
    undecided: Callable[[str], bool]


# What a receiver was told, by kind and subject: see the table notified.
Sent = Mapping[tuple[str, str], datetime]


@dataclass(frozen=True, slots=True)
class Due:
    """What a receiver is to be told, and what it has been told once it was."""

    items: tuple[Item, ...]
    told: Sent


def due(known: Known, told: Sent, kinds: Collection[str]) -> Due:
    """What is new to a receiver of these kinds of news.

    One that is new is told of the changes that this run brought, but nothing of those of the very first run.
    """
    since = {kind: told.get((kind, ""), known.before or known.newest) for kind in kinds}
    changes = [item for kind in KINDS_OF_CHANGE if kind in kinds for item in known.changes(kind, since[kind])]
    now = {key: item for key, item in known.troubles.items() if key[0] in kinds}
    before = {key: at for key, at in told.items() if key[0] in kinds and key[1]}
    began = [item for key, item in now.items() if key not in before]
    over = [key for key in before if key not in now and not known.undecided(key[1])]
    ended = [_ended(key, before[key], known.newest) for key in sorted(over)]
    marks = {(kind, ""): known.newest for kind in kinds}
    lasting = {key: at for key, at in before.items() if key not in over}
    begun = {(item.news, item.subject): item.at for item in began}
    return Due((*changes, *began, *ended), marks | lasting | begun)


def is_worth_recording(coming: Due, told: Sent) -> bool:
    """Whether something was told, or what is remembered is of other kinds of news."""
    return bool(coming.items) or {kind for kind, _ in coming.told} != {kind for kind, _ in told}


def _ended(key: tuple[str, str], since: datetime, now: datetime) -> Item:
    news, subject = key
    about = "syncs" if subject == WHOLE else subject.removeprefix(UNOPENED)
    said = {
        "stuck": f"{about} is stuck no more",
        "held_back": f"deletions of {about} are held back no more",
        "stale": f"{about} is fresh again",
        "unread": f"{about} can be read again" if subject != WHOLE else "syncs work again",
    }
    return Item(news, Phase.ENDED, subject, f"{said[news]}, since {since:%Y-%m-%d %H:%M} UTC", now)
