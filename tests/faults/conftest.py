"""Sites for tests with faults: small worlds, one call at a time, and waits that take no time.

Must not know which faults there are.
"""

from __future__ import annotations

import pytest

from tests.behaviour.harness import ServeWorld, Site, made_once, served, shared_models, shelf
from tests.faults.trial import LARGE, NOON_MS, Trial, world

__all__ = ["LARGE", "NOON_MS", "begun", "made_once", "served", "shared_models", "shelf", "trial"]


@pytest.fixture
def trial(served: ServeWorld) -> Trial:
    """A site with three images of one page and one image of three pages, which no sync has read yet."""
    return Trial(served(world()))


@pytest.fixture
def begun(served: ServeWorld) -> Trial:
    """The site of `trial` after one sync without faults."""

    def make() -> Site:
        first = Trial(served(world()))
        assert first.sync().code == 0
        return first.site

    return Trial(served.once("trial", make))
