"""A user's own files in a folder, and a fingerprint of them: a command must not change these files.

Must not know which command a test runs.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from image_history.simulator import VirtualClock, generate
from tests.behaviour.harness import ServeWorld, Site

NOON_MS = 1_790_000_000_000


def small(served: ServeWorld, *, accounts: tuple[str, ...] = ("111122223333",)) -> Site:
    """Two images of five versions; the clock is frozen."""
    clock = VirtualClock(frozen_at=NOON_MS)
    return served(generate(17, accounts=list(accounts), images=2, versions_per_image=5, clock=clock))


def fingerprint(folder: Path) -> str:
    """A hash of every name, mode, owner, link target and content below a folder; links are not followed."""
    lines = []
    for path in sorted(folder.rglob("*")):
        found = path.lstat()
        what = (
            str(path.readlink()) if path.is_symlink() else path.read_bytes().hex() if path.is_file() else ""
        )
        lines.append(f"{path.relative_to(folder)} {found.st_mode} {found.st_uid} {found.st_gid} {what}")
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def furnish(folder: Path) -> None:
    """Put a user's files into a folder: files, an empty folder, and links into the folder and out of it."""
    (folder / "photos" / "2024").mkdir(parents=True)
    (folder / "photos" / "2024" / "cat.jpg").write_bytes(b"\xff\xd8 cat")
    (folder / "empty").mkdir()
    (folder / "segment-000001-0badcafe.parquet").write_bytes(b"a name like ours, in a place that is not")
    (folder / "photos" / "up").symlink_to("..")
    (folder / "outside").symlink_to("/etc")
