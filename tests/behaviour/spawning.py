"""Processes of `image-history` that save a second of imports: they are forked from one that has imported everything.

Must not know which command a test runs. A test of start-up itself needs a new interpreter.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import io
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import IO, Self

ROOT = Path(__file__).parents[2]
_HEADER_BYTES = 8
_LOOK_SECONDS = 0.01
_ASKING = threading.Lock()
# Modules that commands import, beside those of the packages that `_warm` imports as a whole.
_ELSEWHERE = (
    *(
        "image_history.run.pipeline",
        "image_history.checking.freshness",
        "pyarrow.dataset",
        "tests.faultpoints.faults",
    ),
    *("encodings.idna", "stringprep", "unicodedata", "zoneinfo"),
)


@dataclass(slots=True)
class Spawned:
    """A running command, used like a subprocess.Popen[str] whose outputs are pipes. `args` is its command line."""

    args: Sequence[str]
    pid: int
    stdout: IO[str]
    stderr: IO[str]
    ended: IO[bytes]
    returncode: int | None = field(default=None)

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        if self.returncode is None and select.select([self.ended], [], [], 0)[0]:
            self._reap()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code. Raises subprocess.TimeoutExpired after `timeout` seconds."""
        if self.returncode is None:
            if not select.select([self.ended], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self._reap()
        assert self.returncode is not None
        return self.returncode

    def until(self, reached: Callable[[], bool]) -> None:
        """Wait until `reached` returns true, or until the command has ended."""
        while not reached() and self.returncode is None:
            if select.select([self.ended], [], [], _LOOK_SECONDS)[0]:
                self._reap()

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """All output of the command. After `timeout` seconds, kills it and raises subprocess.TimeoutExpired."""
        texts = {"stdout": "", "stderr": ""}

        def drain(name: str, pipe: IO[str]) -> None:
            with pipe:
                texts[name] = pipe.read()

        pipes = (("stdout", self.stdout), ("stderr", self.stderr))
        readers = [threading.Thread(target=drain, args=each) for each in pipes if not each[1].closed]
        for reader in readers:
            reader.start()
        try:
            self.wait(timeout)
        except BaseException:
            self.kill()
            raise
        finally:
            for reader in readers:
                reader.join()
        return texts["stdout"], texts["stderr"]

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the command has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stdout.close()
        self.stderr.close()
        self.wait()

    def _reap(self) -> None:
        with self.ended:
            self.returncode = int(self.ended.readline())


def spawn(
    arguments: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    largest_file_bytes: int | None = None,
    fault: str | None = None,
) -> Spawned:
    """Start `image-history` with these arguments and this environment in a folder, without standard input.

    No file that the command writes may grow beyond `largest_file_bytes`, as on a full disk. `fault` is a text such as
    `rename.segment:kill:2`.
    """
    out, err = os.pipe(), os.pipe()
    wanted = [list(arguments), str(folder), dict(environment), largest_file_bytes, fault]
    with Path(os.devnull).open("rb") as nothing:
        pid, ended = _ask(wanted, [nothing.fileno(), out[1], err[1]])
    os.close(out[1])
    os.close(err[1])
    return Spawned(["image-history", *arguments], pid, os.fdopen(out[0]), os.fdopen(err[0]), ended)


def spawn_on(
    terminal: int, arguments: Sequence[str], environment: Mapping[str, str], *, seated: bool
) -> Spawned:
    """Start `image-history` in this folder, with its outputs on a terminal, and with its input there if `seated`."""
    wanted = [list(arguments), str(Path.cwd()), dict(environment), None, None]
    with Path(os.devnull).open("rb") as nothing:
        pid, ended = _ask(wanted, [terminal if seated else nothing.fileno(), terminal, terminal])
    return Spawned(["image-history", *arguments], pid, io.StringIO(), io.StringIO(), ended)


def _ask(wanted: Sequence[object], standard: Sequence[int]) -> tuple[int, IO[bytes]]:
    """Start a process with these standard files; returns its id, and the pipe that will report its exit code."""
    request = json.dumps(wanted).encode()
    ours, theirs = os.pipe()
    with _ASKING:
        socket.send_fds(_forge(), [b"%0*d" % (_HEADER_BYTES, len(request))], [*standard, theirs])
        _forge().sendall(request)
    os.close(theirs)
    ended = os.fdopen(ours, "rb", buffering=0)
    return int(ended.readline()), ended


@cache
def _forge() -> socket.socket:
    """A socket to the process that forks; the process ends together with this one."""
    ours, theirs = socket.socketpair()
    variables = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.behaviour.spawning", str(theirs.fileno())],
        cwd=ROOT,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=[theirs.fileno()],
    )
    theirs.close()
    atexit.register(_end, ours, process)
    return ours


def _end(ours: socket.socket, process: subprocess.Popen[bytes]) -> None:
    ours.close()
    process.wait()


def _warm() -> None:
    """Import what commands import, so that no child has to. No thread may still run: a fork would lose it."""
    from image_history.cli import VERBS
    from image_history.warehouse.trimming import trim_process

    trim_process()
    for module, _ in VERBS.values():
        import_module(module)
    for package in ("cli", "formats", "load", "publish"):
        for found in iter_modules([str(ROOT / "connector" / "image_history" / package)]):
            import_module(f"image_history.{package}.{found.name}")
    for name in _ELSEWHERE:
        import_module(name)
    import duckdb

    # Importing duckdb opens a connection with threads; a forked child would lack these threads when it ends.
    duckdb.default_connection().close()
    read_models()
    gc.collect()
    gc.freeze()


def read_models() -> None:
    """Read botocore's service models once for this process and its children, and import what clients need.

    A new interpreter would read the models again, through the loader that all sessions of the connector share.
    """
    import botocore.loaders
    import botocore.session

    from image_history.aws.catalog import sagemaker_regions, shared_loader

    loader = botocore.loaders.create_loader()
    botocore.loaders.create_loader = lambda *_: loader
    session = botocore.session.Session()
    session.register_component("data_loader", shared_loader(tuple(loader.search_paths)))
    for service in ("sagemaker", "sts"):
        session.create_client(
            service, region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none"
        )
    assert sagemaker_regions("aws")


def _serve(asked: socket.socket) -> bool:
    """Start a process for each request. Returns False when the socket is closed, and True in each child."""
    while True:
        header, handed, _, _ = socket.recv_fds(asked, _HEADER_BYTES, 4)
        if not header:
            _reap_ended()
            return False
        request = b""
        while len(request) < int(header):
            request += asked.recv(int(header) - len(request))
        if os.fork() == 0:
            asked.close()
            _attend(*handed)
            _become(*json.loads(request))
            return True
        for descriptor in handed:
            os.close(descriptor)
        _reap_ended()


def _reap_ended() -> None:
    """Reap the attending processes whose commands have ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _attend(given: int, out: int, err: int, ended: int) -> None:
    """Return in a child with these standard files; the parent reports the child's id and exit code, and exits."""
    child = os.fork()
    if child:
        for number in (given, out, err, 0, 1, 2):
            os.close(number)
        # Ctrl-C is for the command; this process still has to report how the command ended.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.write(ended, b"%d\n" % child)
        os.write(ended, b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        os._exit(0)
    os.close(ended)
    for number, descriptor in enumerate((given, out, err)):
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdout.reconfigure(line_buffering=os.isatty(1))  # type: ignore[union-attr]  # as an interpreter would have


def _become(
    arguments: Sequence[str],
    folder: str,
    environment: Mapping[str, str],
    largest_file_bytes: int | None,
    fault: str | None,
) -> None:
    """Set the command's folder, environment and arguments, as a new interpreter would have them."""
    if largest_file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file_bytes, largest_file_bytes))
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    tempfile.tempdir = None
    sys.argv = ["image-history", *arguments]
    if fault is not None:
        from image_history.durable.effects import install
        from tests.faultpoints.faults import Fault, Tripwire

        install(Tripwire(Fault.parse(fault), lambda _: None))


def _command() -> None:
    """Run the command line, which ends the process."""
    from image_history.cli import main

    main()


if __name__ == "__main__":
    _warm()
    if _serve(socket.socket(fileno=int(sys.argv[1]))):
        _command()
