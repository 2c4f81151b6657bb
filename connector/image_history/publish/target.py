"""The common part of a table of either format while it is published, and its error messages.

Must not know any format, nor the warehouse.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from image_history.durable.disk import unwritable
from image_history.durable.effects import Effect, File, fault_point
from image_history.errors import OutputError
from image_history.publish.lake import (
    REGION_COLUMN,
    SOURCE_COLUMN,
    ConflictError,
    DataFile,
    owner_key,
)

logger = logging.getLogger(__name__)

Native = TypeVar("Native")


@dataclass(frozen=True, slots=True)
class Raised:
    """The errors of a format's library: `conflicts` mean that another commit came first, `refusals` anything else.

    `check` names what the user should check after a refusal.
    """

    conflicts: tuple[type[Exception], ...]
    refusals: Callable[[], tuple[type[Exception], ...]]
    check: str


@contextmanager
def translated(where: str, raised: Raised, *, committing: bool = False) -> Iterator[None]:
    """Turn a library's errors into ours. `committing` says that a commit may have succeeded despite the error."""
    try:
        yield
    except raised.conflicts as error:
        raise ConflictError(f"{where}: {error_line(error)}.") from error
    except raised.refusals() as error:
        unsure = (
            " Whether it was committed is not known; the next publication finds out." if committing else ""
        )
        raise OutputError(
            f"Cannot use {where}: {error_line(error)}. What readers see is whole, old or new.{unsure} Check "
            f"{raised.check}.",
            path=where,
        ) from error


def error_line(error: Exception) -> str:
    """A library's error on one line, shortened if it is long."""
    text = " ".join(str(error).split()).rstrip(".")
    return f"{type(error).__name__}, {text[:400]}" if text else type(error).__name__


def refusal(where: str, reason: str, remedy: str) -> OutputError:
    """The error for a table that is refused before anything is written."""
    return OutputError(f"Cannot publish to {where}: {reason}. Nothing was changed. {remedy}", path=where)


def require_makeable(where: str, folder: Path) -> None:
    """OutputError if a folder cannot be written to, or is missing and cannot be made."""
    nearest = next((each for each in (folder, *folder.parents) if os.path.lexists(each)), folder)
    problem = "it is not a folder" if not os.path.isdir(nearest) else unwritable(nearest)  # noqa: PTH112 - what cannot be looked into is none
    if problem is not None:
        raise refusal(
            where,
            f"{nearest} cannot be written to ({problem})",
            "Let this user write there, or name another place.",
        )


class Target(Generic[Native]):
    """One table for one writer. `where` is its address for messages, `Native` the table class of a library."""

    RAISED: ClassVar[Raised]

    def __init__(self, where: str, label: str | None) -> None:
        self._where = where
        self._label = label
        self._table: Native | None = None
        self._owner: str | None = None

    @property
    def _loaded(self) -> Native:
        if self._table is None:
            raise OutputError(
                f"{self._where} is to be changed but was not read: this is a bug in image-history."
            )
        return self._table

    def discard(self, files: Sequence[DataFile]) -> None:
        """Remove files that no commit names; upkeep removes those that remain."""
        for file in files:
            with suppress(OSError):
                fault_point(Effect.DELETE, File.TABLE_FILE)
                self._remove(file.path)

    def upkeep(self, keep_for: timedelta) -> None:
        """Expire old versions, and remove files that none refers to. A failure is only logged: the commit stands."""
        try:
            with self._translated():
                self._forget(keep_for)
        except (OutputError, ConflictError) as error:
            logger.warning("table_not_swept", extra={"path": self._where, "reason": error.message})

    def _remove(self, path: str) -> None:
        raise NotImplementedError

    def _forget(self, keep_for: timedelta) -> None:
        raise NotImplementedError

    def _translated(self, *, committing: bool = False) -> AbstractContextManager[None]:
        return translated(self._where, self.RAISED, committing=committing)

    def _made_meanwhile(self) -> ConflictError:
        return ConflictError(f"{self._where} was made by another writer meanwhile.")

    def _changed_meanwhile(self) -> ConflictError:
        return ConflictError(f"{self._where} changed while its columns were renewed.")

    def _other_columns(self, reason: str) -> OutputError:
        return refusal(
            self._where,
            f"a column of the table has another type ({reason})",
            "Publish under another name, or to another namespace or folder.",
        )

    def _require_partitions(self, found: Sequence[str]) -> None:
        """OutputError if the table's partitioning does not suit this writer."""
        others = sorted(set(found) - {SOURCE_COLUMN, REGION_COLUMN})
        if others:
            raise refusal(
                self._where,
                f"it is partitioned by {', '.join(others)}, but image-history publishes by region",
                "Publish to another namespace or folder.",
            )
        if (SOURCE_COLUMN in found) != (self._label is not None):
            raise refusal(self._where, *(_WITHOUT_LABEL if self._label is not None else _WITH_LABELS))

    def _owner_of(self, properties: Mapping[str, str]) -> str | None:
        """The warehouse that fills the table, or this writer's partition, by the table's properties."""
        return properties.get(owner_key(self._label))

    def _new_owner(self, properties: Mapping[str, str]) -> dict[str, str]:
        """The table properties to set so that they name the owner; empty if they already do."""
        if self._owner is None or self._owner_of(properties) == self._owner:
            return {}
        return {owner_key(self._label): self._owner}


_WITHOUT_LABEL = (
    "warehouses without a label fill it",
    "Leave the label out, or publish to another namespace or folder.",
)
_WITH_LABELS = (
    "several warehouses fill it, each under a label",
    "Give this entry of publish a label of its own.",
)
