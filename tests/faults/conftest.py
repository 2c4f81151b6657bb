"""Sites to be spoiled: small worlds, one call at a time, and waits that take no time.

Must not know any fault.
"""

from __future__ import annotations

import pytest

from tests.behaviour.harness import ServeWorld, Site, made_once, served, shared_models, shelf
from tests.faults.trial import LARGE, NOON_MS, Trial, world

__all__ = ["LARGE", "NOON_MS", "begun", "made_once", "served", "shared_models", "shelf", "trial"]


@pytest.fixture
def trial(served: ServeWorld) -> Trial:
    """Three images of one page and one of three, of which nothing has been read yet."""
    return Trial(served(world()))


@pytest.fixture
def begun(served: ServeWorld) -> Trial:
    """The same, read once without faults."""

    def make() -> Site:
        first = Trial(served(world()))
        assert first.sync().code == 0
        return first.site

    return Trial(served.once("trial", make))
