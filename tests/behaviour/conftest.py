"""The fixtures of the tests of whole syncs."""

from tests.behaviour.cloud import cloud, moto
from tests.behaviour.harness import served, shared_models, shelf

__all__ = ["cloud", "moto", "served", "shared_models", "shelf"]
