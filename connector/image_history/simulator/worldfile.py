"""Worlds from files: a table of image versions as CSV or JSON.

Knows nothing of servers. Columns are matched without regard to case, spaces, hyphens and underscores, so that
`image name`, `image_name` and `ImageName` are one column:

    account_id, region            default: the world's first account and region
    image_name                    required; a row without a version makes an image without versions
    version                       a whole number from 0
    status                        default CREATED
    creation_time                 ISO 8601 (UTC if it has no offset), epoch seconds or milliseconds
    last_modified_time            as creation_time, which is its default
    failure_reason                text
    aliases                       separated by spaces (CSV), or a list (JSON)
    details                       an object with the members of VersionDetails, in CSV as JSON text
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import msgspec

from image_history.counting import counted
from image_history.errors import ConfigError
from image_history.simulator.clock import VirtualClock, to_ms
from image_history.simulator.contents import ImageContents, ImageRecord
from image_history.simulator.model import (
    DEFAULT_ACCOUNT,
    DEFAULT_REGION,
    Scope,
    VersionDetails,
    VersionRecord,
    check_account,
    check_image_name,
)
from image_history.simulator.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_COLUMNS = {
    "accountid": "account_id",
    "region": "region",
    "image": "image_name",
    "imagename": "image_name",
    "version": "version",
    "status": "status",
    "imageversionstatus": "status",
    "creationtime": "creation_time",
    "lastmodifiedtime": "last_modified_time",
    "failurereason": "failure_reason",
    "aliases": "aliases",
    "details": "details",
}
# As seconds, this number is in the year 5138: larger numbers are taken as milliseconds.
_SECONDS_END = 100_000_000_000
_LONGEST_NUMBER = 10
_END_MS = 253_402_300_800_000


def load_world(path: Path, *, clock: VirtualClock | None = None) -> World:
    """Make a world from a .csv or .json file. ConfigError naming file, line and column for any mistake."""
    readers = {".csv": _csv_rows, ".json": _json_rows}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise ConfigError(f"the world file {path} is neither .csv nor .json; rename or convert it")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"the world file {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"the world file {path} is not UTF-8 at byte {error.start}") from error
    try:
        return _world([_parsed(row) for row in reader(path, text)], clock)
    except (csv.Error, RecursionError, ValueError) as error:
        raise ConfigError(f"the world file {path} cannot be read: {error}") from error


@dataclass(frozen=True, slots=True)
class _Row:
    path: Path
    line: int
    cells: dict[str, Any]

    def mistake(self, column: str, text: str) -> ConfigError:
        return ConfigError(f"{self.path}, line {self.line}, column {column}: {text}")


@dataclass(frozen=True, slots=True)
class _Entry:
    row: _Row
    scope: Scope
    image_name: str
    record: VersionRecord | None
    aliases: tuple[str, ...]


def _csv_rows(path: Path, text: str) -> Iterator[_Row]:
    reader = csv.reader(io.StringIO(text, newline=""))
    header = next(reader, [])
    columns = [_column(path, 1, name) for name in header]
    if "image_name" not in columns:
        raise ConfigError(f"{path}, line 1: there is no column image_name")
    for cells in reader:
        if not any(cells):
            continue
        if len(cells) > len(columns):
            raise ConfigError(
                f"{path}, line {reader.line_num}: {len(cells)} cells under {counted(len(columns), 'column name')}"
            )
        filled = {column: cell for column, cell in zip(columns, cells, strict=False) if cell != ""}
        yield _Row(path, reader.line_num, filled)


def _json_rows(path: Path, text: str) -> Iterator[_Row]:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}, line {error.lineno}: {error.msg} at character {error.colno}") from error
    # Parsed again entry by entry, to find the line of each entry.
    decoder, position = json.JSONDecoder(parse_float=Decimal), _skip(text, 0)
    if text[position : position + 1] != "[":
        raise ConfigError(f"{path}, line 1: a world file in JSON is a list of objects")
    position = _skip(text, position + 1)
    while text[position : position + 1] != "]":
        line = text.count("\n", 0, position) + 1
        entry, position = decoder.raw_decode(text, position)
        if not isinstance(entry, dict):
            raise ConfigError(f"{path}, line {line}: this entry is not an object")
        cells = {_column(path, line, name): cell for name, cell in entry.items() if cell is not None}
        yield _Row(path, line, cells)
        position = _skip(text, position, but=",")


def _skip(text: str, position: int, *, but: str = "") -> int:
    while text[position : position + 1].isspace() or text[position : position + 1] == but != "":
        position += 1
    return position


def _column(path: Path, line: int, name: str) -> str:
    plain = name.strip().lower().replace(" ", "").replace("_", "").replace("-", "")
    if plain not in _COLUMNS:
        known = ", ".join(dict.fromkeys(_COLUMNS.values()))
        raise ConfigError(f"{path}, line {line}: there is no column {name!r}; the columns are {known}")
    return _COLUMNS[plain]


def _parsed(row: _Row) -> _Entry:
    name = row.cells.get("image_name")
    if not isinstance(name, str):
        raise row.mistake("image_name", "the name of the image is missing")
    scope = Scope(_text(row, "account_id") or DEFAULT_ACCOUNT, _text(row, "region") or DEFAULT_REGION)
    for column, check, value in (
        ("image_name", check_image_name, name),
        ("account_id", check_account, scope.account_id),
    ):
        try:
            check(value)
        except ConfigError as error:
            raise row.mistake(column, error.message) from error
    return _Entry(row, scope, name, _record(row), _aliases(row))


def _record(row: _Row) -> VersionRecord | None:
    if "version" not in row.cells:
        return None
    version = _version(row)
    created_ms = _instant_ms(row, "creation_time")
    modified_ms = _instant_ms(row, "last_modified_time") if "last_modified_time" in row.cells else created_ms
    return VersionRecord(
        version=version,
        creation_ms=created_ms,
        last_modified_ms=modified_ms,
        status=_text(row, "status") or "CREATED",
        failure_reason=_text(row, "failure_reason"),
        details=_details(row),
    )


def _text(row: _Row, column: str) -> str | None:
    cell = row.cells.get(column)
    if cell is not None and not isinstance(cell, str):
        raise row.mistake(column, f"{cell!r} is not a text")
    return cell


def _version(row: _Row) -> int:
    text = str(row.cells["version"])
    if not text.isascii() or not text.isdigit() or len(text) > _LONGEST_NUMBER:
        raise row.mistake("version", f"{text!r} is not a whole number from 0")
    return int(text)


def _instant_ms(row: _Row, column: str) -> int:
    cell = row.cells.get(column)
    if cell is None:
        raise row.mistake(column, "the time is missing")
    try:
        found = _epoch_ms(str(cell))
    except ValueError as error:
        text = f"{str(cell)!r} is neither ISO 8601 (2026-01-31T12:00:00.250Z) nor an epoch number"
        raise row.mistake(column, text) from error
    if not 0 <= found < _END_MS:
        raise row.mistake(column, f"{str(cell)!r} lies outside of the years 1970 to 9999")
    return found


def _epoch_ms(text: str) -> int:
    try:
        number = Decimal(text)
    except InvalidOperation:
        instant = datetime.fromisoformat(text)
        return to_ms(instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC))
    if not number.is_finite() or abs(number) > _END_MS:
        raise ValueError(text)
    return int(number if number >= _SECONDS_END else number * 1000)


def _details(row: _Row) -> VersionDetails | None:
    cell = row.cells.get("details")
    if cell is None:
        return None
    try:
        if isinstance(cell, str):
            return msgspec.json.decode(cell, type=VersionDetails)
        return msgspec.convert(cell, VersionDetails)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise row.mistake("details", str(error)) from error


def _aliases(row: _Row) -> tuple[str, ...]:
    cell = row.cells.get("aliases", "")
    names = cell.split() if isinstance(cell, str) else cell
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise row.mistake("aliases", f"{cell!r} is not a list of texts")
    return tuple(names)


def _world(entries: list[_Entry], clock: VirtualClock | None) -> World:
    scopes = sorted({entry.scope for entry in entries}) or [Scope()]
    world = World(accounts=[scopes[0].account_id], regions=[scopes[0].region], clock=clock)
    images: dict[tuple[Scope, str], list[_Entry]] = {}
    for entry in entries:
        images.setdefault((entry.scope, entry.image_name), []).append(entry)
    for (scope, name), rows in images.items():
        world.load_image(_image(name, rows), scope=scope)
    return world


def _image(name: str, entries: list[_Entry]) -> ImageRecord:
    contents, lines = ImageContents(), dict[int, int]()
    targets: dict[str, int] = {}
    records = []
    for entry in entries:
        if entry.record is None:
            continue
        version = entry.record.version
        if version in lines:
            text = f"version {version} of {name} stands on line {lines[version]} already"
            raise entry.row.mistake("version", text)
        lines[version] = entry.row.line
        records.append(entry.record)
        targets.update(dict.fromkeys(entry.aliases, version))
    contents.versions.load(records)
    contents.next_version = max(lines, default=0) + 1
    created_ms = min((record.creation_ms for record in records), default=0)
    contents.aliases.change(targets, created_ms)
    return ImageRecord(name=name, creation_ms=created_ms, last_modified_ms=created_ms, contents=contents)
