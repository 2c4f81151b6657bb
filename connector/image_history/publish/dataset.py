"""The reader's side of a dataset: the files of its current publication, to hand to pyarrow, pandas, DuckDB or Spark.

Must not know how a publication is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from image_history.errors import ConfigError, OutputError
from image_history.publish.folder import Folder
from image_history.publish.manifest import Manifest, Table


@dataclass(frozen=True, slots=True)
class Dataset:
    """One publication. It stays readable until the grace period after the next publication has passed."""

    place: str
    manifest: Manifest

    @classmethod
    def at(cls, place: str | Path, *, profile: str | None = None) -> Dataset:
        """The publication that is current now, in a folder or at s3://bucket/folder.

        OutputError if nothing is published there; ConfigError for an invalid address.
        """
        where = str(place)
        if where.startswith("s3:"):
            from image_history.publish.s3 import Address, Prefix

            found, where = Prefix(Address.parse(where), profile).read(), where.rstrip("/")
        else:
            found, where = Folder(Path(where)).manifest(), str(Path(where).absolute())
        if found is None:
            raise OutputError(
                f"There is no dataset at {where}: publish one with image-history export --dataset."
            )
        return cls(where, found)

    def files(self, table: str) -> list[str]:
        """The paths or s3:// addresses of a table's files; their folders name the region: `partitioning="hive"`.

        ConfigError for an unknown table; the message names the existing tables.
        """
        self.table(table)
        return [f"{self.place}/{file.path}" for file in self.manifest.of(table)]

    def folder(self, table: str) -> str:
        """The folder or s3:// address below which a table's files lie: what Spark calls `basePath`.

        ConfigError as from `files`.
        """
        self.table(table)
        path = next(file.path for file in self.manifest.of(table))
        return "/".join([self.place, *(part for part in path.split("/")[:-1] if "=" not in part)])

    def table(self, name: str) -> Table:
        """The entry of a table in the manifest: rows, bytes, columns with their meaning."""
        known = {table.name: table for table in self.manifest.tables}
        if name not in known:
            raise ConfigError(f"The dataset at {self.place} has no table {name}; it has {', '.join(known)}.")
        return known[name]
