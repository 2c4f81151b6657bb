"""`python -m tests.benchmarks.inside ARGUMENTS`: the command line, which tells at its end what it wrote.

The bytes handed to the kernel to be written to files, from /proc/self/io, go to written.txt: Linux only. Must
not know the verb.
"""

from __future__ import annotations

import sys
from pathlib import Path

from image_history.cli import run
from image_history.warehouse.trimming import trim_process


def written_bytes() -> int:
    """What this process has written so far; sockets don't count, they are sent to."""
    told = Path("/proc/self/io").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in told.splitlines() if line.startswith("wchar"))


if __name__ == "__main__":
    trim_process()
    before = written_bytes()
    code = run(sys.argv[1:])
    Path("written.txt").write_text(str(written_bytes() - before), encoding="ascii")
    sys.exit(code)
