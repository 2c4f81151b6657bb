"""An Airflow 3 DAG: the accounts and regions in parts, one mapped task for each part, all into one lake table.

The configuration names the part as ${PART}: in the path of the warehouse, and in the label of the table. The
environment is image-history's own, as in image_history_dag.py. Must not import image-history at the top: the
scheduler has it not.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import dag, task

# Permanent: with another number, accounts move to parts that do not have their history.
PARTS = 3


@dag(
    dag_id="image_history_parts",
    schedule="17 * * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,  # a sync catches up by itself
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=6),
    tags=["aws", "sagemaker"],
)
def image_history_parts() -> None:
    """Read the changes in AWS since the last run, and publish them."""

    @task.external_python(
        python="/opt/image-history/bin/python", retries=2, retry_delay=timedelta(minutes=10)
    )
    def sync_part(number: int, parts: int, config_path: str) -> dict[str, object]:
        """One part; its counts become the task's XCom. The task fails if something could not be read or published."""
        import os
        from pathlib import Path

        from image_history import Part, SyncOptions, load_config, sync

        config = load_config(Path(config_path), {**os.environ, "PART": str(number)})
        report = sync(config, options=SyncOptions(part=Part(number, parts)))
        wrong = [f"{each.where}: {each.message}" for each in report.failures]
        wrong += [f"{each.to}: {each.error}" for each in report.publications if each.error is not None]
        if wrong:
            raise RuntimeError("; ".join(wrong))
        return {
            "run_id": report.run_id,
            "inserted": report.rows.inserted,
            "updated": report.rows.updated,
            "deleted": report.rows.deleted,
            "calls": report.calls.total,
        }

    sync_part.partial(parts=PARTS, config_path="/etc/image-history/config.yaml").expand(
        number=list(range(1, PARTS + 1))
    )


image_history_parts()
