"""The fixtures of the recipes' tests."""

from tests.behaviour.commanding import commanded, commanding
from tests.behaviour.harness import made_once, served, shared_models, shelf

__all__ = ["commanded", "commanding", "made_once", "served", "shared_models", "shelf"]
