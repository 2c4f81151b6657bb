"""The message to a receiver: JSON for programs, with a text that Slack and the like show.

Pure; must not know who receives it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby

from image_history.counting import counted
from image_history.notify.news import Item, Phase

VERSION = 1
_MOST_ITEMS = 200
_MOST_LINES = 15
_MOST_VERSIONS = 8
_LONGEST_LINE = 300


def message(receiver: str, items: Sequence[Item], run_id: str | None) -> bytes:
    """The news as one JSON object. Items beyond the first 200 are only counted."""
    document = {
        "version": VERSION,
        "id": hashlib.sha256("\n".join(item.id for item in items).encode()).hexdigest()[:16],
        "receiver": receiver,
        "run_id": run_id,
        "text": text(items, run_id),
        "counts": dict(Counter(item.news for item in items)),
        "news": [_object(item) for item in items[:_MOST_ITEMS]],
        "left_out": max(len(items) - _MOST_ITEMS, 0),
    }
    return json.dumps(document, ensure_ascii=False).encode()


def trial(receiver: str) -> bytes:
    """A trial message, without news."""
    text = "image-history: a trial. From now on, syncs send their news here."
    document: dict[str, object] = {
        "version": VERSION,
        "id": "trial",
        "receiver": receiver,
        "run_id": None,
        "text": text,
        "counts": {},
        "news": [],
        "left_out": 0,
    }
    return json.dumps(document).encode()


def _object(item: Item) -> dict[str, object]:
    return {
        "id": item.id,
        "news": item.news,
        "phase": item.phase.value,
        "subject": item.subject,
        "account_id": item.account_id,
        "region": item.region,
        "image_name": item.image_name,
        "version": item.version,
        "at": _instant(item.at),
        "text": item.text,
    }


def _instant(moment: datetime) -> str:
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def text(items: Sequence[Item], run_id: str | None) -> str:
    """A headline, then a line for each item, with the versions of one image together. Markup of Slack is escaped."""
    lines = [_harmless(line) for line in _lines(items)]
    shown = [f"• {line[:_LONGEST_LINE]}" for line in lines[:_MOST_LINES]]
    more = [f"... and {len(lines) - _MOST_LINES:,} more"] if len(lines) > _MOST_LINES else []
    run = "" if run_id is None else f" (run {run_id})"
    whole = "\n".join((f"image-history: {_headline(items)}{run}", *shown, *more))
    return whole.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _harmless(line: str) -> str:
    """The text on one line, without control characters."""
    return "".join(each if each.isprintable() else " " for each in line)


def _headline(items: Sequence[Item]) -> str:
    counts = Counter((item.news, item.phase) for item in items)
    over = sum(number for (_, phase), number in counts.items() if phase is Phase.ENDED)
    parts = [
        f"{number:,} {news.replace('_', ' ')}"
        for (news, phase), number in counts.items()
        if phase is not Phase.ENDED
    ]
    return ", ".join([*parts, *([f"{over:,} ended"] if over else [])])


def _lines(items: Sequence[Item]) -> Iterator[str]:
    for _, group in groupby(items, key=_together):
        same = list(group)
        yield same[0].text if len(same) == 1 else _joined(same)


def _together(item: Item) -> tuple[object, ...]:
    image = (item.account_id, item.region, item.image_name)
    return (item.news, item.phase, *image) if item.version is not None else (item.id,)


def _joined(items: Sequence[Item]) -> str:
    first = items[0]
    numbers = [str(item.version) for item in items[:_MOST_VERSIONS]]
    names = ", ".join([*numbers, *(["..."] if len(items) > _MOST_VERSIONS else [])])
    image = f"{first.account_id}/{first.region}/{first.image_name}"
    rest = {item.text.partition(f":{item.version}, ")[2] for item in items}
    same = f"; {rest.pop()}" if len(rest) == 1 else ""
    return f"{first.news}: {counted(len(items), 'version')} of {image}: {names}{same}"
