"""image-history: Amazon SageMaker image versions as a warehouse table with a history.

The public API of the library: the names here are stable. Everything but the version is imported at its first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from image_history.version import __version__

if TYPE_CHECKING:
    from image_history import errors
    from image_history.config import Config, load_config
    from image_history.model import RunReport
    from image_history.notify.stage import sync
    from image_history.publish.dataset import Dataset
    from image_history.report.warehouse import Warehouse
    from image_history.run.parts import Part
    from image_history.run.planning import SyncOptions
    from image_history.warehouse.history import Result

__all__ = [
    "Config",
    "Dataset",
    "Part",
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
    "Config": "image_history.config",
    "Dataset": "image_history.publish.dataset",
    "Part": "image_history.run.parts",
    "Result": "image_history.warehouse.history",
    "RunReport": "image_history.model",
    "SyncOptions": "image_history.run.planning",
    "Warehouse": "image_history.report.warehouse",
    "load_config": "image_history.config",
    "sync": "image_history.notify.stage",
}


def __getattr__(name: str) -> object:
    if name == "errors":
        return import_module("image_history.errors")
    if name not in _HOMES:
        raise AttributeError(f"image_history has no {name}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
