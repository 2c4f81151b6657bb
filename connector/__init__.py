"""image-history: Amazon SageMaker image versions as a warehouse table with a history.

The library's face: what is named here stays. Everything but the version is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from connector import errors
    from connector.config import Config, load_config
    from connector.history import Result, Warehouse
    from connector.model import RunReport
    from connector.pipeline import SyncOptions, sync
    from connector.publish.dataset import Dataset

__version__ = "0.1.0"

__all__ = [
    "Config",
    "Dataset",
    "Result",
    "RunReport",
    "SyncOptions",
    "Warehouse",
    "__version__",
    "errors",
    "load_config",
    "sync",
]

_HOMES = {
    "Config": "connector.config",
    "Dataset": "connector.publish.dataset",
    "Result": "connector.history",
    "RunReport": "connector.model",
    "SyncOptions": "connector.pipeline",
    "Warehouse": "connector.history",
    "load_config": "connector.config",
    "sync": "connector.pipeline",
}


def __getattr__(name: str) -> object:
    if name == "errors":
        return import_module("connector.errors")
    if name not in _HOMES:
        raise AttributeError(f"connector has no {name}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)
