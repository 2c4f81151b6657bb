"""`python -m tests.benchmarks.inside ARGUMENTS`: runs the command, then records how much it wrote.

The number of bytes that the process passed to write calls, from /proc/self/io, goes to written.txt: Linux only.
Must not know the verb.
"""

from __future__ import annotations

import sys
from pathlib import Path

from image_history.cli import run
from image_history.warehouse.trimming import trim_process


def written_bytes() -> int:
    """The bytes that this process has written so far; bytes sent over sockets are not counted."""
    told = Path("/proc/self/io").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in told.splitlines() if line.startswith("wchar"))


if __name__ == "__main__":
    trim_process()
    before = written_bytes()
    code = run(sys.argv[1:])
    Path("written.txt").write_text(str(written_bytes() - before), encoding="ascii")
    sys.exit(code)
