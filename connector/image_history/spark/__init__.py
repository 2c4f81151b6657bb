"""Spark reads what AWS lists now: `spark.read.format("sagemaker_image_versions")`, once `register(spark)` was called.

Needs the extra `spark`; PySpark is imported when `register` is first used. It uses no warehouse: there is no history,
and no proof of deletions.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from image_history.spark.source import ImageVersionsSource, register

__all__ = ["ImageVersionsSource", "register"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"image_history.spark has no {name}; it has {', '.join(__all__)}")
    try:
        return getattr(import_module("image_history.spark.source"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "pyspark":
            raise
        raise ModuleNotFoundError(
            "image_history.spark needs PySpark 4, which is not installed: "
            "pip install 'sagemaker-image-history[spark]'.",
            name=error.name,
        ) from error
