"""Dagster definitions: the warehouse as an asset that an hourly schedule updates.

Run `dagster dev -f deploy/dagster/image_history_defs.py` in an environment that has dagster and image-history.
"""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg

from image_history import load_config, sync

CONFIG = Path("/etc/image-history/config.yaml")


@dg.asset(group_name="aws", compute_kind="duckdb", pool="image_history")
def image_versions() -> dg.MaterializeResult:
    """Every SageMaker image version with its history. Fails if an image could not be read whole."""
    report = sync(load_config(CONFIG, os.environ))
    if report.failures:
        raise dg.Failure(
            description="; ".join(f"{each.where}: {each.message}" for each in report.failures),
            metadata={"run_id": report.run_id},
        )
    return dg.MaterializeResult(
        metadata={
            "run_id": report.run_id,
            "inserted": report.rows.inserted,
            "updated": report.rows.updated,
            "deleted": report.rows.deleted or 0,
            "calls": report.calls.total,
            "duration_seconds": report.duration_seconds,
        }
    )


job = dg.define_asset_job("image_history", selection=[image_versions])
defs = dg.Definitions(
    assets=[image_versions],
    jobs=[job],
    schedules=[dg.ScheduleDefinition(job=job, cron_schedule="17 * * * *", execution_timezone="UTC")],
)
