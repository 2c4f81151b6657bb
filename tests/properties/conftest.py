"""The fixtures of the properties: AWS's models are read, and an empty warehouse is made, once a session."""

from tests.behaviour.harness import made_once, shared_models

__all__ = ["made_once", "shared_models"]
