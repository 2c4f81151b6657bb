"""The state changes of images and versions, each at a given instant.

Knows nothing of scopes, rules or the clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from image_history.simulator.model import VersionRecord

if TYPE_CHECKING:
    from image_history.simulator.contents import ImageContents, ImageRecord, ImageTable


def change_version(
    contents: ImageContents, record: VersionRecord, at_ms: int, **changes: Any
) -> VersionRecord:
    """Put a changed copy of a version in its place; return the copy."""
    changed = VersionRecord(
        version=record.version,
        creation_ms=record.creation_ms,
        last_modified_ms=changes.get("last_modified_ms", record.last_modified_ms),
        status=changes.get("status", record.status),
        failure_reason=changes.get("failure_reason", record.failure_reason),
        details=changes.get("details", record.details),
    )
    contents.versions.put(changed, at_ms)
    return changed


def finish_version(
    contents: ImageContents, creating: VersionRecord, failure_reason: str | None, at_ms: int
) -> None:
    """End CREATING, with success or failure, unless the version has changed otherwise meanwhile."""
    current = contents.versions.get(creating.version)
    if current is not None and current.status == "CREATING" and current.creation_ms == creating.creation_ms:
        status = "CREATED" if failure_reason is None else "CREATE_FAILED"
        change_version(
            contents, current, at_ms, status=status, failure_reason=failure_reason, last_modified_ms=at_ms
        )


def drop_version(contents: ImageContents, leaving: VersionRecord, at_ms: int) -> None:
    """Remove a version and its aliases, unless the version has changed meanwhile."""
    if contents.versions.get(leaving.version) is not leaving:
        return
    contents.versions.remove(leaving.version, at_ms)
    targets = contents.aliases.targets
    kept = {alias: version for alias, version in targets.items() if version != leaving.version}
    if len(kept) != len(targets):
        contents.aliases.change(kept, at_ms)


def finish_image(images: ImageTable, name: str, contents: ImageContents, at_ms: int) -> None:
    """End CREATING, unless the image is another one or in another state by now."""
    image = images.get(name)
    if image is not None and image.contents is contents and image.status == "CREATING":
        images.put(msgspec.structs.replace(image, status="CREATED", last_modified_ms=at_ms), at_ms)


def start_deleting(images: ImageTable, image: ImageRecord, at_ms: int) -> None:
    """Move an image and all of its versions to DELETING."""
    images.put(msgspec.structs.replace(image, status="DELETING", last_modified_ms=at_ms), at_ms)
    for record in list(image.contents.versions):
        change_version(image.contents, record, at_ms, status="DELETING", last_modified_ms=at_ms)


def drop_image(images: ImageTable, name: str, contents: ImageContents, at_ms: int) -> None:
    """Remove an image, unless a later image has its name."""
    image = images.get(name)
    if image is not None and image.contents is contents:
        images.remove(name, at_ms)
