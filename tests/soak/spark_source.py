"""Spark lists a simulated AWS by `sagemaker_image_versions`, and writes it to Delta: part of `make spark-check`.

A worker or an executor is killed in the middle. Must not know how the data source reads.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from deltalake import DeltaTable

from image_history.config import Account, Config
from image_history.run.pipeline import sync
from image_history.simulator import Exchange, Simulator, VirtualClock, generate
from image_history.spark import register
from tests.behaviour.cloud import key_of
from tests.behaviour.harness import FAST, Row, true_rows

if TYPE_CHECKING:
    from aiohttp import web
    from pyspark.sql import DataFrame, SparkSession

ACCOUNTS = tuple(f"{200_000_000_000 + number:012d}" for number in range(4))
REGIONS = ("us-east-1", "eu-west-1", "us-west-2")
PARTITIONS = 4
# local[2,4]: two threads, and each task may fail three times, as on a cluster.
MASTERS = ("local[2,4]", "local-cluster[2,1,1024]")
PROFILES = "".join(
    f"[profile p{each}]\naws_access_key_id={key_of(each)}\naws_secret_access_key=x\n" for each in ACCOUNTS
)
FORMAT = "sagemaker_image_versions"
PAGE = Path(__file__).parents[2] / "docs" / "spark.md"
WRITER = PAGE.parents[1] / "deploy" / "spark" / "delta_writer.py"


@dataclass(slots=True)
class Victim:
    """A fault of the simulator: at the n-th page of versions, it kills the requesting process, or its executor.

    `pattern` is in the command line of the killed process. That process never gets the page, so its task cannot
    have ended.
    """

    at: int
    pattern: str
    pages: int = 0
    killed: list[int] = field(default_factory=list)

    async def __call__(self, request: web.Request, exchange: Exchange) -> None:
        self.pages += exchange.operation == "ListImageVersions"
        if self.pages < self.at or self.killed or request.transport is None:
            return
        _, port = request.transport.get_extra_info("peername")[:2]
        for pid in lineage(holder_of(port)):
            if self.pattern in command_of(pid):
                self.killed.append(pid)
                os.kill(pid, signal.SIGKILL)
                return


def holder_of(port: int) -> int:
    """The process with the connection from a local port; 0 if there is none."""
    lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    ends = [line.split() for line in lines]
    inodes = {each[9] for each in ends if int(each[1].rpartition(":")[2], 16) == port} - {"0"}
    for entry in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            target = str(entry.readlink())
        except OSError:
            continue
        if target in {f"socket:[{inode}]" for inode in inodes}:
            return int(entry.parts[2])
    return 0


def lineage(pid: int) -> Iterator[int]:
    """A process and its ancestors, up to this process, which is not included."""
    while pid not in {0, 1, os.getpid()}:
        yield pid
        try:
            pid = int((Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return


def command_of(pid: int) -> str:
    """The command line of a process; empty if it has ended."""
    try:
        return (Path("/proc") / str(pid) / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


@contextmanager
def session(master: str, folder: Path) -> Iterator[SparkSession]:
    """A Spark session with this master, whose executors use this interpreter's packages."""
    from pyspark.sql import SparkSession

    os.environ |= {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}
    settings = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.log.level": "OFF",
        "spark.sql.session.timeZone": "America/New_York",
        "spark.sql.warehouse.dir": str(folder / "spark"),
        "spark.executor.memory": "512m",
        **{
            f"spark.executorEnv.{name}": value
            for name, value in os.environ.items()
            if name == "PYTHONPATH" or name.startswith("AWS_")
        },
    }
    spark = SparkSession.builder.master(master).config(map=settings).getOrCreate()
    try:
        register(spark)
        # The writer is added as a job adds a file that lies beside it.
        shutil.copy(WRITER, folder)
        spark.sparkContext.addPyFile(WRITER.name)
        spark.dataSource.register(import_module("delta_writer").DeltaTableSink)
        yield spark
    finally:
        spark.stop()


@dataclass(slots=True)
class Check:
    """The checks of one master with one simulated AWS."""

    spark: SparkSession
    simulator: Simulator
    folder: Path
    first: dict[str, int]
    wrong: list[str] = field(default_factory=list)

    def frame(self, **options: str) -> DataFrame:
        """The data frame of the configuration's accounts."""
        reader = self.spark.read.format(FORMAT).option("config", str(self.folder / "config.yaml"))
        return reader.options(partitions=str(PARTITIONS), **options).load()

    def calls(self) -> dict[str, int]:
        """The number of calls of SageMaker since the last count, by operation."""
        names = ("ListImages", "ListImageVersions", "DescribeImageVersion")
        found = {name: self.simulator.counters.calls(name) for name in names}
        self.simulator.counters.reset()
        return found

    def undisturbed(self) -> None:
        """Check that each action lists again with the calls of a first sync, and returns the truth."""
        self.calls()
        read = self.frame().toArrow()
        self.expect(self.calls() == self.first, f"toArrow made other calls than a first sync: {self.first}")
        self.expect_truth(read, "toArrow")
        frame = self.frame()
        self.expect(frame.rdd.getNumPartitions() == PARTITIONS, "other partitions than were asked for")
        self.expect(
            [each.nullable for each in frame.schema] == [each.nullable for each in read.schema],
            "nullability differs",
        )
        count = frame.where("version = 1").count()
        self.expect(self.calls() == self.first, "count made other calls than a first sync")
        self.expect(count == sum(row[3] == 1 for row in true_rows(self.simulator.world)), "count is wrong")

    def written(self, name: str, pattern: str | None, at: int) -> int:
        """Write a Delta table, with a process killed in the middle if given; return the ListImageVersions calls."""
        victim = None if pattern is None else Victim(at, pattern)
        self.simulator.fault = victim
        self.calls()
        path = self.folder / name
        self.frame().write.format("delta_table").mode("append").save(str(path))
        self.simulator.fault = None
        calls = self.calls()["ListImageVersions"]
        if victim is not None:
            self.expect(bool(victim.killed), f"{name}: nothing was there to kill")
        table = DeltaTable(path)
        self.expect(
            table.version() == 1, f"{name}: {table.version()} versions in place of one after the first"
        )
        self.expect_truth(table.to_pyarrow_table(), name)
        least, most = self.first["ListImageVersions"], 2 * self.first["ListImageVersions"]
        within = calls == least if victim is None else least < calls <= most
        self.expect(within, f"{name}: {calls} calls, where an undisturbed one makes {least}")
        return calls

    def replaced(self) -> None:
        """Overwrite the Delta table after a change in AWS, and check its rows."""
        name = next(iter({row.image_name for row in self.simulator.world.truth()}))
        scope = next(
            (row.account_id, row.region) for row in self.simulator.world.truth() if row.image_name == name
        )
        self.simulator.world.create_version(name, scope=scope)
        path = self.folder / "undisturbed"
        self.frame().write.format("delta_table").mode("overwrite").save(str(path))
        self.expect_truth(DeltaTable(path).to_pyarrow_table(), "overwrite")

    def as_shown(self) -> None:
        """Run the code of docs/spark.md unchanged, and check its table."""
        code = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
        exec("".join(code), {"spark": self.spark})  # noqa: S102 - the page's own code
        self.expect_truth(
            DeltaTable(self.folder / "lake" / "image_versions").to_pyarrow_table(), "the page's table"
        )

    def refused(self) -> None:
        """Check that a denied image fails the job, or is left out with `skip`, and that a wrong option is refused."""
        from image_history.simulator import FaultRule

        row = next(iter(self.simulator.world.truth()))
        self.simulator.faults = (
            FaultRule(
                kind="access_denied",
                operation="ListImageVersions",
                image=row.image_name,
                account_id=row.account_id,
                region=row.region,
            ),
        )
        try:
            self.frame().toArrow()
        except Exception as error:  # noqa: BLE001 - Spark wraps it
            self.expect("was not read whole, so nothing of it is given" in str(error), f"told: {error}")
        else:
            self.wrong.append("a denied image failed nothing")
        left = comparable(self.frame(failures="skip").toArrow())
        self.simulator.faults = ()
        key = (row.account_id, row.region, row.image_name)
        self.expect(
            sorted(left, key=repr)
            == sorted((each for each in true_rows(self.simulator.world) if each[:3] != key), key=repr),
            "skip gave other rows",
        )
        try:
            self.spark.read.format(FORMAT).option("region", "x").load().count()
        except Exception as error:  # noqa: BLE001 - as above
            self.expect("has no option region; did you mean regions?" in str(error), f"told: {error}")
        else:
            self.wrong.append("an unknown option was taken")

    def expect(self, is_so: bool, otherwise: str) -> None:
        """Record an error if a condition is false."""
        if not is_so:
            self.wrong.append(otherwise)

    def expect_truth(self, table: pa.Table, name: str) -> None:
        """Check that a table has each version of AWS exactly once."""
        rows = comparable(table)
        self.expect(len(rows) == len(set(rows)), f"{name}: rows are doubled")
        self.expect(
            set(rows) == true_rows(self.simulator.world),
            f"{name}: {len(set(rows) ^ true_rows(self.simulator.world))} rows differ",
        )


def comparable(table: pa.Table) -> list[Row]:
    """A table's rows in the form of `true_rows`, with times in whole milliseconds."""
    names = (
        *("account_id", "region", "image_name", "version", "image_arn", "image_version_arn"),
        *("image_version_status", "failure_reason", "creation_time", "last_modified_time"),
    )
    columns: list[Sequence[Any]] = []
    for name in names:
        column = table[name]
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("ms", tz=column.type.tz)).cast(pa.int64())
        columns.append(column.to_pylist())
    return list(zip(*columns, strict=True))


def configured(folder: Path) -> None:
    """Write a profile for each account, and a configuration with all accounts."""
    (folder / "aws").write_text(PROFILES, encoding="utf-8")
    accounts = ", ".join(f"{{profile: p{each}, regions: [{', '.join(REGIONS)}]}}" for each in ACCOUNTS)
    rate = "rate: {list_per_second: 10000, describe_per_second: 10000}"
    (folder / "config.yaml").write_text(f"accounts: [{accounts}]\npage_size: 10\n{rate}\n", encoding="utf-8")


def first_sync(simulator: Simulator, folder: Path) -> dict[str, int]:
    """Run a first sync; return its number of calls by operation."""
    accounts = tuple(Account(profile=f"p{each}", regions=REGIONS) for each in ACCOUNTS)
    simulator.counters.reset()
    sync(Config(warehouse=folder / "w.duckdb", accounts=accounts, page_size=10, rate=FAST))
    names = ("ListImages", "ListImageVersions", "DescribeImageVersion")
    return {name: simulator.counters.calls(name) for name in names}


def checked(master: str, folder: Path) -> list[str]:
    """Run all checks on one master, and print a line of figures."""
    clock = VirtualClock(frozen_at=1_790_000_000_000)
    world = generate(
        7, accounts=ACCOUNTS, regions=REGIONS, images=6, versions_per_image=5, largest=60, clock=clock
    )
    configured(folder)
    with Simulator(world) as simulator:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            os.environ.pop(name, None)
        environment = {
            name: value
            for name, value in simulator.environment().items()
            if name not in {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
        }
        os.environ |= {**environment, "AWS_CONFIG_FILE": str(folder / "aws")}
        first, began = first_sync(simulator, folder), time.monotonic()
        with session(master, folder) as spark:
            check = Check(spark, simulator, folder, first)
            check.undisturbed()
            calls = [check.written("undisturbed", None, 0)]
            half = first["ListImageVersions"] // 2
            calls.append(check.written("worker-killed", "pyspark.daemon", half))
            if "cluster" in master:
                calls.append(check.written("executor-killed", "CoarseGrainedExecutorBackend", half))
            check.replaced()
            check.as_shown()
            check.refused()
            version = spark.version
    sys.stdout.write(
        f"Spark {version} on {master}: {len(true_rows(world)):,} versions of {len(ACCOUNTS) * len(REGIONS)} scopes "
        f"in {PARTITIONS} partitions; ListImageVersions: {first['ListImageVersions']} by a first sync, "
        f"{', '.join(map(str, calls))} by writes to Delta, of which the first was undisturbed; "
        f"{time.monotonic() - began:.0f} s; {len(check.wrong)} wrong\n"
    )
    for line in check.wrong:
        sys.stdout.write(f"  {line}\n")
    sys.stdout.flush()
    return check.wrong


def main() -> int:
    """Run the checks of one master, because a process can have only one Spark."""
    parser = argparse.ArgumentParser(description="Let Spark list a simulated AWS, and kill what reads.")
    parser.add_argument("master", choices=MASTERS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, chdir(name):
        return 1 if checked(given.master, Path(name)) else 0


if __name__ == "__main__":
    sys.exit(main())
