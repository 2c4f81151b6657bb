"""What a table keeps of itself in both formats while it is published: the table as it was read, and its owner.

Must not know any format, nor the warehouse.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

from image_history.errors import OutputError
from image_history.publish.lake import owner_key

Native = TypeVar("Native")


class Target(Generic[Native]):
    """One table for one writer. `where` is its address in words, `Native` the table of the format's library."""

    def __init__(self, where: str, label: str | None) -> None:
        self._where = where
        self._label = label
        self._table: Native | None = None
        self._owner: str | None = None

    @property
    def _loaded(self) -> Native:
        if self._table is None:
            raise OutputError(
                f"{self._where} was not read before it was to be changed: a fault of image-history."
            )
        return self._table

    def _owner_of(self, properties: Mapping[str, str]) -> str | None:
        """The warehouse that fills the table, or this writer's partition, by the table's properties."""
        return properties.get(owner_key(self._label))

    def _new_owner(self, properties: Mapping[str, str]) -> dict[str, str]:
        """What has to be set among the table's properties so that they name the owner; empty if they do."""
        if self._owner is None or self._owner_of(properties) == self._owner:
            return {}
        return {owner_key(self._label): self._owner}
