"""What of a landed run one load takes: a run that takes long is loaded in parts.

Pure values; must not know how anything is loaded, nor when.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from image_history.landing.runs import LandedRun
from image_history.model import Scope


@dataclass(frozen=True, slots=True)
class Share:
    """These `scopes`, and what is new of the details of scopes that are loaded already.

    New are the files of details from the `first_file` on, if the run's load before was the one at `after_ms` (UTC
    epoch milliseconds); else all of them may be. With `ends` it is whatever is left, and the run is over.
    `going_on` are other runs of which parts may still come.
    """

    scopes: frozenset[Scope] = frozenset()
    first_file: int = 0
    after_ms: int | None = None
    going_on: tuple[str, ...] = ()
    ends: bool = False

    def details_of(self, run: LandedRun, before_ms: int | None) -> tuple[Path, ...]:
        """The files of details that may hold something new, if the run's load before was at `before_ms`."""
        return run.details.files[self.first_file if before_ms == self.after_ms else 0 :]


EVERYTHING = Share(ends=True)
