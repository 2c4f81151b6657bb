"""The locks, the wheel, the Makefile and the entry point of the build server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import image_history

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = tuple(sorted(path.stem for path in (ROOT / "requirements").glob("*.txt")))


def lock_text(name: str) -> str:
    """The text of the lock file."""
    return (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")


def locked(name: str) -> dict[Requirement, frozenset[str]]:
    """The requirements of a lock file, each with its hashes."""
    lines = re.sub(r"^#.*\n", "", lock_text(name), flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    return {
        Requirement(line.partition("--hash")[0].strip()): frozenset(re.findall(r"--hash=(\S+)", line))
        for line in lines
        if line.strip()
    }


def pins(name: str) -> dict[tuple[str, str], frozenset[str]]:
    """The hashes by distribution and version, whatever the environment marker."""
    return {(entry.name, str(entry.specifier)): hashes for entry, hashes in locked(name).items()}


def clean_run(
    *command: str | Path, folder: Path = ROOT, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a command with an almost empty environment, without the flags of the make that runs the tests."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | variables
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.Path:
    """The wheel, built from this checkout by the command of `make build`, and read through its archive."""
    folder = tmp_path_factory.mktemp("dist")
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"^build:.*\n((?:\t.*\n)+)", text, flags=re.MULTILINE)
    (command,) = re.findall(r"^\t\$\(BIN\)/(.*)$", recipe, flags=re.MULTILINE)
    built = clean_run(sys.executable, "-m", *command.split(), "-t", "wheel", "-d", folder)
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    return zipfile.Path(path)


@pytest.mark.parametrize("name", LOCKS)
def test_lock_names_versions_and_hashes_only(name: str) -> None:
    """A lock file holds only versions, markers and hashes: no address, no folder and no other option of pip."""
    entry = re.compile(r"[a-z0-9._-]+==[a-z0-9.!+]+( ; [\w .<>='!]+)? \\")
    continuation = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")
    lines = [line for line in lock_text(name).splitlines() if not line.startswith("#")]
    assert [line for line in lines if not entry.fullmatch(line) and not continuation.fullmatch(line)] == []
    assert all(locked(name).values())


@pytest.mark.parametrize("name", ["build", "runtime"])
def test_development_lock_agrees_with(name: str) -> None:
    """The development lock contains every entry of the smaller locks, unchanged."""
    assert pins(name).items() <= pins("dev").items()


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_runtime_lock_satisfies_the_dependencies(python: str, platform: str) -> None:
    """On every supported Python and system, each dependency is locked once, at an allowed version."""
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.9",
        "sys_platform": platform,
        "platform_python_implementation": "CPython",
    }
    versions = [
        (canonicalize_name(entry.name), str(entry.specifier).removeprefix("=="))
        for entry in locked("runtime")
        if entry.marker is None or entry.marker.evaluate(environment)
    ]
    assert len(dict(versions)) == len(versions)
    for line in PROJECT["project"]["dependencies"]:
        dependency = Requirement(line)
        assert dependency.specifier.contains(dict(versions)[canonicalize_name(dependency.name)]), line


def dependency(name: str) -> Requirement:
    """The requirement of a dependency in pyproject.toml."""
    (found,) = (each for each in map(Requirement, PROJECT["project"]["dependencies"]) if each.name == name)
    return found


def locked_version(lock: str, name: str) -> Version:
    """The version of a distribution in a lock file."""
    return Version(dict(pins(lock).keys())[name].removeprefix("=="))


def test_locks_hold_both_duckdb_lines() -> None:
    """The runtime lock has DuckDB 2, the second 1.5; both are allowed, and 2.0.0, with wrong results, is not."""
    allowed = dependency("duckdb").specifier
    first, second = locked_version("runtime", "duckdb"), locked_version("duckdb1", "duckdb")
    assert (first.major, second.release[:2]) == (2, (1, 5))
    assert allowed.contains(first)
    assert allowed.contains(second)
    assert not allowed.contains("2.0.0")


def test_locks_hold_the_oldest_and_a_newer_boto3() -> None:
    """The second lock has the first release of the lowest allowed boto3 line, the runtime lock a newer one."""
    (lowest,) = (each.version for each in dependency("boto3").specifier if each.operator == ">=")
    oldest = locked_version("botocore", "boto3")
    assert oldest.release[:2] == Version(lowest).release[:2]
    assert oldest.micro == 0
    assert locked_version("runtime", "boto3") > oldest
    assert locked_version("runtime", "botocore") > locked_version("botocore", "botocore")


def test_wheel_holds_code_statements_example_and_licence(wheel: zipfile.Path) -> None:
    """The wheel has every module and SQL file, the example, the manual page and the licence, and no other file."""
    installed = {
        str(path.relative_to(ROOT / "connector"))
        for path in (ROOT / "connector" / "image_history").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    statements = {f"image_history/{path.relative_to(ROOT)}" for path in (ROOT / "sql").rglob("*.sql")}
    packed = {name for name in wheel.root.namelist() if not name.endswith("/")}
    information = {name for name in packed if ".dist-info/" in name}
    shared = {name for name in packed if ".data/data/share/man/man1/image-history.1" in name}
    assert len(shared) == 1
    assert packed - information - shared == installed | statements | {"image_history/config.example.yaml"}
    assert any(name.endswith("licenses/LICENSE") for name in information)


def test_wheel_is_small_and_pure(wheel: zipfile.Path) -> None:
    """The wheel is for every system, smaller than a megabyte, and as large as the page of guarantees says."""
    path = Path(str(wheel.root.filename))
    assert path.name.endswith("-py3-none-any.whl")
    assert path.stat().st_size < 1_000_000
    page = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
    (said,) = re.findall(r"returns a data frame; (\d+) kB", page)
    assert path.stat().st_size == pytest.approx(int(said) * 1_000, rel=0.1)


def test_source_distribution_has_what_its_tests_need(tmp_path: Path) -> None:
    """The source distribution has every file of the checkout's folders, so that the tests can run from it."""
    built = clean_run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path)
    assert built.returncode == 0, built.stderr
    (path,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    folders = (".ci", "connector", "deploy", "docs", "requirements", "sql", "tests")
    files = [each for folder in folders for each in (ROOT / folder).rglob("*") if each.is_file()]
    files += [
        *ROOT.glob("*.md"),
        *ROOT.glob("*.yaml"),
        *map(ROOT.joinpath, ("LICENSE", "Makefile", "pyproject.toml")),
    ]
    there = {str(each.relative_to(ROOT)) for each in files if "__pycache__" not in each.parts}
    assert packed - there == {"PKG-INFO", ".gitignore"}
    assert there - packed == set()


def test_wheel_reads_its_own_statements(wheel: zipfile.Path, tmp_path: Path) -> None:
    """Installed outside of the checkout, the connector finds the same SQL files inside its package."""
    wheel.root.extractall(tmp_path)  # noqa: S202 - a wheel that was built here
    command = "from image_history.warehouse import statements; print(statements.folder())"
    answer = clean_run(sys.executable, "-P", "-c", command, folder=tmp_path, PYTHONPATH=str(tmp_path))
    assert Path(answer.stdout.strip()) == tmp_path / "image_history" / "sql", answer.stderr
    texts = {path.relative_to(ROOT / "sql"): path.read_bytes() for path in (ROOT / "sql").rglob("*.sql")}
    assert {path: (tmp_path / "image_history/sql" / path).read_bytes() for path in texts} == texts


def test_wheel_reads_its_own_example(wheel: zipfile.Path, tmp_path: Path) -> None:
    """Installed outside of the checkout, the package has the text of the commented configuration."""
    wheel.root.extractall(tmp_path)  # noqa: S202 - a wheel that was built here
    command = "from image_history.config import example_text; print(example_text(), end='')"
    answer = clean_run(sys.executable, "-P", "-c", command, folder=tmp_path, PYTHONPATH=str(tmp_path))
    assert answer.stdout == (ROOT / "config.example.yaml").read_text(encoding="utf-8"), answer.stderr


def test_wheel_states_version_and_command(wheel: zipfile.Path) -> None:
    """The wheel has the package's version, and its only command is `image-history`."""
    (folder,) = (path for path in wheel.iterdir() if path.name.endswith(".dist-info"))
    metadata = (folder / "METADATA").read_text(encoding="utf-8")
    assert f"\nName: sagemaker-image-history\nVersion: {image_history.__version__}\n" in metadata
    scripts = (folder / "entry_points.txt").read_text(encoding="utf-8").split()
    assert scripts == ["[console_scripts]", "image-history", "=", "image_history.cli:main"]


def test_make_prints_every_target(tmp_path: Path) -> None:
    """`make` without a target prints one line for each public target, and writes nothing."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = [
        name
        for name in re.findall(r"^\.PHONY: (\S+)", text, flags=re.MULTILINE)
        if name not in {"python", "java"}
    ]
    shutil.copy(ROOT / "Makefile", tmp_path)
    outcome = clean_run("make", folder=tmp_path)
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert re.findall(r"^  make (\S+) +\S", outcome.stdout, flags=re.MULTILINE) == targets
    assert [path.name for path in tmp_path.rglob("*")] == ["Makefile"]


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        pytest.param("echo 3.9", r"runs on Python 3\.11 to 3\.13, and \S+ is 3\.9; name another", id="old"),
        pytest.param("echo 3.14", r"runs on Python 3\.11 to 3\.13, and \S+ is 3\.14; name another", id="new"),
        pytest.param("exit 1", r"\S+ does not start; name a Python of 3\.11 to 3\.13", id="broken"),
    ],
)
def test_make_names_what_is_wrong_with_python(tmp_path: Path, answer: str, sentence: str) -> None:
    """A Python that cannot be used is reported in one sentence, before an environment is built."""
    interpreter = tmp_path / "python"
    interpreter.write_text(f"#!/bin/sh\n{answer}\n", encoding="utf-8")
    interpreter.chmod(0o755)
    clone = tmp_path / "clone"
    clone.mkdir()
    shutil.copy(ROOT / "Makefile", clone)
    shutil.copytree(ROOT / "requirements", clone / "requirements")
    (clone / "pyproject.toml").touch()
    outcome = clean_run("make", "demo", f"PYTHON={interpreter}", folder=clone)
    assert outcome.returncode != 0
    first, *others = outcome.stderr.splitlines()
    assert re.search(sentence, first)
    assert all(line.startswith("make: ***") for line in others)
    assert not (clone / ".venv").exists()


def test_make_asks_for_java_before_it_builds_spark(tmp_path: Path) -> None:
    """Without a working Java, `make spark-check` prints one message, and creates no file."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    outcome = clean_run("make", "spark-check", folder=tmp_path, JAVA_HOME=str(tmp_path))
    first, *others = outcome.stderr.splitlines()
    assert first.startswith("Spark needs Java 17 or later, and no Java starts; install one")
    assert all(line.startswith("make: ***") for line in others)
    assert (outcome.returncode, [path.name for path in tmp_path.iterdir()]) == (2, ["Makefile"])


# The targets that `.ci/run` makes, in order.
ENTRY = ("test", "test-more", "report-check")


def build_server(folder: Path, *, programs: Mapping[str, int], **endings: int) -> str:
    """Put a copy of `.ci/run` beside a Makefile with these results of its targets (0 by default); returns the PATH.

    The PATH has only basic commands and `programs`: Chromium and its installer are missing unless they are named.
    """
    shutil.copytree(ROOT / ".ci", folder / ".ci")
    targets = [
        f'{name}:\n\t@echo "{name}: CI is $$CI in $$PWD"; exit {endings.get(name, 0)}\n' for name in ENTRY
    ]
    (folder / "Makefile").write_text("".join(targets), encoding="utf-8")
    (folder / "bin").mkdir()
    for name in ("bash", "dirname", "env", "make", "sh", "timeout", "tr"):
        (folder / "bin" / name).symlink_to(shutil.which(name) or name)
    for name, status in programs.items():
        (folder / "bin" / name).write_text(f"#!/bin/sh\nexit {status}\n", encoding="utf-8")
        (folder / "bin" / name).chmod(0o755)
    return str(folder / "bin")


@pytest.mark.parametrize("failing", [None, *ENTRY])
def test_build_server_entry_passes_the_outcome_on(tmp_path: Path, failing: str | None) -> None:
    """From any folder, `.ci/run` makes its targets in order with CI=true, and fails at the first that fails."""
    browser = {"chromium": 0, "chromedriver": 0}
    path = build_server(tmp_path, programs=browser, **({} if failing is None else {failing: 7}))
    outcome = clean_run(tmp_path / ".ci" / "run", folder=Path("/"), PATH=path)
    assert (outcome.returncode == 0) == (failing is None)
    made = ENTRY if failing is None else ENTRY[: ENTRY.index(failing) + 1]
    assert outcome.stdout.splitlines() == [f"{name}: CI is true in {tmp_path}" for name in made]


def test_build_server_without_a_browser_says_so(tmp_path: Path) -> None:
    """If Chromium is missing and cannot be installed, `.ci/run` exits with 1 and one message."""
    path = build_server(tmp_path, programs={"apt-get": 100})
    outcome = clean_run(tmp_path / ".ci" / "run", PATH=path)
    assert outcome.returncode == 1
    assert outcome.stderr.startswith(
        "report-check needs chromium and chromedriver, and apt-get could not install"
    )


SAMPLE = """
from datetime import UTC, datetime, timedelta
from pathlib import Path

from image_history import Config, Result, RunReport, SyncOptions, Warehouse, errors, load_config, sync


def newest(path: Path) -> dict[str, int]:
    warehouse = Warehouse(path, wait=timedelta(seconds=1))
    found: Result = warehouse.query("FROM images WHERE image_name > $name", name="a")
    reveal_type(found.rows())
    reveal_type(warehouse.tables())
    reveal_type(warehouse.report())
    return {row["image_name"]: row["version"] for row in warehouse.as_of(datetime.now(UTC))}


def run() -> RunReport:
    config: Config = load_config()
    try:
        report = sync(config, options=SyncOptions(full=True))
    except errors.CredentialsError as error:
        raise SystemExit(error.exit_code) from error
    reveal_type(report.rows.inserted)
    reveal_type([each.error for each in report.notifications])
    return report


load_config().no_such_setting
"""


def test_installed_package_is_typed(wheel: zipfile.Path, tmp_path: Path) -> None:
    """Under mypy --strict, a user's program sees the library's types and only its own error."""
    environment = tmp_path / "environment"
    made = clean_run(sys.executable, "-m", "venv", "--without-pip", environment)
    assert made.returncode == 0, made.stderr
    (packages,) = environment.glob("lib/python3.*/site-packages")
    with zipfile.ZipFile(str(wheel.root.filename)) as archive:
        archive.extractall(packages)  # noqa: S202 - our own wheel
    (packages / "others.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    sample = tmp_path / "sample.py"
    sample.write_text(SAMPLE, encoding="utf-8")
    checked = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--hide-error-context"),
            *("--python-executable", str(environment / "bin" / "python"), "--config-file", os.devnull),
            *("--cache-dir", str(tmp_path / "cache"), str(sample)),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    told = [line.partition(": ")[2] for line in checked.stdout.splitlines()]
    assert told == [
        'note: Revealed type is "list[dict[str, Any]]"',
        'note: Revealed type is "tuple[str, ...]"',
        'note: Revealed type is "str"',
        'note: Revealed type is "int"',
        'note: Revealed type is "list[str | None]"',
        'error: "Config" has no attribute "no_such_setting"  [attr-defined]',
    ], checked.stdout + checked.stderr
