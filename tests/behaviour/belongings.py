"""What a user has in a folder, and a fingerprint of it: what is not ours must be the same afterwards.

Must not know what is tried on it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from image_history.simulator import VirtualClock, generate
from tests.behaviour.harness import ServeWorld, Site

NOON_MS = 1_790_000_000_000


def small(served: ServeWorld, *, accounts: tuple[str, ...] = ("111122223333",)) -> Site:
    """Two images of five versions, at a time that stands still."""
    clock = VirtualClock(frozen_at=NOON_MS)
    return served(generate(17, accounts=list(accounts), images=2, versions_per_image=5, clock=clock))


def fingerprint(folder: Path) -> str:
    """Every name, mode, owner, target and content below a folder; what a link leads to is not entered."""
    lines = []
    for path in sorted(folder.rglob("*")):
        found = path.lstat()
        what = (
            str(path.readlink()) if path.is_symlink() else path.read_bytes().hex() if path.is_file() else ""
        )
        lines.append(f"{path.relative_to(folder)} {found.st_mode} {found.st_uid} {found.st_gid} {what}")
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def furnish(folder: Path) -> None:
    """What a user may have in a folder: files, empty folders, and links that lead into it and out of it."""
    (folder / "photos" / "2024").mkdir(parents=True)
    (folder / "photos" / "2024" / "cat.jpg").write_bytes(b"\xff\xd8 cat")
    (folder / "empty").mkdir()
    (folder / "segment-000001-0badcafe.parquet").write_bytes(b"a name like ours, in a place that is not")
    (folder / "photos" / "up").symlink_to("..")
    (folder / "outside").symlink_to("/etc")
