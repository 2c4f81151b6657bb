"""`make dist-check`: the result of `make build`, installed as a user does, on every Python of this machine.

It exits with 1 if anything does not work. Must not know how the distribution is built.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

PYTHONS = ("3.11", "3.12", "3.13")
# Tests of the source distribution that read its files; the others read the package alone.
OF_THE_TREE = tuple(
    f"tests/unit/test_{name}.py" for name in ("docs", "packaging", "sql", "style", "config_example")
)
FRAME = """
from image_history import Warehouse
frame = Warehouse("kept/image-history.duckdb").query("FROM current_image_versions").df()
print(f"{len(frame)} versions of {frame.image_name.nunique()} images in a frame")
"""


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)  # noqa: T201 - what the command is for


def run(*command: str | Path, folder: Path, **variables: str) -> str:
    """Run a command without AWS, settings or this checkout; return its output, or raise SystemExit if it fails."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    indexes = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    outcome = subprocess.run(
        command, cwd=folder, env=kept | indexes | variables, capture_output=True, text=True, check=False
    )
    if outcome.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{outcome.stdout[-4000:]}\n{outcome.stderr[-4000:]}")
    return outcome.stdout.strip()


def starts(python: str) -> bool:
    """Whether an interpreter of that version, with venv, is installed."""
    path = shutil.which(f"python{python}")
    asked = [path or "", "-c", f"import sys, venv; sys.exit('%d.%d' % sys.version_info[:2] != '{python}')"]
    return path is not None and subprocess.run(asked, capture_output=True, check=False).returncode == 0


def install(wheel: Path, python: str, *, lock: Path | None, folder: Path) -> None:
    """Install into an empty environment, from a lock if given; the command, the demo and a frame must work."""
    started = time.monotonic()
    run(f"python{python}", "-m", "venv", "env", folder=folder)
    pip = (folder / "env/bin/python", "-m", "pip", "-q", "--disable-pip-version-check")
    wheels = ("install", "--only-binary", ":all:")
    if lock is not None:
        run(*pip, *wheels, "--require-hashes", "-r", lock, folder=folder)
    run(*pip, *wheels, *(["--no-deps"] if lock else []), wheel, folder=folder)
    run(*pip, "check", folder=folder)
    version = run(folder / "env/bin/image-history", "--version", folder=folder)
    shown = run(folder / "env/bin/image-history", "demo", "--keep", "kept", folder=folder)
    assert "inserted" in shown
    run(folder / "env/bin/image-history", "init", folder=folder)
    frame = run(folder / "env/bin/python", "-c", FRAME, folder=folder)
    engine = run(folder / "env/bin/python", "-c", "import duckdb; print(duckdb.__version__)", folder=folder)
    seconds = time.monotonic() - started
    say(f"Python {python}, DuckDB {engine}: {version}; demo; {frame}; {seconds:.0f} s")


def check_source(source: Path, wheel: Path, *, folder: Path) -> None:
    """Check that the source distribution builds the same wheel, byte for byte, and passes the tests of its files."""
    with tarfile.open(source) as archive:
        archive.extractall(folder, filter="data")
    (tree,) = folder.iterdir()
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder / "again", folder=tree)
    (again,) = (folder / "again").glob("*.whl")
    assert again.read_bytes() == wheel.read_bytes(), "the source distribution gives another wheel"
    told = run(sys.executable, "-m", "pytest", "-q", *OF_THE_TREE, folder=tree, PYTHONPATH=str(tree))
    say(f"{source.name}: the same wheel; {told.splitlines()[-1]}")


def main() -> None:
    """Check the wheel and the source distribution in dist/."""
    parser = argparse.ArgumentParser(prog="python -m tests.dist")
    parser.add_argument("--dist", type=Path, default=Path("dist"))
    folder = parser.parse_args().dist.resolve()
    (wheel,), (source,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    say(f"{wheel.name}: {wheel.stat().st_size:,} bytes; {source.name}: {source.stat().st_size:,} bytes")
    lock = Path("requirements/runtime.txt").resolve()
    found = [python for python in PYTHONS if starts(python)]
    for python in found:
        with tempfile.TemporaryDirectory() as temporary:
            install(wheel, python, lock=None, folder=Path(temporary))
    with tempfile.TemporaryDirectory() as temporary:
        install(wheel, found[0], lock=lock, folder=Path(temporary))
    with tempfile.TemporaryDirectory() as temporary:
        check_source(source, wheel, folder=Path(temporary))
    missing = sorted(set(PYTHONS) - set(found))
    if missing:
        raise SystemExit(f"Not checked, since it is not installed here: Python {', '.join(missing)}")


if __name__ == "__main__":
    main()
