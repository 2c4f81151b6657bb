"""Keeps numpy and pandas out of the command line's processes: most of a second of CPU for nothing used here.

Must not be used by the library: whoever imports that may well use them.
"""

from __future__ import annotations

import sys

_UNUSED = frozenset({"numpy", "pandas"})


class _Lean:
    """Finds the packages that nothing here uses to be missing."""

    def find_spec(self, fullname: str, *_: object) -> None:
        if fullname in _UNUSED:
            raise ModuleNotFoundError(f"{fullname} is not used by the command line", name=fullname)


def stay_lean() -> None:
    """From now on this process has neither numpy nor pandas.

    pyarrow imports both if they are there: the one at once, the other for the first list that becomes an array,
    only to see whether that is one of theirs.
    """
    sys.meta_path.insert(0, _Lean())
