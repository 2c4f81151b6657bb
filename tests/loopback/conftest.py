"""The fixtures of the tests with the small AWS. Must not know what a test checks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.behaviour.harness import made_once, shared_models
from tests.loopback.stage import Bench, Machine, Stage, staged

__all__ = ["made_once", "shared_models"]


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The servers, started once for all tests."""
    with staged(tmp_path_factory.mktemp("stage")) as made:
        yield made


@pytest.fixture
def bench(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Bench:
    """A bench, on which a test runs programs with a configuration."""
    return Bench(Machine(stage, monkeypatch), tmp_path, capfd)
