"""Records when each version of a simulated world was deleted, to the millisecond, to check stored intervals.

Must not know what is synced.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from image_history.simulator import VersionRecord, World, transitions
from image_history.simulator.contents import ImageContents, ImageTable

if TYPE_CHECKING:
    import pytest


class Life(NamedTuple):
    """A version, with its time of creation to tell it apart from later versions of the same number."""

    image_name: str
    version: int
    creation_ms: int


@dataclass(slots=True)
class Journal:
    """The time of each version's deletion since `begin`; by AWS's clock, in epoch milliseconds, UTC."""

    world: World
    gone: dict[Life, int] = field(default_factory=dict)

    def begin(self, patch: pytest.MonkeyPatch) -> None:
        """Record deletions from now on, until the patch is undone."""
        drop_version, drop_image = transitions.drop_version, transitions.drop_image

        def version(contents: ImageContents, leaving: VersionRecord, at_ms: int) -> None:
            drop_version(contents, leaving, at_ms)
            if contents.versions.get(leaving.version) is None:
                self._note(self._named(contents), leaving, at_ms)

        def image(images: ImageTable, name: str, contents: ImageContents, at_ms: int) -> None:
            here = images.get(name)
            drop_image(images, name, contents, at_ms)
            if here is not None and here.contents is contents:
                for record in contents.versions:
                    self._note(name, record, at_ms)

        patch.setattr(transitions, "drop_version", version)
        patch.setattr(transitions, "drop_image", image)

    def _note(self, name: str | None, record: VersionRecord, at_ms: int) -> None:
        if name is not None:
            self.gone.setdefault(Life(name, record.version, record.creation_ms), at_ms)

    def _named(self, contents: ImageContents) -> str | None:
        """The name of the image that has these contents; None if the image was deleted before."""
        images = (image for scope in self.world.scopes for image in self.world.images(scope))
        return next((image.name for image in images if image.contents is contents), None)
