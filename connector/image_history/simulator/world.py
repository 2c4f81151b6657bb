"""The simulated world and every way to change it: at any time, from any thread.

Knows nothing of HTTP, requests or tokens. Instants are epoch milliseconds, UTC.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec

from image_history.errors import ConfigError
from image_history.simulator import transitions
from image_history.simulator.contents import ImageContents, ImageRecord, ImageTable
from image_history.simulator.model import Scope, VersionDetails, VersionRecord, check_image_name
from image_history.simulator.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterable


class World(Registry):
    """Accounts, regions, images and versions. `scope` is (account_id, region), by default the first one.

    A change of an image, version or alias that does not exist raises ConfigError, so that a mistake in a test or a
    script is not taken for a world without changes.
    """

    def load_image(self, image: ImageRecord, *, scope: tuple[str, str] | None = None) -> None:
        """Add a complete image, as if it had always existed."""
        with self.settled():
            self._region(scope).load([image])

    def create_image(
        self,
        name: str,
        *,
        scope: tuple[str, str] | None = None,
        display_name: str | None = None,
        description: str | None = None,
        role_arn: str | None = None,
    ) -> None:
        """Create an image without versions: after `create_ms` of CREATING, or at once."""
        check_image_name(name)
        with self.settled() as now_ms:
            images = self._region(scope)
            if images.get(name) is not None:
                raise ConfigError(f"the image {name} already exists; delete it first or use another name")
            image = ImageRecord(
                name=name,
                creation_ms=now_ms,
                last_modified_ms=now_ms,
                contents=ImageContents(),
                status="CREATING" if self.rules.create_ms else "CREATED",
                display_name=display_name,
                description=description,
                role_arn=role_arn,
            )
            images.put(image, now_ms)
            finish = partial(transitions.finish_image, images, name, image.contents)
            self.schedule(now_ms + self.rules.create_ms, finish)

    def update_image(
        self,
        name: str,
        *,
        scope: tuple[str, str] | None = None,
        display_name: str | None = None,
        description: str | None = None,
    ) -> None:
        """Change the given texts, and move the time of last modification to now."""
        with self.settled() as now_ms:
            image = self._image(name, scope)
            changed = msgspec.structs.replace(
                image,
                last_modified_ms=now_ms,
                display_name=image.display_name if display_name is None else display_name,
                description=image.description if description is None else description,
            )
            self._region(scope).put(changed, now_ms)

    def delete_image(self, name: str, *, scope: tuple[str, str] | None = None) -> None:
        """Delete an image and all of its versions: after `delete_ms` of DELETING, or at once."""
        with self.settled() as now_ms:
            image, images = self._image(name, scope), self._region(scope)
            drop = partial(transitions.drop_image, images, name, image.contents)
            if not self.rules.delete_ms:
                drop(now_ms)
                return
            transitions.start_deleting(images, image, now_ms)
            self.schedule(now_ms + self.rules.delete_ms, drop)

    def create_version(
        self,
        image_name: str,
        *,
        scope: tuple[str, str] | None = None,
        failure_reason: str | None = None,
        aliases: Iterable[str] = (),
        details: VersionDetails | None = None,
    ) -> int:
        """Create the next version and return its number.

        It is CREATED, or with a failure_reason CREATE_FAILED, after `create_ms` of CREATING, or at once.
        """
        with self.settled() as now_ms:
            image = self._image(image_name, scope)
            contents = image.contents
            record = VersionRecord(
                version=contents.next_version,
                creation_ms=now_ms,
                last_modified_ms=now_ms,
                status="CREATING",
                details=details,
            )
            contents.next_version += 1
            contents.versions.put(record, now_ms)
            if self.rules.versions_move_image:
                self._region(scope).put(msgspec.structs.replace(image, last_modified_ms=now_ms), now_ms)
            targets = {**contents.aliases.targets, **dict.fromkeys(aliases, record.version)}
            if targets != contents.aliases.targets:
                contents.aliases.change(targets, now_ms)
            finish = partial(transitions.finish_version, contents, record, failure_reason)
            if self.rules.create_ms:
                self.schedule(now_ms + self.rules.create_ms, finish)
            else:
                finish(now_ms)
            return record.version

    def put_version(
        self, image_name: str, record: VersionRecord, *, scope: tuple[str, str] | None = None
    ) -> None:
        """Set one version to exactly this state, whatever its state was; times may be in the past or future."""
        with self.settled() as now_ms:
            contents = self._image(image_name, scope).contents
            # A copy, for the caller may put the same record into another image.
            contents.versions.put(msgspec.structs.replace(record, encoded=b"", encoded_for=None), now_ms)
            contents.next_version = max(contents.next_version, record.version + 1)

    def update_version(
        self,
        image_name: str,
        version: int,
        *,
        scope: tuple[str, str] | None = None,
        details: VersionDetails | None = None,
    ) -> None:
        """Update a version as UpdateImageVersion does: its time of last modification moves to now."""
        with self.settled() as now_ms:
            contents, record = self._version(image_name, version, scope)
            kept = record.details if details is None else details
            transitions.change_version(contents, record, now_ms, last_modified_ms=now_ms, details=kept)

    def set_status(
        self,
        image_name: str,
        version: int,
        status: str,
        *,
        failure_reason: str | None = None,
        scope: tuple[str, str] | None = None,
    ) -> None:
        """Move a version to a status, known to AWS or not, with its time of last modification."""
        with self.settled() as now_ms:
            contents, record = self._version(image_name, version, scope)
            changes = {"status": status, "failure_reason": failure_reason, "last_modified_ms": now_ms}
            transitions.change_version(contents, record, now_ms, **changes)

    def delete_version(self, image_name: str, version: int, *, scope: tuple[str, str] | None = None) -> None:
        """Delete a version and its aliases: after `delete_ms` of DELETING, or at once."""
        with self.settled() as now_ms:
            contents, record = self._version(image_name, version, scope)
            if not self.rules.delete_ms:
                transitions.drop_version(contents, record, now_ms)
                return
            changes = {"status": "DELETING", "last_modified_ms": now_ms}
            leaving = transitions.change_version(contents, record, now_ms, **changes)
            self.schedule(now_ms + self.rules.delete_ms, partial(transitions.drop_version, contents, leaving))

    def move_alias(
        self, image_name: str, alias: str, version: int, *, scope: tuple[str, str] | None = None
    ) -> None:
        """Point an alias, new or old, at a version."""
        with self.settled() as now_ms:
            contents, _ = self._version(image_name, version, scope)
            before = contents.aliases.targets.get(alias)
            contents.aliases.change({**contents.aliases.targets, alias: version}, now_ms)
            self._bump_aliased(contents, {version, before}, now_ms)

    def delete_alias(self, image_name: str, alias: str, *, scope: tuple[str, str] | None = None) -> None:
        """Remove an alias."""
        with self.settled() as now_ms:
            contents = self._image(image_name, scope).contents
            targets = dict(contents.aliases.targets)
            if alias not in targets:
                raise ConfigError(f"the image {image_name} has no alias {alias}")
            before = targets.pop(alias)
            contents.aliases.change(targets, now_ms)
            self._bump_aliased(contents, {before}, now_ms)

    def _bump_aliased(self, contents: ImageContents, versions: set[int | None], now_ms: int) -> None:
        if not self.rules.alias_bumps_last_modified:
            return
        for version in versions - {None}:
            record = contents.versions.get(version or 0)
            if record is not None:
                transitions.change_version(contents, record, now_ms, last_modified_ms=now_ms)

    def _region(self, scope: tuple[str, str] | None) -> ImageTable:
        if scope is None:
            return self._regions[self.default_scope]
        wanted = Scope(*scope)
        if wanted.account_id not in self._keys.values():
            self.add_account(wanted.account_id)
        return self._regions.setdefault(wanted, ImageTable())

    def _image(self, name: str, scope: tuple[str, str] | None) -> ImageRecord:
        image = self.images(scope).get(name)
        if image is None:
            where = "/".join(self.default_scope if scope is None else scope)
            raise ConfigError(f"the simulated world has no image {name} in {where}")
        return image

    def _version(
        self, image_name: str, version: int, scope: tuple[str, str] | None
    ) -> tuple[ImageContents, VersionRecord]:
        contents = self._image(image_name, scope).contents
        record = contents.versions.get(version)
        if record is None:
            raise ConfigError(f"the simulated image {image_name} has no version {version}")
        return contents, record
