"""Keeps the command line's processes from what they have no use for: numpy, pandas, and a busy collector.

Must not be used by the library: whoever imports that may well use them.
"""

from __future__ import annotations

import gc
import sys

_UNUSED = frozenset({"numpy", "pandas"})


class _Blocked:
    """Finds the packages that nothing here uses to be missing."""

    def find_spec(self, fullname: str, *_: object) -> None:
        if fullname in _UNUSED:
            raise ModuleNotFoundError(f"{fullname} is not used by the command line", name=fullname)


def trim_process() -> None:
    """From now on this process has neither numpy nor pandas, and seldom looks for cycles.

    pyarrow imports both if they are there, most of a second of CPU: the one at once, the other for the first list
    that becomes an array, only to see whether that is one of theirs. Imports and rows make very many objects and
    few cycles: looking through all of them as often as Python does took a tenth of a run.
    """
    sys.meta_path.insert(0, _Blocked())
    gc.set_threshold(50_000, 20, 50)
