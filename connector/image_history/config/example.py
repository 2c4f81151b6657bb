"""The commented example: the file that `image-history init` writes.

Must not know the settings; tests hold the file against the model.
"""

from __future__ import annotations

from pathlib import Path

_NAME = "config.example.yaml"
_PACKAGE = Path(__file__).parent.parent


def example_text() -> str:
    """The content of config.example.yaml, from the installed package or from the checkout around it."""
    installed = _PACKAGE / _NAME
    return (installed if installed.is_file() else _PACKAGE.parents[1] / _NAME).read_text(encoding="utf-8")
