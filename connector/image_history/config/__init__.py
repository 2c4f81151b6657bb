"""The configuration: YAML and environment become one frozen, validated `Config`.

Must not know AWS, DuckDB, a clock or the command line.
"""

from image_history.config.durations import format_duration, parse_duration
from image_history.config.loading import config_path, example_text, load_config
from image_history.config.model import (
    Account,
    Config,
    Hints,
    Images,
    Members,
    Notify,
    Organization,
    Publish,
    Rate,
    Retry,
    Timeout,
)
from image_history.config.schema import json_schema
from image_history.config.settings import settings

__all__ = [
    "Account",
    "Config",
    "Hints",
    "Images",
    "Members",
    "Notify",
    "Organization",
    "Publish",
    "Rate",
    "Retry",
    "Timeout",
    "config_path",
    "example_text",
    "format_duration",
    "json_schema",
    "load_config",
    "parse_duration",
    "settings",
]
