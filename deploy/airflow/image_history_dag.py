"""An Airflow 3 DAG: one sync an hour, in the environment that image-history is installed in.

This environment is separate from Airflow's (/opt/image-history, as in the other recipes), because Airflow pins older
versions of packages that image-history needs. Must not import image-history at the top: the scheduler has it not.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import dag, task


@dag(
    dag_id="image_history",
    schedule="17 * * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,  # a sync catches up by itself
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=6),
    tags=["aws", "sagemaker"],
)
def image_history() -> None:
    """Read the changes in AWS since the last run, and load them."""

    @task.external_python(
        python="/opt/image-history/bin/python", retries=2, retry_delay=timedelta(minutes=10)
    )
    def sync_images(config_path: str) -> dict[str, object]:
        """One sync; its counts become the task's XCom. The task fails if something could not be read whole."""
        import os
        from pathlib import Path

        from image_history import load_config, sync

        report = sync(load_config(Path(config_path), os.environ))
        if report.failures:
            raise RuntimeError("; ".join(f"{each.where}: {each.message}" for each in report.failures))
        return {
            "run_id": report.run_id,
            "inserted": report.rows.inserted,
            "updated": report.rows.updated,
            "deleted": report.rows.deleted,
            "calls": report.calls.total,
        }

    sync_images("/etc/image-history/config.yaml")


image_history()
