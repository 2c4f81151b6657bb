"""Lets a mutant take the place of the real thing for a whole run of pytest: `-p tests.mutation.plugin`."""

from __future__ import annotations

import os
from contextlib import ExitStack

from tests.mutation.__main__ import VARIABLE, named

_APPLIED = ExitStack()


def pytest_configure() -> None:
    """From now on."""
    _APPLIED.enter_context(named(os.environ[VARIABLE]).applied())


def pytest_unconfigure() -> None:
    """Until the end."""
    _APPLIED.close()
