"""An Iceberg REST catalog on a loopback port, over pyiceberg's catalog in SQLite: it stands in for S3 Tables.

Records the key and the service of each request's signature. Must not know which client sends a request.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from pyiceberg.catalog.rest import CreateTableRequest, TableResponse
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError, TableAlreadyExistsError
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC
from pyiceberg.table import CommitTableRequest
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER

if TYPE_CHECKING:
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.table import Table

_SIGNED = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/\d{8}/(?P<region>[^/]+)/(?P<service>[^/]+)/"
)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, with the key, region and service of its signature; they are empty if it was not signed."""

    method: str
    path: str
    key: str = ""
    region: str = ""
    service: str = ""


@dataclass(slots=True)
class RestCatalog:
    """`warehouse` is the name that a client has to send; `catalog` decides where the files of tables are."""

    catalog: SqlCatalog
    warehouse: str
    port: int = 0
    asked: list[Asked] = field(default_factory=list)

    @property
    def uri(self) -> str:
        """The address of the catalog."""
        return f"http://127.0.0.1:{self.port}/iceberg"

    def answer(
        self, method: str, path: list[str], query: dict[str, list[str]], body: bytes
    ) -> tuple[int, str]:
        """The status and the body of the answer to a request."""
        if path == ["config"]:
            known = query.get("warehouse") == [self.warehouse]
            overrides = {"prefix": quote(self.warehouse, safe="")}
            return (200, json.dumps({"overrides": overrides, "defaults": {}})) if known else (403, "{}")
        prefix, *below = path
        if prefix != self.warehouse:
            return 403, "{}"
        match below:
            case ["namespaces"]:
                name = json.loads(body)["namespace"]
                self.catalog.create_namespace(tuple(name))
                found = 200, json.dumps({"namespace": name, "properties": {}})
            case ["namespaces", name]:
                there = self.catalog.namespace_exists(name)
                found = (200 if there else 404), json.dumps({"namespace": [name]})
            case ["namespaces", name, "tables"]:
                found = self._made(name, body)
            case ["namespaces", name, "tables", table]:
                found = self._table(f"{name}.{table}", method, body)
            case _:
                found = 404, "{}"
        return found

    def _made(self, namespace: str, body: bytes) -> tuple[int, str]:
        wanted = CreateTableRequest.model_validate({"location": None, **json.loads(body)})
        try:
            table = self.catalog.create_table(
                f"{namespace}.{wanted.name}",
                wanted.table_schema,
                partition_spec=wanted.partition_spec or UNPARTITIONED_PARTITION_SPEC,
                sort_order=wanted.write_order or UNSORTED_SORT_ORDER,
                properties=wanted.properties,
            )
        except TableAlreadyExistsError as error:
            return 409, told(error)
        return 200, shown(table)

    def _table(self, identifier: str, method: str, body: bytes) -> tuple[int, str]:
        try:
            table = self.catalog.load_table(identifier)
            if method == "POST":
                wanted = CommitTableRequest.model_validate_json(body)
                done = self.catalog.commit_table(table, wanted.requirements, wanted.updates)
                return 200, done.model_dump_json(by_alias=True)
        except NoSuchTableError as error:
            return 404, told(error)
        except CommitFailedException as error:
            return 409, told(error)
        return 200, shown(table)


def shown(table: Table) -> str:
    """The body of an answer with a table."""
    fields: dict[str, Any] = {"metadata-location": table.metadata_location, "metadata": table.metadata}
    return TableResponse(**fields).model_dump_json(by_alias=True)


def told(error: Exception) -> str:
    """The body of an answer with an error."""
    return json.dumps({"error": {"message": str(error), "type": type(error).__name__, "code": 409}})


@contextmanager
def serving(catalog: RestCatalog) -> Iterator[RestCatalog]:
    """Serve the catalog until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            place = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            signed = _SIGNED.match(self.headers.get("Authorization") or "")
            catalog.asked.append(Asked(self.command, place.path, **(signed.groupdict() if signed else {})))
            path = [unquote(part) for part in place.path.removeprefix("/iceberg/v1/").split("/")]
            status, text = catalog.answer(self.command, path, parse_qs(place.query), body)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(text.encode())

        do_GET = do_HEAD = do_POST = handle_any  # noqa: N815 - as http.server wants them called

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    catalog.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield catalog
    finally:
        server.shutdown()
        server.server_close()
