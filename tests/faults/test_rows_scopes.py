"""Rows 33 to 35 of the list of faults: permissions, credentials and clocks."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from image_history.landing.runs import Landing
from image_history.simulator import FaultRule
from tests.faults.trial import HOUR_MS, LARGE, Trial

LIST = "ListImageVersions"


def test_row_33_one_image_that_may_not_be_read(begun: Trial) -> None:
    """A denied image is reported and stays unchanged, the other images are read, and the sync exits with 4."""
    begun.site.world.delete_version("beta", 2)
    begun.site.world.delete_version("Alpha", 2)
    begun.spoil(FaultRule(kind="access_denied", operation=LIST, image="beta"))
    came = begun.sync(full=True)
    assert (came.code, came.failures) == (4, {"beta": "AccessDeniedException"})
    assert begun.site.ask(
        "SELECT image_name, version FROM image_versions WHERE etl_deleted_at IS NOT NULL"
    ) == [("Alpha", 2)]
    begun.assert_unmoved("beta")
    assert begun.figures() == (0, 0, "partial")
    begun.assert_converges()


@pytest.mark.parametrize("operation", ["DescribeImage", "DescribeImageVersion", "ListAliases"])
def test_row_33_one_operation_that_may_not_be_called(begun: Trial, operation: str) -> None:
    """If one operation is denied, the sync goes on, and no existing version is marked as deleted."""
    begun.site.world.delete_image("beta")
    begun.site.world.delete_version("Alpha", 2)
    begun.spoil(FaultRule(kind="access_denied", operation=operation))
    came = begun.sync(full=True)
    assert came.code == (4 if operation == "DescribeImage" else 0)
    begun.assert_nothing_falsely_deleted()
    begun.assert_converges()


def test_row_34_expired_credentials_that_stay_expired(trial: Trial) -> None:
    """If static credentials expire during a run, the sync exits with 3, and the next sync continues the run."""
    trial.spoil(FaultRule(kind="expired_credentials", operation=LIST, start=5))
    came = trial.sync()
    assert came.code == 3
    assert "ExpiredTokenException" in came.message
    assert "log in again" in came.message
    (run,) = Landing(trial.config.landing_folder).runs()
    assert sum(mark.rows for mark in run.checkpoints.values()) == 115
    trial.site.simulator.faults = ()
    came = trial.sync()
    assert (came.code, trial.site.calls(LIST, LARGE)) == (0, 2)
    trial.site.assert_true()


def test_row_34_expired_credentials_that_can_be_renewed(trial: Trial) -> None:
    """If credentials can be renewed, the session is rebuilt and the call repeated, which counts as a retry."""
    trial.spoil(FaultRule(kind="expired_credentials", operation=LIST, nth=5))
    came = trial.sync()
    assert came.code == 0
    assert came.report is not None
    assert came.report.calls.total == trial.site.simulator.counters.calls() - trial.site.calls(
        "GetCallerIdentity"
    )
    assert trial.figures() == (1, 0, "complete")
    trial.site.assert_true()


def test_row_34_renewal_that_fails(trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If credentials expire and their source has no new ones, the sync exits with 3 and quotes the source's error.

    The next sync continues the run after the pages that were read.
    """
    key = trial.site.environment["AWS_ACCESS_KEY_ID"]
    script = tmp_path / "source.py"
    script.write_text(
        "import json, pathlib, sys\n"
        "used = pathlib.Path(sys.argv[1])\n"
        "if used.exists(): sys.exit('the single sign-on session is over')\n"
        "used.touch()\n"
        f"print(json.dumps({{'Version': 1, 'AccessKeyId': '{key}', 'SecretAccessKey': 'x'}}))\n"
    )
    config = tmp_path / "aws-config"
    config.write_text(f"[default]\ncredential_process = {sys.executable} {script} {tmp_path / 'used'}\n")
    with monkeypatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.delenv(name)
        patch.setenv("AWS_CONFIG_FILE", str(config))
        trial.spoil(FaultRule(kind="expired_credentials", operation=LIST, start=5))
        came = trial.sync()
    assert came.code == 3
    assert "have expired, and there are no new ones" in came.message
    assert "the single sign-on session is over" in came.message
    (run,) = Landing(trial.config.landing_folder).runs()
    assert sum(mark.rows for mark in run.checkpoints.values()) == 115
    trial.site.simulator.faults = ()
    assert trial.sync().code == 0
    assert (trial.site.calls(LIST), trial.site.calls(LIST, LARGE)) == (2, 2)
    assert trial.site.ask("SELECT etl_run_id FROM runs") == [(run.plan.run_id,)]
    trial.site.assert_true()


@pytest.mark.parametrize("kind", ["unknown_credentials", "request_expired"])
def test_row_34_35_credentials_that_are_refused(trial: Trial, kind: str) -> None:
    """If AWS refuses the keys or the time, the sync exits with 3 without a retry, and names the clock's error."""
    trial.spoil(FaultRule(kind=kind, operation=LIST, image=LARGE, nth=2, seconds=1200))
    # The hint compares with this machine's clock.
    trial.site.simulator.clock.resume()
    trial.site.simulator.clock.set(_now_ms())
    came = trial.sync()
    assert came.code == 3
    assert trial.injected() == {kind: 1}
    if kind == "request_expired":
        assert "This machine's clock is 20 minutes ahead of AWS's: set it." in came.message
    trial.assert_converges()


def _now_ms() -> int:
    import time

    return time.time_ns() // 1_000_000


def test_row_35_local_clock_that_jumps_back(begun: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """Watermarks depend only on AWS's Date: they advance although the local clock is two years back."""
    begun.site.simulator.clock.advance(HOUR_MS)
    begun.site.world.update_version(LARGE, 7)
    two_years_back = _now_ms() - 2 * 365 * 24 * HOUR_MS
    for module in ("image_history.run.pipeline", "image_history.warehouse.loader"):
        monkeypatch.setattr(f"{module}.now_ms", lambda: two_years_back)
    begun.spoil()
    assert begun.sync().code == 0
    before, after = begun.watermarks[(LARGE,)][0], begun.marks()[(LARGE,)][0]
    assert isinstance(before, int)
    assert isinstance(after, int)
    assert after > before
    assert after <= begun.site.simulator.clock.now_ms()
    begun.site.assert_true()
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("rule", "hours"),
    [
        pytest.param(
            FaultRule(kind="future_time", operation=LIST, image=LARGE, nth=1, seconds=86_400), 2, id="a-time"
        ),
        pytest.param(FaultRule(kind="date_skew", seconds=3600), 2, id="dates-an-hour"),
        pytest.param(FaultRule(kind="date_skew", seconds=86_400), 25, id="dates-a-day"),
    ],
)
def test_row_36_date_and_times_that_are_ahead(trial: Trial, rule: FaultRule, hours: int) -> None:
    """After a time that is a day ahead, a later run reads changes; after such Dates, a run later than these does."""
    trial.spoil(rule)
    assert trial.sync().code == 0
    assert trial.injected()[rule.kind] >= 1
    trial.site.simulator.faults = ()
    trial.site.simulator.clock.advance(hours * HOUR_MS)
    trial.site.world.update_version(LARGE, 7)
    assert trial.sync().code == 0
    changed = trial.site.ask(
        "SELECT count(*) FROM image_version_events WHERE image_name = 'large' AND version = 7"
    )
    assert changed == [(2,)]
    trial.assert_converges()
