"""The configuration: YAML and environment become one frozen, validated `Config`.

Must not know AWS, DuckDB, a clock or the command line.
"""

from connector.config.durations import format_duration, parse_duration
from connector.config.example import example_text
from connector.config.loading import config_path, load_config
from connector.config.model import (
    Account,
    Config,
    Images,
    Members,
    Organization,
    Publish,
    Rate,
    Retry,
    Timeout,
)
from connector.config.schema import json_schema
from connector.config.settings import Setting, settings

__all__ = [
    "Account",
    "Config",
    "Images",
    "Members",
    "Organization",
    "Publish",
    "Rate",
    "Retry",
    "Setting",
    "Timeout",
    "config_path",
    "example_text",
    "format_duration",
    "json_schema",
    "load_config",
    "parse_duration",
    "settings",
]
