"""The recipes' texts, and `image-history` as a command on their PATH.

Must not know what a recipe does.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.behaviour.harness import Site

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
# The paths at which the recipes expect image-history and its configuration.
INSTALLED = "/opt/image-history/bin"
CONFIG = "/etc/image-history/config.yaml"


def text(name: str) -> str:
    """A recipe's text, unchanged."""
    return (DEPLOY / name).read_text(encoding="utf-8")


def documents(name: str) -> list[dict[Any, Any]]:
    """The YAML documents of a recipe."""
    return list(yaml.safe_load_all(text(name)))


def installed(folder: Path) -> Path:
    """Create a folder with a command `image-history`, which runs this checkout."""
    binaries = folder / "bin"
    binaries.mkdir()
    command = binaries / "image-history"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m image_history "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    return binaries


def shell(
    script: str, site: Site, *, folder: Path, variables: Mapping[str, str] | None = None, bash: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a script as cron does, or with `bash` as GitHub does, with only HOME, PATH and the given variables."""
    command: Sequence[str] = (
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
        if bash
        else ["/bin/sh", "-c", script]
    )
    environment = {"HOME": str(folder), "PATH": os.environ["PATH"], **site.environment, **(variables or {})}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
