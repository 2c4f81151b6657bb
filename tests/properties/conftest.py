"""The fixtures of the properties: one reading of AWS's models for all syncs of a session."""

from tests.behaviour.harness import shared_models

__all__ = ["shared_models"]
