"""Every action that a script or the admin interface can perform on a simulator, as a typed JSON object.

Knows nothing of when it is done.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Protocol

import msgspec

from image_history.errors import ConfigError
from image_history.simulator.behaviour import Behaviour
from image_history.simulator.model import Scope, VersionDetails, VersionRecord
from image_history.simulator.world import World


class Stage(Protocol):
    """The simulator's parts that an action changes."""

    behaviour: Behaviour

    @property
    def world(self) -> World:
        """The world."""


class Action(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", forbid_unknown_fields=True):
    """An action. Account and region default to the world's first ones."""

    account_id: str | None = None
    region: str | None = None

    def scope(self, world: World) -> Scope:
        """The account and region in which the action is performed."""
        default = world.default_scope
        return Scope(self.account_id or default.account_id, self.region or default.region)

    def perform(self, stage: Stage) -> None:
        """Perform the action. ConfigError if that is impossible."""
        raise NotImplementedError


class CreateImage(Action, frozen=True, kw_only=True, tag="create_image"):
    """Create an image without versions."""

    image: str
    display_name: str | None = None
    description: str | None = None

    def perform(self, stage: Stage) -> None:
        """Perform the action."""
        stage.world.create_image(
            self.image,
            scope=self.scope(stage.world),
            display_name=self.display_name,
            description=self.description,
        )


class UpdateImage(Action, frozen=True, kw_only=True, tag="update_image"):
    """Change an image's display name or description."""

    image: str
    display_name: str | None = None
    description: str | None = None

    def perform(self, stage: Stage) -> None:
        """Perform the action."""
        stage.world.update_image(
            self.image,
            scope=self.scope(stage.world),
            display_name=self.display_name,
            description=self.description,
        )


class DeleteImage(Action, frozen=True, kw_only=True, tag="delete_image"):
    """Delete an image with its versions."""

    image: str

    def perform(self, stage: Stage) -> None:
        """Perform the action."""
        stage.world.delete_image(self.image, scope=self.scope(stage.world))


class CreateVersion(Action, frozen=True, kw_only=True, tag="create_version"):
    """Create the next `count` versions of an image."""

    image: str
    count: int = 1
    failure_reason: str | None = None
    aliases: tuple[str, ...] = ()
    details: VersionDetails | None = None

    def perform(self, stage: Stage) -> None:
        """Perform the action."""
        for _ in range(self.count):
            stage.world.create_version(
                self.image,
                scope=self.scope(stage.world),
                failure_reason=self.failure_reason,
                aliases=self.aliases,
                details=self.details,
            )


class PutVersion(Action, frozen=True, kw_only=True, tag="put_version"):
    """Set a version to exactly this state; instants in epoch milliseconds."""

    image: str
    version: int
    creation_ms: int
    last_modified_ms: int
    status: str = "CREATED"
    failure_reason: str | None = None

    def perform(self, stage: Stage) -> None:
        """Perform the action."""
        record = VersionRecord(
            version=self.version,
            creation_ms=self.creation_ms,
            last_modified_ms=self.last_modified_ms,
            status=self.status,
            failure_reason=self.failure_reason,
        )
        stage.world.put_version(self.image, record, scope=self.scope(stage.world))


class UpdateVersion(Action, frozen=True, kw_only=True, tag="update_version"):
    """Move a version's time of last modification to now, and change details if given."""

    image: str
    version: int
    details: VersionDetails | None = None

    def perform(self, stage: Stage) -> None:
        """Perform the action."""
        stage.world.update_version(
            self.image, self.version, scope=self.scope(stage.world), details=self.details
        )


class SetStatus(Action, frozen=True, kw_only=True, tag="set_status"):
    """Move a version to a status."""

    image: str
    version: int
    status: str
    failure_reason: str | None = None

    def perform(self, stage: Stage) -> None:
        """Perform the action."""
        stage.world.set_status(
            self.image,
            self.version,
            self.status,
            failure_reason=self.failure_reason,
            scope=self.scope(stage.world),
        )


class DeleteVersion(Action, frozen=True, kw_only=True, tag="delete_version"):
    """Delete a version."""

    image: str
    version: int

    def perform(self, stage: Stage) -> None:
        """Perform the action."""
        stage.world.delete_version(self.image, self.version, scope=self.scope(stage.world))


class MoveAlias(Action, frozen=True, kw_only=True, tag="move_alias"):
    """Point an alias at a version."""

    image: str
    alias: str
    version: int

    def perform(self, stage: Stage) -> None:
        """Perform the action."""
        stage.world.move_alias(self.image, self.alias, self.version, scope=self.scope(stage.world))


class DeleteAlias(Action, frozen=True, kw_only=True, tag="delete_alias"):
    """Remove an alias."""

    image: str
    alias: str

    def perform(self, stage: Stage) -> None:
        """Perform the action."""
        stage.world.delete_alias(self.image, self.alias, scope=self.scope(stage.world))


class AdvanceClock(Action, frozen=True, kw_only=True, tag="advance_clock"):
    """Move virtual time on."""

    milliseconds: int

    def perform(self, stage: Stage) -> None:
        """Perform the action."""
        stage.world.clock.advance(self.milliseconds)


class SetBehaviour(Action, frozen=True, kw_only=True, tag="set_behaviour"):
    """Change some switches and leave the others."""

    switches: dict[str, Any]

    def perform(self, stage: Stage) -> None:
        """Perform the action."""
        stage.behaviour = patched(stage.behaviour, self.switches)


AnyAction = (
    CreateImage
    | UpdateImage
    | DeleteImage
    | CreateVersion
    | PutVersion
    | UpdateVersion
    | SetStatus
    | DeleteVersion
    | MoveAlias
    | DeleteAlias
    | AdvanceClock
    | SetBehaviour
)


def patched(behaviour: Behaviour, switches: dict[str, Any]) -> Behaviour:
    """Return the behaviour with some switches changed. ConfigError for unknown names and wrong values."""
    known = {field.name for field in fields(Behaviour)}
    unknown = sorted(set(switches) - known)
    if unknown:
        raise ConfigError(f"there is no switch {unknown[0]!r}; the switches are {', '.join(sorted(known))}")
    current = {name: getattr(behaviour, name) for name in known}
    try:
        return msgspec.convert({**current, **switches}, Behaviour)
    except msgspec.ValidationError as error:
        raise ConfigError(f"a switch has a wrong value: {error}") from error
