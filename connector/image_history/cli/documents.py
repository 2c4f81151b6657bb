"""The JSON Schema (draft 2020-12) of what each verb prints with --json: `image-history schema --json VERB`.

Schemas of our own values are made from their types, and schemas of rows from their columns. Must not know
how a document is made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from image_history.errors import ConfigError
from image_history.schema import TABLES

JsonSchema = dict[str, Any]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_KINDS: Mapping[str, JsonSchema] = {
    "text": {"type": "string"},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "instant": {"type": "string", "format": "date-time"},
}
_SQL_KINDS = {
    "BIGINT": "integer",
    "INTEGER": "integer",
    "DOUBLE": "number",
    "BOOLEAN": "boolean",
    "TIMESTAMP WITH TIME ZONE": "instant",
}
_VERSION = "account_id region image_name version:integer"
_EVENT = "etl_last_seen_at:instant? etl_delete_evidence?"
# Rows as `name:kind`, text where no kind is named; ? where a value may be missing.
_BY_IMAGE = (
    "account_id region image_name created:integer modified:integer deleted:integer recreated:integer "
    "reappeared:integer transient:integer events:integer"
)
_BY_VERSION = (
    f"{_VERSION} change description status_before? status_after? failure_reason? changes:changes events:integer "
    f"happened_at:instant learned_at:instant {_EVENT}"
)
_EVENTS = (
    f"{_VERSION} happened_at:instant learned_at:instant change description image_version_status? failure_reason? "
    f"changes:changes {_EVENT} etl_run_id"
)
_IMAGES = (
    "account_id region image_name image_status live_versions:integer deleted_versions:integer changed_at:instant "
    "deleted_at:instant?"
)
_SCOPES = (
    "scope account_id? region? configured:boolean covered_until:instant? hinted_until:instant? "
    "details_pending:integer? "
    "age_seconds:integer? stale:boolean? behind_image? images:integer live_versions:integer incomplete:integer "
    "last_run_id? last_run_at:instant?"
)
_UNFINISHED = "run_id started_at:instant finished:boolean images:integer images_read:integer"
_RUN_ADDED = "seconds:number calls:integer scopes:integer incomplete_streams:integer rested:integer"
_LISTED = (
    "image_name version:integer image_version_status failure_reason? creation_time:instant "
    "last_modified_time:instant image_arn image_version_arn"
)
_LISTED_IMAGES = (
    "image_name display_name? image_status failure_reason? creation_time:instant last_modified_time:instant "
    "description? image_arn"
)


def json_schema(verb: str) -> JsonSchema:
    """The schema of what `image-history VERB --json` prints; ConfigError for a verb that prints no such document."""
    if verb not in _DOCUMENTS:
        raise ConfigError(
            f"There is no JSON document of {verb}; there are those of {', '.join(sorted(_DOCUMENTS))}."
        )
    title = f"What image-history {verb} --json prints"
    return {"$schema": _DIALECT, "title": title} | _DOCUMENTS[verb]()


def verbs() -> tuple[str, ...]:
    """The verbs whose documents have a schema."""
    return tuple(sorted(_DOCUMENTS))


def _object(
    properties: Mapping[str, JsonSchema], optional: Iterable[str] = (), **more: JsonSchema
) -> JsonSchema:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": [name for name in properties if name not in set(optional)],
        "additionalProperties": False,
        **more,
    }


def _rows(columns: str) -> JsonSchema:
    return {"type": "array", "items": _object(dict(map(_column, columns.split())))}


def _column(written: str) -> tuple[str, JsonSchema]:
    name, _, kind = written.rstrip("?").partition(":")
    schema = _changes() if kind == "changes" else _KINDS[kind or "text"]
    return name, _nullable(schema) if written.endswith("?") else schema


def _nullable(schema: JsonSchema) -> JsonSchema:
    return schema | {"type": [schema["type"], "null"]}


def _changes() -> JsonSchema:
    text = _nullable(_KINDS["text"])
    return {
        "type": "array",
        "items": _object({"name": _KINDS["text"], "before": text, "after": text}),
        "description": "The columns that differ, before and after.",
    }


def _table(name: str) -> str:
    """The columns of a warehouse's table, as `_rows` takes them."""
    (table,) = (table for table in TABLES if table.name == name)
    return " ".join(
        f"{column.name}:{_SQL_KINDS.get(column.kind.sql, 'text')}{'?' * column.nullable}"
        for column in table.columns
    )


def _named_arrays(**arrays: str) -> JsonSchema:
    return _object({name: _rows(columns) for name, columns in arrays.items()})


def _of_type(kind: type, *others: type) -> JsonSchema:
    """The schema of a dataclass as `dataclasses.asdict` gives it, with those of others that it refers to."""
    import msgspec

    (root, *_), definitions = msgspec.json.schema_components([kind, *others], ref_template="#/$defs/{name}")
    closed: dict[str, JsonSchema] = {name: _closed(schema) for name, schema in definitions.items()}
    name = root["$ref"].rpartition("/")[2]
    return closed.pop(name) | {"$defs": closed}


def _closed(schema: JsonSchema) -> JsonSchema:
    """The schema with its members and description only, without defaults, since no member is left out."""
    if "properties" not in schema:
        return schema
    members = {name: _member(name, member) for name, member in schema["properties"].items()}
    description = (
        {"description": re.sub(r"\s+", " ", schema["description"])} if "description" in schema else {}
    )
    return _object(members) | description


def _member(name: str, schema: JsonSchema) -> JsonSchema:
    if name.endswith("_at"):
        return _KINDS["instant"]
    return {keyword: value for keyword, value in schema.items() if keyword != "default"}


def _with(document: JsonSchema, **members: JsonSchema) -> JsonSchema:
    properties = document["properties"] | members
    return document | {"properties": properties, "required": list(properties)}


def _ref(name: str) -> JsonSchema:
    return {"$ref": f"#/$defs/{name}"}


def _sync() -> JsonSchema:
    from image_history.model import RunReport

    totals = _object({"rows": _ref("RowCounts"), "calls": _ref("Calls")})
    return _with(_of_type(RunReport), totals=totals)


def _check() -> JsonSchema:
    from image_history.checking.results import Result

    result = _of_type(Result)
    definitions = result.pop("$defs")
    checked = _object({"exit_code": _KINDS["integer"], "checks": {"type": "array", "items": result}})
    probed = _probe()
    return {"anyOf": [checked, probed], "$defs": definitions | probed.pop("$defs")}


def _probe() -> JsonSchema:
    from image_history.checking.probe import Observation
    from image_history.model import Calls

    document = _of_type(Observation, Calls)
    definitions = document.pop("$defs")
    number = _KINDS["number"]
    return _object(
        {
            "probe": {"const": 1, "description": "The version of this document's form."},
            "version": _KINDS["text"] | {"description": "Of image-history."},
            "region": _KINDS["text"],
            "observations": {"type": "array", "items": document},
            "calls": _ref("Calls"),
            "rate": _object({"list_per_second": number, "describe_per_second": number}),
        },
        **{"$defs": definitions},
    )


def _plan() -> JsonSchema:
    from image_history.forecast.estimate import Pace
    from image_history.forecast.forecasting import Forecast

    document = _of_type(Forecast, Pace)
    scope = document["$defs"]["ScopeEstimate"]
    document["$defs"]["ScopeEstimate"] = _with(scope, images=_KINDS["integer"])
    calls = {"type": "object", "additionalProperties": _ref("Span")}
    return _with(document, calls=calls, pace=_ref("Pace"))


def _publish() -> JsonSchema:
    from image_history.model import Publication

    publication = _of_type(Publication)
    publication.pop("$defs")
    return _object({"publications": {"type": "array", "items": publication}})


def _notify() -> JsonSchema:
    from image_history.model import Notification

    notification = _of_type(Notification)
    notification.pop("$defs")
    return _object({"notifications": {"type": "array", "items": notification}})


def _runs() -> JsonSchema:
    run = f"{_table('runs')} {_RUN_ADDED}"
    return {"anyOf": [_rows(run), _named_arrays(run=run, incomplete=_table("coverage"))]}


def _list() -> JsonSchema:
    versions = _object({"ImageVersions": _rows(_LISTED), "NextToken": _KINDS["text"]}, optional=["NextToken"])
    return {"anyOf": [versions, _named_arrays(Images=_LISTED_IMAGES)]}


def _schema() -> JsonSchema:
    column = _rows("name type nullable:boolean key:boolean aws_member? meaning")
    texts = {"type": "array", "items": _KINDS["text"]}
    table = _object({"name": _KINDS["text"], "grain": _KINDS["text"], "key": texts, "columns": column})
    return _object({"tables": {"type": "array", "items": table}, "views": _rows("name kind what columns")})


_DOCUMENTS: Mapping[str, Callable[[], JsonSchema]] = {
    "check": _check,
    "diff": lambda: {"anyOf": [_rows(_BY_IMAGE), _rows(_BY_VERSION)]},
    "list": _list,
    "log": lambda: {"anyOf": [_rows(_EVENTS), _rows(_IMAGES)]},
    "notify": _notify,
    "plan": _plan,
    "publish": _publish,
    "queries": lambda: _rows("name what parameters columns example sql"),
    "runs": _runs,
    "schema": _schema,
    "status": lambda: _named_arrays(scopes=_SCOPES, unfinished_runs=_UNFINISHED),
    "sync": _sync,
}
