"""How log records look on stderr: one line each, text or JSON, without control characters.

The only place that configures logging; must not know which events there are.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime

from image_history.hiding import without_secrets

_LEVELS = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO}
_OWN_ATTRIBUTES = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


def fields(record: logging.LogRecord) -> dict[str, object]:
    """What a record carries beside its event name."""
    return {name: value for name, value in record.__dict__.items() if name not in _OWN_ATTRIBUTES}


def _instant(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds")


class TextFormatter(logging.Formatter):
    """`2026-11-23T10:00:00.000+00:00 WARNING call_failed operation=ListImages reason="..."`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, safe for a terminal."""
        words = [f"{name}={_word(value)}" for name, value in fields(record).items()]
        line = " ".join([_instant(record), record.levelname, record.getMessage(), *words])
        return "".join(character if character.isprintable() else " " for character in line)


def _word(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if not text or any(c in text for c in ' "=') else text


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, event, the fields of the current work, and the record's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        from image_history import telemetry

        line = {"time": _instant(record), "level": record.levelname, "event": record.getMessage()}
        added = {**telemetry.fields(), **fields(record), **_exception(record)}
        return json.dumps({**line, **added}, default=_plain)


def _plain(value: object) -> str:
    return without_secrets(str(value))


def _exception(record: logging.LogRecord) -> Mapping[str, object]:
    """The exception that a record is about: its class, its message, and where it was raised."""
    error = record.exc_info[1] if record.exc_info else None
    if error is None:
        return {}
    import traceback

    described = {
        "type": type(error).__name__,
        "message": without_secrets(str(error)),
        "traceback": without_secrets("".join(traceback.format_exception(error))),
    }
    return {"exception": described}


def as_json() -> bool:
    """Whether log lines are JSON, so that nothing else belongs on stderr."""
    handlers = logging.getLogger("image_history").handlers
    return any(isinstance(handler.formatter, JsonFormatter) for handler in handlers)


def configure(log_format: str, verbosity: int) -> None:
    """Send our own records to stderr, and none of other libraries, such as botocore."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    ours = logging.getLogger("image_history")
    ours.handlers = [handler]
    ours.propagate = False
    ours.setLevel(_LEVELS.get(verbosity, logging.DEBUG))
