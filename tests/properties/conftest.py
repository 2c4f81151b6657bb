"""Fixtures of the property tests: once a session, read AWS's models and create an empty warehouse."""

from tests.behaviour.harness import made_once, shared_models

__all__ = ["made_once", "shared_models"]
