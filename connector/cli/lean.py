"""Keeps pandas out of the command line's processes: half a second of CPU that nothing here has a use for.

Must not be used by the library: whoever imports that may well use pandas.
"""

from __future__ import annotations

import sys


class _Without:
    """Finds one package to be missing."""

    def __init__(self, package: str) -> None:
        self._package = package

    def find_spec(self, fullname: str, *_: object) -> None:
        if fullname == self._package:
            raise ModuleNotFoundError(f"{fullname} is not used by the command line", name=fullname)


def without_pandas() -> None:
    """From now on this process has no pandas.

    pyarrow imports it for the first list that becomes an array, only to see whether that is one of pandas's.
    """
    sys.meta_path.insert(0, _Without("pandas"))
