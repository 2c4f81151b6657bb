"""Runs the commands of the container file's first stage in folders of this machine: `make deploy-check`.

It installs the locked packages, so it needs a package index and takes a minute. Must not need a container engine.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.deploy.recipes import ROOT
from tests.deploy.test_manifests import stages


def main() -> None:
    """Run the stage's COPY and RUN steps, then the built command; exit with the code of the first failed step."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        source = root / "src"
        source.mkdir()
        for instruction, value in stages()[0]:
            say(f"{instruction} {value}")
            if instruction == "COPY":
                copy(value.split(), source)
            elif instruction == "RUN":
                run(value, root)
        run("/opt/image-history/bin/image-history demo", root)
        run("/opt/image-history/bin/image-history --version", root)
        run("/opt/image-history/bin/image-history init", root)
        say("The container file's commands build an image-history that runs.")


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def copy(words: list[str], source: Path) -> None:
    """Do what COPY does: copy files into a folder, or a folder under a name."""
    *names, target = words
    for name in names:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (source / target).mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / target)


def run(command: str, root: Path) -> None:
    """Do what RUN does, with the image's folders moved below `root`."""
    moved = command.replace("/opt/", f"{root}/opt/").replace("/tmp/dist", f"{root}/dist")  # noqa: S108 - the image's
    moved = moved.replace("python -m venv", f"{sys.executable} -m venv")
    outcome = subprocess.run(["/bin/sh", "-ec", moved], cwd=root / "src", check=False)
    if outcome.returncode:
        sys.exit(outcome.returncode)


if __name__ == "__main__":
    main()
