"""Opens the lake that an address names, and publishes all of its tables, each with its own outcome.

pyiceberg and deltalake are imported here, and only for an address that needs them. Must not know their formats.
"""

from __future__ import annotations

import importlib.util
import logging
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from image_history.addresses import DELTA_FOLDER, DELTA_S3, ICEBERG
from image_history.config import Config, Publish
from image_history.errors import ConfigError, ConnectorError, InterruptedRunError
from image_history.hiding import keep_hidden, keep_hidden_in_url
from image_history.model import Publication, Stop
from image_history.warehouse.partitions import Source, source
from image_history.warehouse.warehouse import WarehouseFile

if TYPE_CHECKING:
    from image_history.publish.lake import Lake
    from image_history.publish.tables import Wanted

logger = logging.getLogger(__name__)

# The start of an address, the package that it needs, and the extra that installs the package.
_EXTRAS = (
    (ICEBERG, "pyiceberg", "iceberg"),
    (DELTA_FOLDER, "deltalake", "delta"),
    (DELTA_S3, "deltalake", "delta"),
)


_TABLE_BUCKET = re.compile(r"arn:[a-z0-9-]+:s3tables:[a-z0-9-]+:\d{12}:bucket/[^/]+")
# Names of properties whose values are secrets, in pyiceberg's words and in those of object stores.
_SECRET = re.compile("token|secret|password|credential|key|auth|sas|signature", re.IGNORECASE)


def require_extra(to: str) -> str:
    """The package that an address needs; ConfigError with the pip line if it is not installed."""
    package, extra = next((package, extra) for scheme, package, extra in _EXTRAS if to.startswith(scheme))
    if importlib.util.find_spec(package) is None:
        raise ConfigError(
            f"{to.partition('/')[0]}// needs {package}, which is not installed: "
            f"pip install 'sagemaker-image-history[{extra}]'."
        )
    return package


def opened(entry: Publish, *, looking: bool = False) -> Lake:
    """The lake of an entry. ConfigError if its extra is missing, OutputError if its catalog cannot be obtained.

    With `looking` nothing is created, not even the catalog's own file.
    """
    to = str(entry.to)
    require_extra(to)
    _keep_secret(entry.properties or {})
    if to.startswith(ICEBERG):
        from image_history.publish.iceberg import IcebergLake

        catalog, _, namespace = to.removeprefix(ICEBERG).partition("/")
        return IcebergLake.opened(catalog, namespace, _catalog_properties(entry), looking=looking)
    from image_history.publish.delta import DeltaLake

    if to.startswith(DELTA_FOLDER):
        folder = Path(to.removeprefix(DELTA_FOLDER)).absolute()
        return DeltaLake(to, folder.as_uri(), entry.properties or {})
    return DeltaLake(to, to.removeprefix("delta+"), _store_properties(entry))


def _keep_secret(properties: Mapping[str, str]) -> None:
    """Hide the secrets among the properties of a catalog or a store: libraries quote values that they refuse."""
    for name, value in properties.items():
        if "://" in value:
            keep_hidden_in_url(value)
        if _SECRET.search(name):
            keep_hidden(value, value.strip())


def publish_lake(
    config: Config, entry: Publish, *, replace: bool = False, stop: Stop | None = None
) -> tuple[Publication, ...]:
    """Publish every table of an entry, one commit each; a table that fails has its error in the report."""
    names = tuple(dict.fromkeys(entry.tables))
    warehouse = WarehouseFile(config.warehouse, config.lock_wait.total_seconds())
    try:
        lake = opened(entry)
        with source(warehouse) as rows:
            return tuple(
                _published(lake, rows, wanted_of(entry, name, replace=replace), stop or Stop())
                for name in names
            )
    except InterruptedRunError:
        raise
    except ConnectorError as error:
        return tuple(_failed(entry, name, error) for name in names)


def _published(lake: Lake, rows: Source, wanted: Wanted, stop: Stop) -> Publication:
    from image_history.publish.tables import publish_table

    started = time.monotonic()
    try:
        done = publish_table(lake.table(wanted.name, wanted.label), rows, wanted, stop)
    except InterruptedRunError:
        raise
    except ConnectorError as error:
        logger.warning("publication_failed", extra={"to": wanted.where, "reason": error.message})
        return Publication(wanted.to, error=error.message, table=wanted.name)
    return Publication(
        wanted.to,
        done.rows,
        done.written,
        done.written,
        done.written_bytes,
        time.monotonic() - started,
        table=wanted.name,
        partitions=done.partitions,
        version=done.version,
    )


def wanted_of(entry: Publish, name: str, *, replace: bool = False) -> Wanted:
    """The wanted state of one table of an entry."""
    from image_history.publish.tables import Wanted

    return Wanted(to=str(entry.to), name=name, label=entry.label, keep=entry.keep, replace=replace)


def _failed(entry: Publish, name: str, error: ConnectorError) -> Publication:
    logger.warning("publication_failed", extra={"to": str(entry.to), "reason": error.message})
    return Publication(str(entry.to), error=error.message, table=name)


def _catalog_properties(entry: Publish) -> Mapping[str, str]:
    """The user's properties, and S3 credentials from AWS's own chain, which has more sources than Arrow's."""
    given = entry.properties or {}
    found: dict[str, str | None] = {}
    if _is_in_aws(given):
        from image_history.aws.lake_keys import keys

        had = keys(entry.profile)
        found = {"s3.region": had.region, "s3.endpoint": had.endpoint, "client.profile-name": entry.profile}
        if "s3.access-key-id" not in given:
            found |= {
                "s3.access-key-id": had.access_key,
                "s3.secret-access-key": had.secret_key,
                "s3.session-token": had.token,
            }
    return {name: value for name, value in found.items() if value is not None} | dict(given)


def _is_in_aws(given: Mapping[str, str]) -> bool:
    """Whether a catalog, by its properties, is AWS's own or keeps files in S3. S3 Tables needs signed requests."""
    signed = given.get("rest.sigv4-enabled", "").lower() == "true"
    return signed or given.get("type") == "glue" or given.get("warehouse", "").startswith("s3://")


def _store_properties(entry: Publish) -> Mapping[str, str]:
    """The same for Delta's store, where the properties are named as AWS's environment variables."""
    from image_history.aws.lake_keys import keys

    given, had = entry.properties or {}, keys(entry.profile)
    found: dict[str, str | None] = {"AWS_REGION": had.region, "AWS_ENDPOINT_URL": had.endpoint}
    if had.endpoint is not None and had.endpoint.startswith("http://"):
        found["AWS_ALLOW_HTTP"] = "true"  # on loopback only, see keys
    if not any(name.upper().endswith("ACCESS_KEY_ID") for name in given):
        found |= {
            "AWS_ACCESS_KEY_ID": had.access_key,
            "AWS_SECRET_ACCESS_KEY": had.secret_key,
            "AWS_SESSION_TOKEN": had.token,
        }
    return {name: value for name, value in found.items() if value is not None} | dict(given)


def folder_in_s3(entry: Publish) -> str | None:
    """The address in S3 below which an entry keeps its files, as far as its settings say; None if elsewhere."""
    to = str(entry.to)
    if to.startswith(DELTA_S3):
        return to.removeprefix("delta+")
    warehouse = (entry.properties or {}).get("warehouse", "")
    return warehouse if to.startswith(ICEBERG) and warehouse.startswith("s3://") else None


def glue_database(entry: Publish) -> str | None:
    """The Glue database that an entry fills; None if its catalog is not Glue."""
    to = str(entry.to)
    is_glue = to.startswith(ICEBERG) and (entry.properties or {}).get("type") == "glue"
    return to.removeprefix(ICEBERG).partition("/")[2] if is_glue else None


def table_bucket(entry: Publish) -> str | None:
    """The ARN of the S3 table bucket that an entry fills; None if its catalog is not S3 Tables."""
    warehouse = (entry.properties or {}).get("warehouse", "")
    return warehouse if str(entry.to).startswith(ICEBERG) and _TABLE_BUCKET.fullmatch(warehouse) else None
