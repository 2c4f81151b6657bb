"""Decides the news for a receiver: changes since its last news, and troubles that began or ended.

Pure: decides from what the warehouse stores; must not know SQL, clocks, or how news are sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

KINDS_OF_CHANGE = ("deleted", "failed", "drift")
# Subjects of troubles: that no sync can run, and the prefix for scopes that cannot be opened.
WHOLE = "sync"
UNOPENED = "unopened: "


class Phase(StrEnum):
    """Whether something happened once, began and goes on, or ended."""

    HAPPENED = "happened"
    BEGAN = "began"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Item:
    """One piece of news. `subject` names what it is about, `at` is when it was learned, `text` is the sentence.

    If it is about a scope, an image or a version, the last four fields name it.
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
        """The id of this item: the same if it is sent again, and different for every other item."""
        whole = f"{self.news}\n{self.phase}\n{self.subject}\n{self.at.isoformat()}"
        return hashlib.sha256(whole.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Known:
    """What the warehouse says. `newest` is when the newest run was loaded, `before` when the run before this one was.

    `changes` returns the changes of a kind that were learned after an instant. `troubles` are those that go on now,
    by kind and subject. `undecided` says whether it is unknown if the trouble of a subject goes on.
    """

    newest: datetime
    before: datetime | None
    changes: Callable[[str, datetime], Sequence[Item]]
    troubles: Mapping[tuple[str, str], Item]
    undecided: Callable[[str], bool]


# What was sent to a receiver, by kind and subject: see the table notified.
Sent = Mapping[tuple[str, str], datetime]


@dataclass(frozen=True, slots=True)
class Due:
    """The news for a receiver, and what it has got once they are sent."""

    items: tuple[Item, ...]
    sent: Sent


def due(known: Known, sent: Sent, kinds: Collection[str]) -> Due:
    """Decide what is new to a receiver of these kinds of news.

    A new receiver gets the changes that this run brought, but not those of the very first run.
    """
    since = {kind: sent.get((kind, ""), known.before or known.newest) for kind in kinds}
    changes = [item for kind in KINDS_OF_CHANGE if kind in kinds for item in known.changes(kind, since[kind])]
    now = {key: item for key, item in known.troubles.items() if key[0] in kinds}
    before = {key: at for key, at in sent.items() if key[0] in kinds and key[1]}
    began = [item for key, item in now.items() if key not in before]
    over = [key for key in before if key not in now and not known.undecided(key[1])]
    ended = [_ended(key, before[key], known.newest) for key in sorted(over)]
    marks = {(kind, ""): known.newest for kind in kinds}
    lasting = {key: at for key, at in before.items() if key not in over}
    begun = {(item.news, item.subject): item.at for item in began}
    return Due((*changes, *began, *ended), marks | lasting | begun)


def is_worth_recording(coming: Due, sent: Sent) -> bool:
    """Whether there is news, or the stored kinds of news differ from the configured ones."""
    return bool(coming.items) or {kind for kind, _ in coming.sent} != {kind for kind, _ in sent}


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
