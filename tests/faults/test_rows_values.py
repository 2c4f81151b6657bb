"""Rows 39, 40, 48 and 49 of the list of faults: unusual values, large amounts, and runs without changes."""

from __future__ import annotations

import csv
import hashlib
import os
import sys

from image_history.config import Account, Config
from image_history.simulator import Behaviour, FaultRule, VersionRecord, generate
from tests.behaviour.harness import ServeWorld
from tests.faults.trial import LARGE, NOON_MS, Trial

LIST = "ListImageVersions"
REASONS = (
    "x" * 1024,
    "broken \N{PILE OF POO} \N{SNOWMAN}",
    "a NUL \0 within",
    "=cmd|' /C calc'!A0",
    "<script>alert(1)</script>",
    'a "quoted", text\nof two lines',
)


def test_row_39_texts_that_mean_harm(trial: Trial) -> None:
    """Every text of AWS is stored unchanged, and a CSV export escapes texts that a spreadsheet would run."""
    for number, reason in enumerate(REASONS, start=6):
        record = VersionRecord(
            version=number,
            creation_ms=NOON_MS,
            last_modified_ms=NOON_MS,
            status="CREATE_FAILED",
            failure_reason=reason,
        )
        trial.site.world.put_version("beta", record)
    assert trial.sync().code == 0
    trial.site.assert_true()
    assert trial.site.run("export", "--output", "all.csv").returncode == 0
    with (trial.site.folder / "all.csv").open(encoding="utf-8-sig", newline="") as file:
        told = {row["failure_reason"] for row in csv.DictReader(file)}
    assert "'=cmd|' /C calc'!A0" in told
    assert not {text for text in told if text.startswith("=")}
    assert "<script>alert(1)</script>" in told


def test_row_39_status_and_member_of_next_year(trial: Trial) -> None:
    """An unknown status or member is stored and reported as drift, and the sync exits with 0."""
    trial.spoil(
        FaultRule(kind="unknown_status", operation=LIST, image="beta"),
        FaultRule(kind="unknown_member", operation=LIST, image="Alpha"),
    )
    came = trial.sync()
    assert came.code == 0
    assert came.report is not None
    assert {(drift.member, drift.value) for drift in came.report.drift} == {
        ("ImageVersions[].ImageVersionStatus", "ARCHIVED"),
        ("ImageVersions[].ArchivedBy", None),
    }
    assert trial.site.ask(
        "SELECT image_name, image_version_status, etl_raw LIKE '%a member of next year%' FROM image_versions "
        "WHERE version = 1 AND image_name IN ('beta', 'Alpha') ORDER BY image_name"
    ) == [("Alpha", "CREATED", True), ("beta", "ARCHIVED", None)]
    trial.assert_converges()


def test_row_40_names_arns_and_partitions(served: ServeWorld) -> None:
    """Names keep their case if ARNs are in lower case or None, and ARNs keep the partition of their region."""
    regions = ("us-gov-west-1", "cn-north-1")
    trial = Trial(served(generate(4, regions=regions, images=3, versions_per_image=4)))
    for region in regions:
        trial.site.world.create_image("MiXed.Case", scope=("111122223333", region))
        trial.site.world.create_version("MiXed.Case", scope=("111122223333", region))
    trial.set(accounts=(Account(regions=regions),))
    for behaviour in (Behaviour(lowercase_arns=True), Behaviour(arn_none=True), Behaviour()):
        trial.site.simulator.behaviour = behaviour
        assert trial.sync(full=True).code == 0
        trial.site.assert_true()
    assert trial.site.ask("SELECT DISTINCT image_arn.split(':')[2] FROM image_versions ORDER BY 1") == [
        ("aws-cn",),
        ("aws-us-gov",),
    ]
    assert trial.site.ask(
        "SELECT count(DISTINCT image_name) FROM images WHERE image_name ILIKE 'mixed.case'"
    ) == [(1,)]


def peak_mebibytes(trial: Trial, **variables: str) -> float:
    """The peak memory of a sync in a process of its own, which must exit with 0."""
    process = trial.site.interpret("sync", **variables)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.communicate()[1] == ""
    assert process.returncode == 0
    return usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def test_row_48_many_images_and_versions(served: ServeWorld) -> None:
    """A sync of ten times as many images needs less than 80 MiB more, and keeps the configured rate throughout."""
    few = Trial(served(generate(8, images=100, versions_per_image=10)))
    of_few = peak_mebibytes(few)
    few.config.warehouse.unlink()
    many = Trial(served(generate(8, images=1000, versions_per_image=10)))
    of_many = peak_mebibytes(many, IMAGE_HISTORY_RATE__LIST_PER_SECOND="250")
    assert of_many - of_few < 80
    many.site.assert_true()
    assert many.site.ask("SELECT count(*) FROM image_versions") == [(10_000,)]
    asked_ms = sorted(
        record.at_ms for record in many.site.simulator.counters.log if record.operation.startswith("List")
    )
    assert len(asked_ms) == 1010
    # A call that the pacer has released may arrive later: one from each of the threads.
    most = 250 + 1 + Config().concurrency
    assert all(
        late_ms - early_ms >= 1000 for early_ms, late_ms in zip(asked_ms, asked_ms[most:], strict=False)
    )


def test_row_49_nothing_new(begun: Trial) -> None:
    """A second run without changes writes no row, and the export before and after it is the same file."""
    digests = []
    for number in range(2):
        name = f"events-{number}.parquet"
        assert begun.site.run("export", "image_version_events", "--output", name).returncode == 0
        digests.append(hashlib.sha256((begun.site.folder / name).read_bytes()).hexdigest())
        if number == 0:
            came = begun.sync()
            assert came.report is not None
            rows = came.report.rows
            assert (rows.inserted, rows.updated, rows.reappeared, rows.deleted) == (0, 0, 0, 0)
    assert digests[0] == digests[1]
    assert begun.site.calls(LIST, LARGE) == 1
