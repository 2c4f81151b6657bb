"""Facts of reports, made without AWS: small, hostile, empty and large ones.

Must not know HTML.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from image_history.report import Facts, Selection
from image_history.report.content import MOST_ROWS, Found, Scope

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
ACCOUNT = "111122223333"
# Texts that a page must show as text: as markup, each would set window.hacked, or request something.
HOSTILE = (
    "<script>window.hacked=1</script>",
    "</script><script>window.hacked=2</script>",
    '"><img src=x onerror="window.hacked=3">',
    "</style><svg onload=window.hacked=4>",
    "' onmouseover='window.hacked=5' <b>bold</b> &amp; {{ 7 * 7 }} {% raw %}",
    "javascript:window.hacked=6//\u202egnp.exe\x00\x1b[31m",
    '<meta http-equiv="refresh" content="0;url=http://127.0.0.1:9/">',
)


def _key(number: int, name: str | None = None) -> dict[str, Any]:
    return {
        "account_id": ACCOUNT,
        "region": ("us-east-1", "eu-west-1")[number % 2],
        "image_name": name or f"image-{number:04}",
    }


def _image(number: int, name: str, text: str) -> dict[str, Any]:
    return {
        **_key(number, name),
        "total": 1,
        "without_good": 1,
        "live": number % 7,
        "deleted": 1,
        "failed": number % 3,
        "good": number % 2,
        "newest_version": number,
        "newest_status": "CREATE_FAILED" if number % 5 == 0 else "CREATED",
        "newest_reason": text,
        "newest_good": None,
        "aliases": [f"latest {number}", f"{text} 3"] if number % 2 else None,
        "changed_at": NOW - timedelta(hours=number),
        "deleted_at": None,
    }


def _version(number: int, name: str, text: str) -> dict[str, Any]:
    """A row with the columns of every table of versions."""
    at = NOW - timedelta(hours=5 * number + 1)
    return {
        **_key(number, name),
        "version": number,
        "image_version_status": "CREATE_FAILED",
        "failure_reason": text,
        "last_modified_time": at,
        "last_status": "CREATED",
        "last_seen_at": at - timedelta(hours=number % 50),
        "gone_at": at,
        "evidence": ("describe_not_found", "image_not_found", "absent_twice", text)[number % 4],
        "learned_at": at,
        "aliases": [text, "latest"],
        "vendor_guidance": "ARCHIVED",
        "happened_at": at,
        "change": ("created", "modified", "deleted")[number % 3],
        "changed_columns": ["image_version_status", text],
        "outcome": "failed",
        "covered_until": at if number % 2 else None,
        "error_message": text,
    }


def _lives(names: Sequence[str], each: int) -> list[dict[str, Any]]:
    return [
        {
            **_key(number, name),
            "version": version + 1,
            "image_version_status": "CREATE_FAILED" if version % 5 == 4 else "CREATED",
            "creation_time": NOW - timedelta(days=600 - 9 * version - number % 60),
            "last_seen_at": NOW - timedelta(days=40 + version) if version % 4 == 3 else None,
            "gone_at": NOW - timedelta(days=30) if version % 4 == 3 else None,
            "left_out": number % 3,
        }
        for number, name in enumerate(names)
        for version in range(each)
    ]


def facts(
    images: int, *, texts: Sequence[str] = ("The repository does not exist.",), total: int = 0
) -> Facts:
    """The facts of a report on `images` images, with `texts` in every text field; a table counts `total` rows."""
    names = [
        texts[number % len(texts)] if len(texts) > 1 else f"image-{number:04}" for number in range(images)
    ]
    rows = [
        _version(number, names[number], texts[number % len(texts)])
        for number in range(min(images, MOST_ROWS))
    ]
    found = Found(rows, max(total, len(rows)))
    monday = date(2026, 6, 29)
    return Facts(
        selection=Selection(),
        now=NOW,
        first_run=NOW - timedelta(days=200),
        run={"etl_run_id": "20260701T120000.000Z-0a1b2c3d", "outcome": "partial", "runs": 17},
        totals=dict.fromkeys(
            ("live", "failed", "stuck", "created_since", "failed_since", "deleted_since"), images
        ),
        scopes=[
            Scope(
                name=f"{ACCOUNT}/us-east-1", covered_until=None, images=images, versions=images, unread=len(rows),
                held_back=min(len(rows), 1), why=texts[0],
            )
        ]
        if images
        else [],
        unread=found,
        images=Found(
            [_image(number, name, texts[number % len(texts)]) for number, name in enumerate(names[:MOST_ROWS])],
            max(total, images),
        ),
        troubled=found,
        deleted=found,
        archived=found,
        changes=found,
        weeks=[
            {"week": monday - timedelta(weeks=week), "created": 4_000 if week == 9 else week % 7, "failed": week % 3,
             "changed": week % 5, "deleted": 900 if week == 4 else week % 2}
            for week in range(30 if images else 0)
        ],
        lives=_lives(names[:300], max(4, min(40, 3_000 // max(images, 1)))) if images else [],
    )  # fmt: skip
