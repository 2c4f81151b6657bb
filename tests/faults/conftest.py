"""Sites to be spoiled: small worlds, one call at a time, and waits that take no time.

Must not know any fault.
"""

from __future__ import annotations

from collections.abc import Iterator

import botocore.loaders
import pytest

from tests.behaviour.harness import ServeWorld, served
from tests.faults.trial import LARGE, NOON_MS, Trial, world

__all__ = ["LARGE", "NOON_MS", "served", "trial"]


@pytest.fixture(scope="session", autouse=True)
def shared_models() -> Iterator[None]:
    """Botocore reads its models of SageMaker and STS once for all sessions: half of what a small sync costs."""
    loader = botocore.loaders.create_loader()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.loaders, "create_loader", lambda *_: loader)
        yield


@pytest.fixture
def trial(served: ServeWorld) -> Trial:
    """Three images of one page and one of three, of which nothing has been read yet."""
    return Trial(served(world()))
