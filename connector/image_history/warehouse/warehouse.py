"""Opens, locks, migrates and queries the warehouse: the only module that imports duckdb.

The file is open for writing only inside `writing`. Must not know what a load consists of.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import duckdb

from image_history.durable.disk import is_groups, take_name, unlink, unwritable
from image_history.durable.effects import Effect, File, fault_point
from image_history.errors import LoadError, WarehouseError
from image_history.schema import SCHEMA_VERSION
from image_history.version import __version__
from image_history.warehouse.statements import names, statement
from image_history.warehouse.turns import Role, turn
from image_history.warehouse.unopened import ROWS_ARE_SAFE, unopened, unusable

if TYPE_CHECKING:
    import pyarrow as pa

DUCKDB_VERSION = duckdb.__version__

# Files are written so that DuckDB 1.5 can open a file that DuckDB 2.0 wrote.
# A run writes at least one block for each table that it changes. With DuckDB's default of 256 kB per block, a run
# without changes writes three times as much, and a file of three million rows is not smaller. The block size of a
# file is fixed when the file is made.
_WRITING = {
    "storage_compatibility_version": "v1.5.0",
    "autoinstall_known_extensions": "false",
    "default_block_size": "65536",
}
_READING = {"autoinstall_known_extensions": "false"}
# If the disk is full during the commit, DuckDB raises an error of the transaction.
_FULL = os.strerror(errno.ENOSPC)
_REFUSED = re.compile("Failed to commit: Could not")
_DAMAGE = re.compile(r"(?i)corrupt|checksum|enough bytes|replay")

_BYTES_A_THREAD = 256 * 1024**2

Parameters = Mapping[str, object]
Result = TypeVar("Result")

logger = logging.getLogger(__name__)

# What statements on a `Connection` raise, for modules that may not import duckdb.
EngineError = duckdb.Error


@dataclass(frozen=True, slots=True)
class Connection:
    """An open warehouse. Statements are named files under sql/; instants are UTC."""

    duck: duckdb.DuckDBPyConnection

    def run(self, name: str, parameters: Parameters | None = None) -> None:
        """Run one statement for its effect."""
        fault_point(Effect.STATEMENT, name)
        self.duck.execute(statement(name), parameters or {}).fetchall()

    def count(self, name: str, parameters: Parameters | None = None) -> int:
        """Run one statement that makes or changes a table; return the number of rows that it made or changed."""
        fault_point(Effect.STATEMENT, name)
        [(rows,)] = self.duck.execute(statement(name), parameters or {}).fetchall()
        return int(rows)

    def table(self, name: str, parameters: Parameters | None = None) -> pa.Table:
        """Run one query and return all its rows."""
        fault_point(Effect.STATEMENT, name)
        return self.duck.sql(statement(name), params=parameters or {}).to_arrow_table()

    def offer(self, name: str, rows: pa.Table) -> None:
        """Make an Arrow table readable under `name` for the statements that follow."""
        self.duck.register(name, rows)

    def with_memory_enough(self, work: Callable[[], Result]) -> Result:
        """Return what `work` returns; retries once with DuckDB's default memory limit if ours is not enough.

        When `work` raises, it must have rolled back its changes.
        """
        try:
            return work()
        except (duckdb.OutOfMemoryException, LoadError) as error:
            if not isinstance(error.__cause__ or error, duckdb.OutOfMemoryException):
                raise
            logger.warning("more_memory_needed", extra={"reason": _first_line(error.__cause__ or error)})
        # Not statements of sql/, since tests expect each of these in an ordinary run. RESET memory_limit succeeds
        # without an effect (DuckDB 1.5.6), so the default is read from a new connection.
        with duckdb.connect() as unlimited:
            [(ample,)] = unlimited.execute("SELECT current_setting('memory_limit')").fetchall()
        self.duck.execute("SET memory_limit = $ample", {"ample": ample}).fetchall()
        return work()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction: commits at the end, rolls back if anything is raised.

        An error of DuckDB is raised as LoadError, unless the file or disk caused it: see `_is_of_the_file`.
        """
        try:
            fault_point(Effect.BEGIN, "transaction")
            self.duck.begin()
            yield
            fault_point(Effect.COMMIT, "transaction")
            self.duck.commit()
        except duckdb.Error as error:
            self._undo()
            if _is_of_the_file(error):
                raise
            raise LoadError(
                f"The load was rolled back, nothing of it is stored: {_first_line(error)}. Its rows are safe in "
                "the landing folder: fix what is wrong, and run sync again."
            ) from error
        except BaseException:
            self._undo()
            raise
        fault_point(Effect.COMMITTED, "transaction")

    def _undo(self) -> None:
        try:
            self.duck.rollback()
        except duckdb.Error:
            # DuckDB has already ended a transaction that failed to commit.
            return


@dataclass(frozen=True, slots=True)
class WarehouseFile:
    """The DuckDB file of a warehouse. `lock_wait_seconds` limits the wait for its other users, see `turn`."""

    path: Path
    lock_wait_seconds: float = 30.0
    # The path that messages name, if it is not `path`.
    called: Path | None = None
    # Whether it is for a sync, whose rows stay in the landing folder if the file fails; messages then say so.
    for_sync: bool = False

    @property
    def file(self) -> Path:
        """The absolute path of the file, with all links resolved; the file need not exist.

        DuckDB gives some relative names another meaning (`:memory:`, `md:x`, `sqlite:x`), and keeps its log beside
        the path that it is given.
        """
        return Path(os.path.realpath(self.path))

    def require_writable(self) -> None:
        """Raise WarehouseError if the file cannot be written; nothing is opened."""
        folder = self.file.parent
        problem: str | None
        if not folder.is_dir():
            problem = f"there is no folder {folder}"
        elif self.path.is_dir():
            problem = "it is a folder"
        elif not self.path.exists():
            problem = unwritable(folder)
        else:
            problem = unwritable(self.path) or _without_log(folder)
        if problem is not None:
            raise unusable(self.path, problem)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open for writing; makes or migrates the file if necessary. New files are private to their owner.

        Raises WarehouseLockedError when the wait is over, and WarehouseError for a file that is not ours,
        is newer than this program, or cannot be written. After such an error nothing has been changed.
        """
        with _private_files(self.file.parent):
            if not self.path.exists():
                self._make()
            with self._opened(_WRITING, Role.WRITER) as connection:
                _migrate(connection, self.path)
                yield connection
                _write_back(connection, self.path)

    def _make(self) -> None:
        """Make the file with all its tables under another name, so that a kill leaves no half-made warehouse.

        It is renamed only when everything is in the file and nothing is left in DuckDB's log: closing a connection
        raises nothing if the disk is full.
        """
        name = self.file.with_name(f".{self.file.name}.unborn")
        unborn = WarehouseFile(name, self.lock_wait_seconds, self.path, self.for_sync)
        log = unborn.path.with_name(f"{unborn.path.name}.wal")
        try:
            _clear(unborn.path, log)
            try:
                with unborn._opened(_WRITING, Role.WRITER) as connection:
                    _migrate(connection, self.path)
                    connection.run("session/checkpoint")
                if log.exists():
                    raise unusable(
                        self.path, "DuckDB could not write all of it; check that its disk has room"
                    )
                take_name(unborn.path, self.file, File.WAREHOUSE)
            finally:
                _clear(log)
        except OSError as error:
            raise unusable(self.path, error.strerror or str(error)) from error

    @contextmanager
    def reading(
        self, *, wait_seconds: float | None = None, settings: Mapping[str, str] | None = None
    ) -> Iterator[Connection]:
        """Open read-only. `settings` of DuckDB mark a query, which gives way to writers and readers.

        Raises as `writing` does, and WarehouseError if there is no file yet.
        """
        with self._reading(wait_seconds, settings) as (connection, _):
            yield connection

    @contextmanager
    def _reading(
        self, wait_seconds: float | None, settings: Mapping[str, str] | None = None
    ) -> Iterator[tuple[Connection, int]]:
        """As `reading`, and yields the number of the file's newest migration too."""
        if not self.path.exists():
            raise WarehouseError(
                f"There is no warehouse at {self.path} yet: run image-history sync first, or name "
                "another file with --warehouse."
            )
        role = Role.READER if settings is None else Role.QUESTION
        config = _READING | dict(settings or {})
        with self._opened(config, role, wait_seconds=wait_seconds) as connection:
            newest = _require_ours(connection, self.path)
            try:
                yield connection, newest
            except (duckdb.BinderException, duckdb.CatalogException) as error:
                if newest == SCHEMA_VERSION:
                    raise
                raise WarehouseError(
                    f"{self.path} was last written by an earlier version (schema {newest}; this image-history "
                    f"{__version__} needs {SCHEMA_VERSION}): the next image-history sync brings it up to date."
                ) from error

    @contextmanager
    def current(self, *, wait_seconds: float | None = None) -> Iterator[Connection]:
        """As `reading`, but a file of an earlier schema is brought up to date first."""
        with self._reading(wait_seconds) as (connection, newest):
            if newest == SCHEMA_VERSION:
                yield connection
                return
        bound = self.lock_wait_seconds if wait_seconds is None else wait_seconds
        with replace(self, lock_wait_seconds=bound).writing():
            logger.info(
                "warehouse_upgraded", extra={"path": str(self.path), "from": newest, "to": SCHEMA_VERSION}
            )
        with self.reading(wait_seconds=wait_seconds) as connection:
            yield connection

    @contextmanager
    def _opened(
        self, config: Mapping[str, str], role: Role, *, wait_seconds: float | None = None
    ) -> Iterator[Connection]:
        bound = self.lock_wait_seconds if wait_seconds is None else wait_seconds
        opening = partial(_open, self, config, read_only=role is not Role.WRITER)
        with turn(self.file, opening, bound, role) as duck:
            try:
                with _closing(duck) as connection:
                    if role is not Role.QUESTION:
                        connection.run("session/small_memory")
                        connection.run("session/few_threads", {"threads": _threads_for(self.path)})
                    yield connection
            except duckdb.Error as error:
                raise _failing(error, self) from error


def tokens(sql: str) -> list[tuple[int, str]]:
    """The tokens of a statement: the byte offset of each in UTF-8, and its kind."""
    return [(at, kind.name) for at, kind in duckdb.tokenize(sql)]


def _without_log(folder: Path) -> str | None:
    """Why DuckDB cannot keep its log beside the file; None if it can."""
    refusal = unwritable(folder)
    return (
        None
        if refusal is None
        else f"its folder {folder} cannot be written ({refusal}), and DuckDB keeps its log there"
    )


def _threads_for(path: Path) -> int:
    """The number of threads for a file: one, and more for a large file, four at most."""
    try:
        return min(4, 1 + path.stat().st_size // _BYTES_A_THREAD)
    except OSError:
        return 1


def _clear(*left: Path) -> None:
    for path in left:
        unlink(path, File.WAREHOUSE)


def _open(
    warehouse: WarehouseFile, config: Mapping[str, str], *, read_only: bool
) -> duckdb.DuckDBPyConnection:
    if warehouse.path.exists() and not warehouse.path.is_file():
        # Opening a pipe would block until another process opens it.
        raise unusable(warehouse.path, "it is no ordinary file")
    try:
        fault_point(Effect.CONNECT, "reading" if read_only else "writing")
        return duckdb.connect(warehouse.file, read_only=read_only, config=dict(config))
    except duckdb.Error as error:
        raise _opening(error, warehouse) from error


def _opening(error: duckdb.Error, warehouse: WarehouseFile) -> WarehouseError:
    path = warehouse.called or warehouse.path
    found = unopened(str(error), path, DUCKDB_VERSION, for_sync=warehouse.for_sync)
    return found or _failing(error, warehouse)


def _is_of_the_file(error: duckdb.Error) -> bool:
    """Whether the disk or a damaged file caused the error, and not a wrong statement."""
    kinds = (
        duckdb.IOException,
        duckdb.FatalException,
        duckdb.InternalException,
        duckdb.SerializationException,
    )
    return isinstance(error, kinds) or _REFUSED.search(str(error)) is not None


def _failing(error: duckdb.Error, warehouse: WarehouseFile) -> WarehouseError:
    text, path = str(error), warehouse.called or warehouse.path
    then = f"; {ROWS_ARE_SAFE}" if warehouse.for_sync else ", then try again."
    if _FULL in text:
        return WarehouseError(f"Cannot use the warehouse {path}: {_FULL}. Make room on its disk{then}")
    if (isinstance(error, duckdb.IOException) or _REFUSED.search(text)) and not _DAMAGE.search(text):
        return WarehouseError(
            f"Cannot use the warehouse {path}: {_first_line(error)}. Check that its disk has room and that it "
            f"can be read and written{then}"
        )
    return WarehouseError(
        f"The warehouse {path} is damaged: {_first_line(error)}. Nothing was loaded into it. Restore a "
        "backup, or move it away (with its .wal file): the next sync makes a new one of what AWS still has."
    )


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0].rstrip(".")


@contextmanager
def _closing(duck: duckdb.DuckDBPyConnection) -> Iterator[Connection]:
    connection = Connection(duck)
    try:
        connection.run("session/utc")
        yield connection
    finally:
        fault_point(Effect.CLOSE, "connection")
        duck.close()


@contextmanager
def _private_files(folder: Path) -> Iterator[None]:
    """Make new files private while the block runs: DuckDB makes its file and log readable by all.

    In a folder for a group, see `is_groups`, the group keeps access.
    """
    before = os.umask(stat.S_IRWXO if is_groups(folder) else stat.S_IRWXG | stat.S_IRWXO)
    try:
        yield
    finally:
        os.umask(before)


def _write_back(connection: Connection, path: Path) -> None:
    """Write everything from DuckDB's log into the file. If that fails, committed data is safe in the log."""
    try:
        connection.run("session/checkpoint")
    except duckdb.Error as error:
        logger.warning("warehouse_not_checkpointed", extra={"path": str(path), "reason": _first_line(error)})


def _tables(connection: Connection) -> list[str]:
    names_column: list[str] = connection.table("session/tables")["table_name"].to_pylist()
    return names_column


def _require_ours(connection: Connection, path: Path) -> int:
    """The number of the file's newest migration. WarehouseError if another program made the file."""
    try:
        return _newest_migration(connection, path)
    except duckdb.CatalogException as error:
        raise WarehouseError(
            f"{path} is a DuckDB database of another program. Name another file with --warehouse."
        ) from error


def _newest_migration(connection: Connection, path: Path) -> int:
    """The number of the newest migration, -1 if none is recorded; CatalogException if there is no such table."""
    newest = connection.table("session/applied_migrations")["newest"][0].as_py()
    if newest is not None and newest > SCHEMA_VERSION:
        raise WarehouseError(
            f"{path} has schema {newest}, and this image-history {__version__} knows {SCHEMA_VERSION}: "
            "upgrade image-history. The file was not changed."
        )
    return -1 if newest is None else int(newest)


def _migrate(connection: Connection, path: Path) -> None:
    """Bring the schema up to date, each migration in its own transaction together with its record."""
    try:
        newest = _newest_migration(connection, path)
    except duckdb.CatalogException:
        if _tables(connection):
            _require_ours(connection, path)
        newest = -1
    for name in names("migrations"):
        number = int(Path(name).name.split("_")[0])
        if number > newest:
            connection.with_memory_enough(partial(_apply, connection, name, number))
    _refresh_objects(connection)


def _apply(connection: Connection, name: str, number: int) -> None:
    """Apply one migration and record it, in one transaction."""
    with connection.transaction():
        connection.run(name)
        record = {"number": number, "name": name, "connector_version": __version__}
        connection.run("session/record_migration", record)


def _refresh_objects(connection: Connection) -> None:
    """Make views, macros and comments again if they differ from this program's."""
    objects = (*names("views"), *names("comments"))
    fingerprint = hashlib.sha256("\n".join(map(statement, objects)).encode()).hexdigest()
    if connection.table("session/objects_fingerprint")["fingerprint"].to_pylist() == [fingerprint]:
        return
    with connection.transaction():
        for name in objects:
            connection.run(name)
        connection.run("session/forget_objects")
        connection.run("session/record_objects", {"fingerprint": fingerprint})


def now_ms() -> int:
    """The local clock, UTC epoch milliseconds; only for when something was learned, never for data of AWS."""
    return time.time_ns() // 1_000_000
