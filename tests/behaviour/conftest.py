"""The fixtures of the tests of whole syncs."""

from tests.behaviour.harness import served

__all__ = ["served"]
