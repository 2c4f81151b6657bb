"""Warehouses of every earlier schema are upgraded with their data; those of a newer schema are refused."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb
import msgspec
import pytest

from image_history.cli import run
from image_history.errors import LoadError, WarehouseError
from image_history.schema import SCHEMA_VERSION
from image_history.simulator import VirtualClock, generate
from image_history.warehouse import warehouse
from image_history.warehouse.saved import saved_queries
from image_history.warehouse.statements import names, statement
from image_history.warehouse.warehouse import Connection, WarehouseFile
from tests.behaviour.earlier import MIGRATIONS, Columns, columns, make_earlier
from tests.behaviour.harness import Row, ServeWorld, Site
from tests.behaviour.rows import Rows
from tests.behaviour.test_load_streams_after import ABSENCES
from tests.looking import looking

NOON_MS = 1_790_000_000_000
# The tables to which every sync adds a row, whatever happened at AWS.
GROWING = {"runs", "coverage"}
KNOWN, TRUE = "image_versions_known_at", "image_versions_as_of"
SCHEMAS = range(SCHEMA_VERSION + 1)
# The schemas that a released version may have left with data; schema 0 has only the table of migrations.
EARLIER = range(1, SCHEMA_VERSION)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A synced site with a history: versions created, touched and deleted, and one image deleted."""
    world = generate(31, images=3, versions_per_image=6, clock=VirtualClock(frozen_at=NOON_MS))
    with pytest.MonkeyPatch.context() as patch:
        serving = ServeWorld(tmp_path_factory.mktemp("site"), patch)
        site = serving(world)
        site.sync()
        first, second, third = sorted({row.image_name for row in world.truth()})
        site.simulator.clock.advance(60_000)
        world.create_version(first)
        world.update_version(first, 2)
        world.delete_version(second, 3)
        world.delete_image(third)
        site.sync()
        yield site
        serving.close()


@pytest.fixture(scope="module")
def today(site: Site) -> Path:
    """The site's warehouse as this version wrote it, moved to make room for earlier ones."""
    return site.config.warehouse.rename(site.folder / "today.duckdb")


@pytest.fixture
def earlier(site: Site, today: Path, tmp_path: Path) -> Callable[[int], Path]:
    """Put a warehouse of an earlier schema, with the same history, in place of the site's."""

    def put(number: int) -> Path:
        site.config = msgspec.structs.replace(site.config, warehouse=tmp_path / "image-history.duckdb")
        make_earlier(site.config.warehouse, number, today)
        return site.config.warehouse

    return put


def rows(path: Path, shared: Columns, table: str, source: str | None = None) -> list[Row]:
    """The rows of a table, or of a query about the past, in the columns of the earlier schema."""
    with looking(path) as connection:
        found = connection.sql(f"SELECT {', '.join(shared[table])} FROM {source or table} ORDER BY ALL")
        return list(zip(*(column.to_pylist() for column in found.to_arrow_table().columns), strict=True))


def objects(path: Path) -> list[Row]:
    """Every column of every table and view with its type and comment."""
    with duckdb.connect(path, read_only=True) as connection:
        return connection.execute(
            "SELECT table_name, column_name, data_type, is_nullable, comment FROM duckdb_columns() "
            "WHERE NOT internal ORDER BY ALL"
        ).fetchall()


def applied(path: Path) -> list[int]:
    """The migrations that are recorded in the file."""
    with looking(path) as connection:
        return [
            n for (n,) in connection.execute("SELECT number FROM schema_migrations ORDER BY 1").fetchall()
        ]


def pasts(path: Path, shared: Columns, *macros: str) -> dict[str, list[Row]]:
    """What these macros return for the end of each of the first two syncs."""
    with looking(path) as connection:
        moments = connection.execute("SELECT CAST(finished_at AS VARCHAR) FROM runs ORDER BY 1").fetchall()
    asked = [f"{macro}('{moment}')" for (moment,) in moments[:2] for macro in macros]
    return {each: rows(path, shared, "image_version_events", each) for each in asked}


@pytest.mark.parametrize("number", EARLIER)
def test_sync_brings_an_earlier_schema_up_to_date_with_its_data(
    site: Site, today: Path, earlier: Callable[[int], Path], number: int
) -> None:
    """If nothing changed at AWS, a sync upgrades the schema and changes no row, event or answer about the past."""
    path = earlier(number)
    shared = columns(path)
    site.sync()
    assert applied(path) == list(SCHEMAS)
    assert objects(path) == objects(today)
    for table in shared.keys() - GROWING:
        assert rows(path, shared, table) == rows(today, shared, table), table
    for table in shared.keys() & GROWING:
        assert set(rows(today, shared, table)) < set(rows(path, shared, table)), table
    assert pasts(path, shared, KNOWN, TRUE) == pasts(today, shared, KNOWN, TRUE)
    site.assert_true()


def deaths(number: int) -> dict[str, int]:
    """Fault points within the migration `number`, and the schema that a kill at each of them leaves."""
    return {
        f"statement.{MIGRATIONS[number]}": number - 1,
        "commit.transaction": number - 1,
        "committed.transaction": number,
    }


def test_kill_within_a_migration_leaves_the_schema_before_or_after_it(today: Path, tmp_path: Path) -> None:
    """After a kill at any step, the file has the whole migration with its record, or nothing of it."""
    left: dict[Path, tuple[int, Columns]] = {}
    arguments: list[str] = []
    for number in SCHEMAS[1:]:
        before = tmp_path / f"before-{number}.duckdb"
        make_earlier(before, number - 1, today)
        for point, newest in deaths(number).items():
            path = Path(shutil.copy(before, tmp_path / f"{len(left)}.duckdb"))
            left[path] = newest, columns(before)
            arguments += [f"{point}:kill:1", str(path)]
    command = [sys.executable, "-m", "tests.behaviour.earlier", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["-9"] * len(left), ended.stderr
    for path, (newest, shared) in left.items():
        assert applied(path) == list(range(newest + 1))
        with WarehouseFile(path).writing() as connection:
            assert connection.table("session/applied_migrations")["newest"].to_pylist() == [SCHEMA_VERSION]
        assert objects(path) == objects(today)
        for table in shared.keys() & {"image_version_events"}:
            assert rows(path, shared, table) == rows(today, shared, table)


def test_history_goes_on_after_an_upgrade(site: Site, today: Path, earlier: Callable[[int], Path]) -> None:
    """After an upgrade, syncs load new changes, and what was known before the upgrade stays the same."""
    path = earlier(SCHEMA_VERSION - 1)
    shared = columns(path)
    site.simulator.clock.advance(60_000)
    name = site.world.truth()[0].image_name
    site.world.create_version(name)
    site.world.delete_version(name, 4)
    report = site.sync()
    assert (report.rows.inserted, report.rows.deleted) == (1, 1)
    site.assert_true()
    assert pasts(path, shared, KNOWN) == pasts(today, shared, KNOWN)


@pytest.mark.parametrize("before", [0, None])
def test_open_numbers_are_counted_anew(tmp_path: Path, today: Path, before: int | None) -> None:
    """An upgrade counts unexplained numbers again, of which an earlier version counted too few, or none."""
    path = tmp_path / "earlier.duckdb"
    make_earlier(path, 8, today)
    expected = {f"image-{place}": unexplained for place, (_, _, unexplained) in enumerate(ABSENCES)}
    with duckdb.connect(path) as connection:
        made = Rows(Connection(connection), tmp_path)
        for place, (numbers, absent, _) in enumerate(ABSENCES):
            stream: dict[str, object] = {"image_name": f"image-{place}", "image_created_at": 5}
            made.stored("streams", {**stream, "life_began_at": 5, "unexplained": before})
            image = {"image_name": stream["image_name"]}
            made.stored("image_versions", *({**image, "version": number} for number in numbers))
            made.stored("image_versions", {**image, "version": 99, "creation_time": 4})
            ranges = [{"first_version": first, "last_version": last} for first, last in absent]
            made.stored("absent_versions", *({**stream, **each} for each in ranges))
            made.stored(
                "absent_versions", {**stream, "image_created_at": 4, "first_version": 1, "last_version": 9}
            )
    with WarehouseFile(path).writing() as connection:
        found = "SELECT image_name, unexplained FROM streams WHERE image_name LIKE 'image-%'"
        assert dict(connection.duck.execute(found).fetchall()) == expected


@dataclass(frozen=True, slots=True)
class RandomStream:
    """When a stream's life began and its image was created, its versions' creation times, and its absent ranges."""

    life: int | None
    created: int | None
    versions: Mapping[int, int]
    absent: tuple[tuple[int, int, int | None], ...]

    @property
    def unexplained(self) -> int | None:
        """The numbers between the first and the last of this life that are neither stored nor proved absent."""
        if not self.versions:
            return None
        present = {n for n, made in self.versions.items() if self.life is None or made >= self.life}
        ranges = (range(first, last + 1) for first, last, of in self.absent if of == self.created)
        explained = present.union(*ranges)
        inside = range(min(present, default=0), max(present, default=-1) + 1)
        return sum(number not in explained for number in inside)


def random_stream(rng: random.Random) -> RandomStream:
    """A stream with random versions and absent ranges, of this life of its image and of others."""
    life = rng.choice([None, 10, 20])
    created = life if life is not None and rng.random() < 0.8 else rng.choice([None, 10, 20, 30])
    top, share = rng.choice([3, 8, 14]), rng.choice([0.3, 0.7])
    versions = {number: rng.choice([5, 10, 15, 20, 25]) for number in range(top) if rng.random() < share}
    absent = []
    for _ in range(rng.choice([0, 0, 1, 2, 5])):
        first = rng.randint(0, top + 3)
        absent.append((first, first + rng.choice([0, 0, 1, 3, 9]), rng.choice([created, created, None, 5])))
    return RandomStream(life, created, versions, tuple(absent))


def test_migration_counts_what_a_load_counts(tmp_path: Path, rng: random.Random) -> None:
    """For random streams, the load and the migration count what counting one by one gives."""
    found = {
        (account, region, f"image-{number}"): random_stream(rng)
        for account in ("111122223333", "444455556666")
        for region in ("eu-west-1", "us-east-1")
        for number in range(50)
    }
    with WarehouseFile(tmp_path / "file.duckdb").writing() as connection:
        made, listed = Rows(connection, tmp_path), []
        for (account, region, name), stream in found.items():
            key: dict[str, object] = {"account_id": account, "region": region, "image_name": name}
            life = {"image_created_at": stream.created, "life_began_at": stream.life}
            listed.append({**key, **life, "watermark": 40})
            rows = ({"version": n, "creation_time": at} for n, at in stream.versions.items())
            made.stored("image_versions", *({**key, **row} for row in rows))
            made.stored(
                "absent_versions",
                *(
                    {**key, "first_version": first, "last_version": last, "image_created_at": of}
                    for first, last, of in stream.absent
                ),
            )
        made.given("listed", *listed)
        made.given("touched", *({name: row[name] for name in KEY} for row in listed))
        connection.run("load/bounds_of")
        connection.run("load/touched_bounds")
        connection.run("load/streams_after")
        connection.run("load/delete_streams")
        connection.run("load/insert_streams", {"run_id": "run"})
        expected = {key: stream.unexplained for key, stream in found.items()}
        assert unexplained(connection) == expected
        for before in (None, 0, 7):
            connection.duck.execute("UPDATE streams SET unexplained = $before", {"before": before})
            connection.duck.execute(statement("migrations/009_unexplained"))
            # A stream without versions has nothing to count.
            assert unexplained(connection) == {
                key: before if wanted is None else wanted for key, wanted in expected.items()
            }


KEY = ("account_id", "region", "image_name")


def unexplained(connection: Connection) -> dict[tuple[str, str, str], int | None]:
    """The stored count of each stream."""
    rows = connection.duck.execute(f"SELECT {', '.join(KEY)}, unexplained FROM streams").fetchall()
    return {(account, region, name): count for account, region, name, count in rows}


@pytest.fixture
def file(tmp_path: Path) -> WarehouseFile:
    """A new warehouse with one image in it."""
    made = WarehouseFile(tmp_path / "new.duckdb")
    with made.writing() as connection:
        values = {
            "account_id": "1",
            "region": "r",
            "image_name": "i",
            "image_arn": "a",
            "image_status": "CREATED",
        }
        instants = ("creation_time", "last_modified_time", "etl_first_seen_at", "etl_changed_at")
        names_ = ", ".join([*values, *instants, "etl_run_id"])
        row = ", ".join([*map(repr, values.values()), *["now()"] * len(instants), "'run'"])
        connection.duck.execute(f"INSERT INTO images ({names_}) VALUES ({row})").fetchall()
    return made


@pytest.fixture
def upgrade(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Turn this program into its next version, whose last migration has the given text, and `memory` its limit."""
    name = f"migrations/{SCHEMA_VERSION + 1:03}_next"

    def become(text: str, memory: str = "160MiB") -> None:
        texts = {name: text, "session/small_memory": f"SET memory_limit = '{memory}'"}
        monkeypatch.setattr(warehouse, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
        monkeypatch.setattr(warehouse, "statement", lambda wanted: texts.get(wanted) or statement(wanted))
        monkeypatch.setattr(
            warehouse, "names", lambda kind: (*names(kind), *([name] if kind == "migrations" else []))
        )

    return become


def test_migration_that_fails_half_way_changes_nothing(
    file: WarehouseFile, upgrade: Callable[..., None]
) -> None:
    """A migration that fails is rolled back as a whole; with a corrected one, the same file is upgraded."""
    before = objects(file.path)
    upgrade("ALTER TABLE images ADD COLUMN probe VARCHAR; SELECT error('half-way');")
    with pytest.raises(LoadError, match="half-way"), file.writing():
        pytest.fail("the file was opened")
    assert objects(file.path) == before
    assert applied(file.path) == list(SCHEMAS)
    upgrade("ALTER TABLE images ADD COLUMN probe VARCHAR; UPDATE images SET probe = image_name;")
    with file.writing() as connection:
        (told,) = connection.duck.execute("SELECT bool_and(probe = image_name) FROM images").fetchall()
    assert told == (True,)
    assert applied(file.path) == [*SCHEMAS, SCHEMA_VERSION + 1]


def test_migration_that_needs_more_memory_gets_it(
    file: WarehouseFile, upgrade: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    """A migration that needs more than the small memory is rolled back and retried with more memory."""
    text = "SELECT string_agg(md5(n::VARCHAR)) AS text FROM range(400000) AS t(n)"
    upgrade(f"CREATE TABLE probe AS {text};", memory="8MiB")
    with file.writing() as connection:
        (told,) = connection.duck.execute("SELECT length(text) FROM probe").fetchall()
    assert told == (400_000 * 33 - 1,)
    assert [record.message for record in caplog.records] == ["more_memory_needed"]
    assert applied(file.path) == [*SCHEMAS, SCHEMA_VERSION + 1]


def test_earlier_schema_is_still_read(file: WarehouseFile, upgrade: Callable[..., None]) -> None:
    """An earlier schema can be queried; if a query needs a later column, the error says that a sync adds it."""
    upgrade("ALTER TABLE images ADD COLUMN probe VARCHAR;")
    with file.reading() as connection:
        assert connection.duck.execute("SELECT count(*) FROM images").fetchall() == [(1,)]
    sentence = "next image-history sync brings it up to date"
    with pytest.raises(WarehouseError, match=sentence) as refusal, file.reading() as connection:
        connection.duck.execute("SELECT probe FROM images").fetchall()
    assert f"schema {SCHEMA_VERSION};" in str(refusal.value)
    assert applied(file.path) == list(SCHEMAS)
    with file.current() as connection:
        assert connection.duck.execute("SELECT count(probe) FROM images").fetchall() == [(0,)]


def test_newer_schema_is_refused_by_a_sentence(
    file: WarehouseFile, capfd: pytest.CaptureFixture[str]
) -> None:
    """Queries and syncs of a newer schema are refused with the advice to upgrade; no byte of the file changes."""
    future = f"INSERT INTO schema_migrations VALUES ({SCHEMA_VERSION + 1}, 'future', now(), '9.0')"
    with duckdb.connect(file.path) as connection:
        connection.execute(future).fetchall()
    before = file.path.read_bytes()
    for asked in (["query", "SELECT 1"], ["status"], ["runs"]):
        assert run(["--warehouse", str(file.path), *asked]) == 2
        sentence = capfd.readouterr().err
        assert f"has schema {SCHEMA_VERSION + 1}, and this image-history" in sentence
        assert "upgrade image-history" in sentence
    with pytest.raises(WarehouseError, match="upgrade image-history"), file.writing():
        pytest.fail("the file was opened")
    assert file.path.read_bytes() == before


# These views show coverage, which test_coverage compares.
OF_COVERAGE = {"views/coverage_in_full", "views/scope_freshness"}


def questions(image: str) -> dict[str, tuple[str, dict[str, object]]]:
    """Every saved query, log and diff, with values for its parameters."""
    found = {
        each.name: each.question(
            {"image": image} if any(one.name == "image" for one in each.parameters) else {}
        )
        for each in saved_queries()
    }
    span: dict[str, object] = {"since": "2026-01-01", "until": "2999-01-01"}
    asked: dict[str, object] = {
        "image": image,
        "version": None,
        "account_id": None,
        "region": None,
        "limit": 1000,
    }
    return {
        **{name: (each.sql, dict(each.parameters)) for name, each in found.items()},
        **{name: (statement(name), span) for name in ("reports/diff", "reports/diff_by_image")},
        "reports/log": (statement("reports/log"), asked),
    }


def told(path: Path, image: str) -> dict[str, list[Row]]:
    """The answers, without the columns that depend on the present time."""
    answers: dict[str, list[Row]] = {}
    with looking(path) as connection:
        for name, (sql, values) in questions(image).items():
            table = connection.sql(sql, params=values).to_arrow_table()
            lasting = [column for column in table.column_names if column not in {"hours", "days"}]
            answers[name] = list(zip(*(table[column].to_pylist() for column in lasting), strict=True))
    return answers


def test_saved_queries_log_and_diff_answer_as_before(today: Path, tmp_path: Path) -> None:
    """Queries, log and diff give the same answers before and after the upgrade from schema 4."""
    path = tmp_path / "before.duckdb"
    make_earlier(path, 4, today)
    with duckdb.connect(path) as connection:
        for name in names("views"):
            if name not in OF_COVERAGE:
                connection.execute(statement(name)).fetchall()
        (image,), *_ = connection.execute("SELECT image_name FROM image_versions").fetchall()
    before = told(path, image)
    assert sum(map(bool, before.values())) > 5
    with WarehouseFile(path).writing():
        pass
    assert told(path, image) == before
