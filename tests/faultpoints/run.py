"""`python -m tests.faultpoints.run rename.segment:kill:1 -- sync ...` runs the command line with a fault.

Must not know what the command does.
"""

from __future__ import annotations

import sys

from image_history.cli import main
from image_history.durable.effects import install
from tests.faultpoints.faults import Fault, Tripwire


def start(arguments: list[str]) -> None:
    """Install the fault and run the command line."""
    fault, separator, *command = arguments
    if separator != "--":
        raise SystemExit("usage: python -m tests.faultpoints.run EFFECT.SUBJECT:ACTION:N -- VERB ...")
    install(Tripwire(Fault.parse(fault), lambda _: None))
    sys.argv = ["image-history", *command]
    main()


if __name__ == "__main__":
    start(sys.argv[1:])
