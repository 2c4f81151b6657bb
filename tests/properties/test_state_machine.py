"""Runs the state machine for a short time in `make test`; `make soak` runs it longer."""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.properties.operating import Operating

pytestmark = pytest.mark.duckdb

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def test_connector_keeps_up_with_a_changing_aws(seed: int) -> None:
    """Whatever changes, fails or lags, the warehouse equals the truth after each run that was not disturbed."""
    machine = hypothesis.seed(seed)(type("Replayable", (Operating,), {}))
    quick = settings(max_examples=3, stateful_step_count=16, deadline=None, suppress_health_check=SLOW)
    run_state_machine_as_test(machine, settings=quick)
