"""Opens the null device for standard streams that the parent process closed, as `2>&-` does.

Must not know what is written.
"""

from __future__ import annotations

import os
import sys

_STANDARD = 3


def open_standard_streams() -> None:
    """Open the null device at each closed number of 0, 1 and 2, and as Python's streams.

    Otherwise the next file that is opened would get that number, and a library that writes to the stream would write
    into the file, for example the warehouse.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) < _STANDARD:
        os.set_inheritable(descriptor, True)  # noqa: FBT003 - positional only
    os.close(descriptor)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - for the process's life
