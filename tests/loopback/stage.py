"""A machine for the tests: a home folder, an environment, proxies, and a small AWS for every host name.

Must not know which configuration is tested, or what is expected of it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from image_history.cli import run
from tests.behaviour.asking import Answered
from tests.loopback.authority import Authority
from tests.loopback.cloud import Cloud, Key
from tests.loopback.signature import Received
from tests.loopback.wire import Answer, Proxy, Way, Wire, proxying, serving

if TYPE_CHECKING:
    import pytest

ACCOUNT, SECOND, ROLES = "111122223333", "222233334444", "333344445555"
OURS = (
    "AWS_",
    "BOTO_",
    "IMAGE_HISTORY_",
    "NO_PROXY",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "REQUESTS_",
    "SSL_",
)


def cloud() -> Cloud:
    """The small AWS before its first request."""
    return Cloud(
        keys={
            "AKIASTATIC": Key("static+secret/", ACCOUNT),
            "AKIAOTHER": Key("other secret", "444455556666"),
            "ASIASESSION": Key("session secret", ACCOUNT, "session+token/=="),
            "AKIASECOND": Key("second secret", SECOND),
        },
        web_tokens={"eyJhbGciOi.of-a-service-account": "web"},
        access_tokens={"fresh": "fresh"},
        refresh_tokens={"refresh"},
        container_tokens={"/v1/credentials": "pod-token", "/v2/credentials/secured": "Basic abc"},
        external_ids={f"arn:aws:iam::{ROLES}:role/external": "tenant-7"},
    )


@dataclass(slots=True)
class Stage:
    """The servers; `cloud` may be replaced between two runs."""

    folder: Path
    authority: Authority
    cloud: Cloud = field(default_factory=cloud)
    wire: Wire = field(init=False)
    ports: dict[str, int] = field(default_factory=dict)

    def __call__(self, request: Received, way: Way) -> Answer:
        return self.cloud(request, way)

    def words(self, home: Path) -> Mapping[str, str]:
        """The values of the placeholders in a configuration."""
        proxies = {name: str(port) for name, port in self.ports.items()}
        return {
            "http": f"http://127.0.0.1:{self.wire.http}",
            "https": f"https://127.0.0.1:{self.wire.https}",
            "http_port": str(self.wire.http),
            "https_port": str(self.wire.https),
            "home": str(home),
            "ca": str(self.authority.bundle),
            **proxies,
        }

    def resolve(self, host: str, port: Any, *_: object, **__: object) -> list[Any]:
        """Resolve every host to the local servers, by its port; a misspelled region (`esat`) is unknown."""
        if "esat" in host:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        local = host in {"127.0.0.1", "localhost"}
        there = int(port) if local else self.wire.port_for(int(port))
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", there))]


@contextmanager
def staged(folder: Path) -> Iterator[Stage]:
    """Start the servers, and stop them when the block ends."""
    stage = Stage(folder, Authority(folder / "authority"))
    with ExitStack() as stack:
        stage.wire = stack.enter_context(serving(stage, stage.authority))
        page = Answer(403, b"<html>Blocked by the gate</html>", {"Content-Type": "text/html"})
        proxies = {
            "open": Proxy("open", stage.wire),
            "guarded": Proxy("guarded", stage.wire, user="us er:p@ss"),
            "blocking": Proxy("blocking", stage.wire, refusal=page),
        }
        for name, proxy in proxies.items():
            stage.ports[name] = stack.enter_context(proxying(proxy, stage))
        secure = Proxy("secure", stage.wire)
        stage.ports["secure"] = stack.enter_context(proxying(secure, stage, stage.authority))
        yield stage


@dataclass(frozen=True, slots=True)
class Machine:
    """Gives the test process the home folder and the environment of a configuration."""

    stage: Stage
    patch: pytest.MonkeyPatch

    def become(
        self, home: Path, environment: Mapping[str, str], files: Mapping[str, str]
    ) -> Mapping[str, str]:
        """Set up the environment and the home folder; return the values of the placeholders."""
        words = self.stage.words(home)
        for name in list(os.environ):
            if name.upper().startswith(OURS):
                self.patch.delenv(name)
        for name, value in environment.items():
            self.patch.setenv(name, filled(value, words))
        for path, text in files.items():
            file = home / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(filled(text, words))
        # botocore fixes its cache's folder below HOME when it is imported, so HOME stays and .aws is a link.
        (home / ".aws").mkdir(exist_ok=True)
        led = Path.home() / ".aws"
        led.unlink(missing_ok=True)
        led.symlink_to(home / ".aws")
        self.patch.setattr(socket, "getaddrinfo", self.stage.resolve)
        return words


@dataclass(frozen=True, slots=True)
class Bench:
    """Runs commands with configurations, each in a home folder of its own."""

    machine: Machine
    folder: Path
    capture: pytest.CaptureFixture[str]

    @property
    def cloud(self) -> Cloud:
        """The current small AWS."""
        return self.machine.stage.cloud

    def become(self, name: str, environment: Mapping[str, str], files: Mapping[str, str]) -> Path:
        """Set up a configuration and a new small AWS; return the home folder."""
        self.machine.stage.cloud = cloud()
        home = self.folder / name
        home.mkdir()
        self.machine.become(home, environment, files)
        self.machine.patch.chdir(home)
        return home

    def filled(self, text: str, home: Path) -> str:
        """The text with its placeholders replaced."""
        return filled(text, self.machine.stage.words(home))

    def run(self, *arguments: str) -> Answered:
        """Run a command in this process."""
        self.capture.readouterr()
        code = run(arguments)
        said = self.capture.readouterr()
        return Answered(code, said.out, said.err)

    def succeed(self, *arguments: str) -> Answered:
        """Run a command, and check that its exit code is 0."""
        answered = self.run(*arguments)
        assert answered.code == 0, f"{arguments}: exit {answered.code}\n{answered.out}\n{answered.err}"
        return answered


def filled(text: str, words: Mapping[str, str]) -> str:
    """The text with each {placeholder} replaced."""
    for name, meaning in words.items():
        text = text.replace(f"{{{name}}}", meaning)
    return text
