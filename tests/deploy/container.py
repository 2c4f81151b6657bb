"""Runs what the container file has its first stage run, in folders of this machine: `make deploy-check`.

Installs the locked packages anew, so it takes a minute and an index of packages. Must not need a container engine.
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
    """Copy, run and try, step by step; exits with the exit code of the first step that fails."""
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
    """Tell whoever watches."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def copy(words: list[str], source: Path) -> None:
    """What COPY does: files into a folder, or a folder under a name."""
    *names, target = words
    for name in names:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (source / target).mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / target)


def run(command: str, root: Path) -> None:
    """What RUN does, with the image's folders moved below `root`."""
    moved = command.replace("/opt/", f"{root}/opt/").replace("/tmp/dist", f"{root}/dist")  # noqa: S108 - the image's
    moved = moved.replace("python -m venv", f"{sys.executable} -m venv")
    outcome = subprocess.run(["/bin/sh", "-ec", moved], cwd=root / "src", check=False)
    if outcome.returncode:
        sys.exit(outcome.returncode)


if __name__ == "__main__":
    main()
