"""The guards of tests/conftest.py around every test: network, environment, random seed and markers."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest


class Greeter(BaseHTTPRequestHandler):
    """Answers every GET with two letters."""

    def do_GET(self) -> None:
        """Send the two letters."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parameter's name is the base's
        """Log nothing."""


def guarded(pytester: pytest.Pytester) -> None:
    """Give the inner pytest the conftest under test, and an ini file that hides the one of the checkout."""
    pytester.makeconftest(Path(__file__).parents[1].joinpath("conftest.py").read_text(encoding="utf-8"))
    pytester.makeini("[pytest]\nmarkers = duckdb")


@pytest.mark.parametrize(
    ("family", "address"),
    [
        pytest.param(socket.AF_INET, ("192.0.2.1", 80), id="ipv4"),
        pytest.param(socket.AF_INET, ("sts.us-east-1.amazonaws.com", 443), id="name"),
        pytest.param(socket.AF_INET, ("169.254.169.254", 80), id="metadata-service"),
        pytest.param(socket.AF_INET6, ("2001:db8::1", 80), id="ipv6"),
    ],
)
@pytest.mark.parametrize("method", ["connect", "connect_ex"])
def test_socket_beyond_loopback_is_refused(
    network_guard: Any, method: str, family: int, address: tuple[str, int]
) -> None:
    """A socket of a test reaches only loopback, and the error names the refused address."""
    with socket.socket(family) as sock, pytest.raises(RuntimeError, match="loopback only") as caught:
        getattr(sock, method)(address)
    assert address[0] in str(caught.value)
    assert len(network_guard.refused) == 1
    network_guard.refused.clear()


def test_name_beyond_loopback_is_not_resolved(network_guard: Any) -> None:
    """A name that is not on loopback is not even looked up at a name server."""
    with pytest.raises(RuntimeError, match=r"example\.com"):
        socket.create_connection(("example.com", 80))
    network_guard.refused.clear()


def test_asyncio_connection_beyond_loopback_is_refused(network_guard: Any) -> None:
    """The event loop's own connections pass the same guard."""
    with pytest.raises(RuntimeError, match="loopback only"):
        asyncio.run(asyncio.open_connection("192.0.2.1", 80))
    network_guard.refused.clear()


def test_swallowed_refusal_fails_the_test(pytester: pytest.Pytester) -> None:
    """If the tested code swallows the refusal, the test still fails."""
    guarded(pytester)
    pytester.makepyfile(
        """
        import socket

        def test_swallows():
            try:
                socket.create_connection(("192.0.2.1", 80), timeout=1)
            except Exception:  # the fault that is to be found
                pass
        """
    )
    outcome = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    outcome.assert_outcomes(passed=1, errors=1)
    outcome.stdout.fnmatch_lines(["*tried to reach beyond loopback*192.0.2.1*"])


def test_loopback_is_reachable() -> None:
    """A test can request its own server over real HTTP, by address and by name."""
    with HTTPServer(("127.0.0.1", 0), Greeter) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for host in ("127.0.0.1", "localhost"):
            with urllib.request.urlopen(f"http://{host}:{server.server_port}/") as answer:
                assert answer.read() == b"ok"
        server.shutdown()


def test_environment_holds_no_setting_of_this_machine() -> None:
    """Of the variables of AWS and of the connector, a test sees only those that the tests set."""
    visible = {name for name in os.environ if name.startswith(("AWS_", "BOTO_", "IMAGE_HISTORY_"))}
    assert visible == {"AWS_CONFIG_FILE", "AWS_EC2_METADATA_DISABLED", "AWS_SHARED_CREDENTIALS_FILE"}
    assert Path(os.environ["AWS_CONFIG_FILE"]).read_bytes() == b""
    assert Path(os.environ["AWS_SHARED_CREDENTIALS_FILE"]).read_bytes() == b""
    assert "NO_COLOR" not in os.environ


def test_seed_is_replayed_from_the_environment(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The seed from the environment gives the same random numbers again, also in workers of xdist."""
    guarded(pytester)
    expected = random.Random("4711 test_seed.py::test_rng").random()
    pytester.makepyfile(
        test_seed=f"def test_rng(rng, seed): assert (seed, rng.random()) == (4711, {expected!r})"
    )
    monkeypatch.setenv("IMAGE_HISTORY_TEST_SEED", "4711")
    for options in ([], ["-n", "1"]):
        outcome = pytester.runpytest_subprocess("-p", "no:cacheprovider", *options)
        outcome.assert_outcomes(passed=1)
        outcome.stdout.fnmatch_lines(["IMAGE_HISTORY_TEST_SEED=4711 *"])


MARKED = {
    "duckdb": {
        "test_direct": "def test_one():\n    import duckdb",
        "test_load": "from image_history import warehouse\ndef test_two(): pass",
        "test_module": "def test_three():\n    from image_history.warehouse.warehouse import Warehouse",
    },
    "aws": {
        "test_client": "def test_one():\n    import botocore.session",
        "test_login": "from image_history.aws import sessions\ndef test_two(): pass",
        "test_server": "def test_three():\n    from tests.behaviour.scripted import scripted",
    },
}


@pytest.mark.parametrize("mark", MARKED)
def test_mark_is_set_where_its_packages_are_imported(pytester: pytest.Pytester, mark: str) -> None:
    """The mark of tests for a second DuckDB or botocore follows from their imports, so that no file is missed."""
    guarded(pytester)
    others = (
        "import json\nfrom image_history import errors\nif False: import botocorelike\ndef test_four(): pass"
    )
    pytester.makepyfile(test_other=others, **MARKED[mark])
    outcome = pytester.runpytest_inprocess("--collect-only", "-q", "-m", mark, "-p", "no:cacheprovider")
    collected = {line.partition(".py::")[0] for line in outcome.outlines if ".py::" in line}
    assert collected == MARKED[mark].keys()
