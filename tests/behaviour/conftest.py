"""The fixtures of the tests of whole syncs."""

from tests.behaviour.cloud import cloud, moto
from tests.behaviour.harness import made_once, served, shared_models, shelf

__all__ = ["cloud", "made_once", "moto", "served", "shared_models", "shelf"]
