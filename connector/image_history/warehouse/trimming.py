"""Makes the command line's processes start faster: no numpy, no pandas, and fewer garbage collections.

Must not be used by the library: its users may need both packages.
"""

from __future__ import annotations

import gc
import sys

_UNUSED = frozenset({"numpy", "pandas"})


class _Blocked:
    """An import hook that makes unused packages appear to be missing."""

    def find_spec(self, fullname: str, *_: object) -> None:
        if fullname in _UNUSED:
            raise ModuleNotFoundError(f"{fullname} is not used by the command line", name=fullname)


def trim_process() -> None:
    """Hide numpy and pandas from this process, and collect cyclic garbage less often.

    pyarrow imports both if they are installed, which takes most of a second of CPU: numpy at once, pandas for the
    first list that becomes an array, only to check the list's type. Imports and rows make very many objects and few
    cycles: with Python's default thresholds, garbage collection took a tenth of a run.
    """
    sys.meta_path.insert(0, _Blocked())
    gc.set_threshold(50_000, 20, 50)
