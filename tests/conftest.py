"""What holds for every test: no AWS settings of the machine, no network beyond loopback, one replayable seed.

Must not know what any test is about.
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
# By imports, so that no file can be forgotten: mark -> the packages, and the tests' own stand-ins for AWS.
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

# Before botocore is imported, which remembers where the cache of `aws sso login` is: nobody's own is ever seen.
HOME = Path(tempfile.mkdtemp(prefix="home-"))
os.environ["HOME"] = str(HOME)
atexit.register(shutil.rmtree, HOME, ignore_errors=True)
set_hypothesis_home_dir(ROOT / ".cache" / "hypothesis")
# What lands must not hang on a throw of dice: CI plays the same examples each time, everybody else new ones.
hypothesis.settings.register_profile(
    "image-history", deadline=None, print_blob=True, derandomize=bool(os.environ.get("CI"))
)
hypothesis.settings.load_profile("image-history")


class ForbiddenConnectionError(RuntimeError):
    """A test tried to leave the machine. No OSError, so that no retry takes it for an outage."""


class NetworkGuard:
    """Lets sockets reach loopback and Unix addresses only; `refused` holds everything else that was tried."""

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
        """Put the check before every way out that Python code has, name resolution included."""
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
    """No test sees the AWS settings, the connector's settings, or the terminal preferences of this machine.

    Once for the session, so that fixtures of every scope are covered; a test sets variables with monkeypatch.
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
    """The guard itself, in place for fixtures of every scope."""
    guard = NetworkGuard()
    with pytest.MonkeyPatch.context() as patch:
        guard.install(patch)
        yield guard


@pytest.fixture(autouse=True)
def network_guard(network_session: NetworkGuard) -> Iterator[NetworkGuard]:
    """Fail the test that tried to leave the machine, even if the code under test swallowed the error."""
    network_session.refused.clear()
    yield network_session
    assert not network_session.refused, f"tried to reach beyond loopback: {network_session.refused}"


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The session's random seed, as printed in the header; IMAGE_HISTORY_TEST_SEED replays one."""
    return request.config.stash[SEED]


@pytest.fixture
def rng(seed: int, request: pytest.FixtureRequest) -> random.Random:
    """A generator of the test's own: the same for a seed and a test, whatever ran before it."""
    return random.Random(f"{seed} {request.node.nodeid}")


def pytest_configure(config: pytest.Config) -> None:
    """Draw the seed once: workers of xdist get that of the process that started them.

    A shell starts its background jobs deaf to Ctrl-C, and so would be every command that a test starts there.
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
    """Say what a failure needs in order to be replayed."""
    return seed_line(config)


def pytest_terminal_summary(terminalreporter: Any, exitstatus: int, config: pytest.Config) -> None:
    """Repeat the seed where it is needed: beside the failures, and in quiet runs that print no header.

    What tests recorded as their figures is told too.
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
    """Mark the long tests, and what second versions run too: all of a file that imports DuckDB, or the way to AWS."""
    long = long_tests()
    for item in items:
        if item.nodeid.partition("[")[0] in long:
            item.add_marker("long")
        for mark, packages in MARKED_BY_IMPORT.items():
            if imports_any(item.path, packages):
                item.add_marker(mark)


def pytest_collection_finish() -> None:
    """From here on look for garbage in what tests make only, not in everything that was imported."""
    gc.collect()
    gc.freeze()


def long_tests() -> frozenset[str]:
    """What long.txt lists: its lines but for comments. None where a test tries this file elsewhere."""
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
    """The absolute names that an import statement asks for, as in `image_history.warehouse.warehouse`."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []
