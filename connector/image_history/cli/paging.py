"""Shows text that is longer than the terminal in a pager; only on an interactive terminal.

Must not know what is shown.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress

# Exits at once if all fits, keeps colours, cuts long lines, and leaves the text on the screen.
_USUAL = "less"
_USUAL_OPTIONS = "FRSX"


def show(text: str, *, height: int) -> None:
    """Write to stdout, through the pager if there are more than `height` lines.

    PAGER names another pager, or none if it is empty or cat. Unless stdin and stdout are a terminal, there is none.
    """
    command = pager() if text.count("\n") >= height else ()
    if not command or not _page(text, command):
        sys.stdout.write(text)
        sys.stdout.flush()


def pager() -> Sequence[str]:
    """The pager's command, empty if there is to be none."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM", "dumb") == "dumb":
        return ()
    try:
        command = shlex.split(os.environ.get("PAGER", _USUAL))
    except ValueError:
        return ()
    return () if command in ([], ["cat"]) else command


def _page(text: str, command: Sequence[str]) -> bool:
    """Show the text in the pager until the user quits it; False if it could not be started."""
    environment = {"LESS": _USUAL_OPTIONS, "LESSCHARSET": "utf-8", **os.environ}
    try:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)  # noqa: S603  # the user's own choice
    except OSError:
        return False
    # The user may quit before the end of the text, and Ctrl-C is for the pager.
    with suppress(BrokenPipeError, KeyboardInterrupt):
        process.communicate(text.encode())
    while process.poll() is None:
        with suppress(KeyboardInterrupt):
            process.wait()
    return True
