"""The fixtures of the recipes' tests."""

from tests.behaviour.commanding import commanded, commanding
from tests.behaviour.harness import served

__all__ = ["commanded", "commanding", "served"]
