"""The share of a landed run that one load takes: a long run is loaded in parts.

Pure values; must not know how anything is loaded, nor when.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from image_history.landing.runs import LandedRun
from image_history.model import Scope


@dataclass(frozen=True, slots=True)
class Share:
    """Some `scopes` of a run, and the new details of scopes that are loaded already.

    The files of details from `first_file` on are new if the run's previous load was at `after_ms` (UTC epoch
    milliseconds); otherwise all files may be. With `ends`, everything that is left is loaded and the run is over.
    `going_on` are other runs that may still load parts.
    """

    scopes: frozenset[Scope] = frozenset()
    first_file: int = 0
    after_ms: int | None = None
    going_on: tuple[str, ...] = ()
    ends: bool = False

    def details_of(self, run: LandedRun, before_ms: int | None) -> tuple[Path, ...]:
        """The files of details that may be new, if the run's previous load was at `before_ms`."""
        return run.details.files[self.first_file if before_ms == self.after_ms else 0 :]


EVERYTHING = Share(ends=True)
