"""Rules for every test: no AWS settings of the machine, no network beyond loopback, one replayable seed.

Must not know what any test checks.
"""

from __future__ import annotations

import ast
import atexit
import gc
import os
import random
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NoReturn

import hypothesis
import pytest
from hypothesis.configuration import set_hypothesis_home_dir

ROOT = Path(__file__).parents[1]
SEED_VARIABLE = "IMAGE_HISTORY_TEST_SEED"
SEED = pytest.StashKey[int]()
# The tests that `make test` leaves to `make test-more`, by file and function.
LONG = ROOT / "tests" / "long.txt"
# Marks follow from imports, so that no file can be forgotten: mark -> packages, and the tests' stand-ins for AWS.
MARKED_BY_IMPORT = {
    "duckdb": ("duckdb", "image_history.warehouse"),
    "aws": (
        "boto3",
        "botocore",
        "image_history.aws",
        "image_history.publish.s3",
        "tests.behaviour.moto_server",
        "tests.behaviour.scripted",
    ),
}

# This comes before the import of botocore, which fixes the path of the cache of `aws sso login`: no test may see
# the developer's own cache.
HOME = Path(tempfile.mkdtemp(prefix="home-"))
os.environ["HOME"] = str(HOME)
atexit.register(shutil.rmtree, HOME, ignore_errors=True)
set_hypothesis_home_dir(ROOT / ".cache" / "hypothesis")
# In CI, the result must not depend on chance: CI runs the same examples each time; other runs draw new ones.
hypothesis.settings.register_profile(
    "image-history", deadline=None, print_blob=True, derandomize=bool(os.environ.get("CI"))
)
hypothesis.settings.load_profile("image-history")


class ForbiddenConnectionError(RuntimeError):
    """A test tried to reach another machine. It is no OSError, so that no retry handles it as an outage."""


class NetworkGuard:
    """Lets sockets reach loopback and Unix addresses only; `refused` holds all other targets that were tried."""

    def __init__(self) -> None:
        self.refused: list[str] = []

    def refuse(self, target: object) -> NoReturn:
        self.refused.append(str(target))
        raise ForbiddenConnectionError(
            f"A test tried to reach {target}; tests may use loopback only. "
            "Point the client at the simulator, or at a closed port of 127.0.0.1 to see it fail."
        )

    def check(self, sock: socket.socket, address: Any) -> None:
        """Refuse an address of an internet socket unless its host is loopback or 'any'."""
        if sock.family in {socket.AF_INET, socket.AF_INET6} and not is_local(address[0]):
            self.refuse(address)

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Put the check before connect, connect_ex and name resolution."""
        for name in ("connect", "connect_ex"):
            patch.setattr(socket.socket, name, self._checked(getattr(socket.socket, name)))
        resolve = socket.getaddrinfo

        def resolve_local(host: Any, *args: Any, **kwargs: Any) -> Any:
            if not is_local(host):
                self.refuse(host)
            return resolve(host, *args, **kwargs)

        patch.setattr(socket, "getaddrinfo", resolve_local)

    def _checked(self, connect: Any) -> Any:
        def checked(sock: socket.socket, address: Any) -> Any:
            self.check(sock, address)
            return connect(sock, address)

        return checked


def is_local(host: str | bytes | None) -> bool:
    """Whether `host`, a name or an address, stays on this machine."""
    name = host.decode() if isinstance(host, bytes) else host
    if name in {None, "", "localhost"}:
        return True
    try:
        address = ip_address(str(name).partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


@pytest.fixture(scope="session", autouse=True)
def bare_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hide the machine's AWS settings, connector settings, proxies and terminal preferences from every test.

    It runs once a session, so that it covers fixtures of every scope; a test sets variables with monkeypatch.
    """
    folder = tmp_path_factory.mktemp("aws")
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("AWS_", "BOTO_", "IMAGE_HISTORY_")):
                patch.delenv(name)
        for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "LINES"):
            patch.delenv(name, raising=False)
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            patch.delenv(name, raising=False)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            empty = folder / name.lower()
            empty.touch()
            patch.setenv(name, str(empty))
        yield


@pytest.fixture(scope="session", autouse=True)
def network_session() -> Iterator[NetworkGuard]:
    """Install the guard for the whole session, so that it covers fixtures of every scope."""
    guard = NetworkGuard()
    with pytest.MonkeyPatch.context() as patch:
        guard.install(patch)
        yield guard


@pytest.fixture(autouse=True)
def network_guard(network_session: NetworkGuard) -> Iterator[NetworkGuard]:
    """Fail a test that tried to reach another machine, even if the code under test swallowed the error."""
    network_session.refused.clear()
    yield network_session
    assert not network_session.refused, f"tried to reach beyond loopback: {network_session.refused}"


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The session's random seed, which the header prints; IMAGE_HISTORY_TEST_SEED sets it."""
    return request.config.stash[SEED]


@pytest.fixture
def rng(seed: int, request: pytest.FixtureRequest) -> random.Random:
    """A random generator that depends only on the seed and the test, not on the tests that ran before."""
    return random.Random(f"{seed} {request.node.nodeid}")


def pytest_configure(config: pytest.Config) -> None:
    """Draw the seed once, or take the parent process's seed in a worker of xdist; make Ctrl-C work.

    A shell starts background jobs with SIGINT ignored, and every command that a test starts would inherit that.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    inherited = getattr(config, "workerinput", {}).get("seed")
    chosen = inherited or os.environ.get(SEED_VARIABLE) or random.SystemRandom().randrange(1, 2**32)
    config.stash[SEED] = int(chosen)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Hand the seed to a worker of xdist."""
    node.workerinput["seed"] = node.config.stash[SEED]


def pytest_report_header(config: pytest.Config) -> str:
    """Print the values that replay a failure."""
    return seed_line(config)


def pytest_terminal_summary(terminalreporter: Any, exitstatus: int, config: pytest.Config) -> None:
    """Print the seed again, beside the failures and in quiet runs, which print no header.

    Print also the figures that tests recorded.
    """
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "figures":
                terminalreporter.write_line(str(value))
    terminalreporter.write_line(seed_line(config))


def seed_line(config: pytest.Config) -> str:
    """The line that names the seed and the versions that change between runs."""
    versions = "  ".join(f"{name} {version(name)}" for name in ("duckdb", "botocore"))
    return f"{SEED_VARIABLE}={config.stash[SEED]}  {versions}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the long tests, and all tests of a file that imports DuckDB or the AWS code: other versions run those."""
    long = long_tests()
    for item in items:
        if item.nodeid.partition("[")[0] in long:
            item.add_marker("long")
        for mark, packages in MARKED_BY_IMPORT.items():
            if imports_any(item.path, packages):
                item.add_marker(mark)


def pytest_collection_finish() -> None:
    """Exclude all imported objects from garbage collection, so that it only checks the objects of tests."""
    gc.collect()
    gc.freeze()


def long_tests() -> frozenset[str]:
    """The tests that long.txt lists; none if there is no long.txt, as where a test uses a copy of this file."""
    lines = LONG.read_text(encoding="utf-8").splitlines() if LONG.exists() else ()
    return frozenset(line for line in lines if line and not line.startswith("#"))


@cache
def imports_any(path: Path, packages: tuple[str, ...]) -> bool:
    """Whether a test file imports one of these packages or modules, at its top or in a function."""
    return any(
        f"{name}.".startswith(f"{package}.")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in imported_names(node)
        for package in packages
    )


def imported_names(node: ast.AST) -> list[str]:
    """The absolute names that an import statement imports, for example `image_history.warehouse.warehouse`."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []
