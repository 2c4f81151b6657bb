"""Drives Chromium by the WebDriver protocol, and collects its console messages and its requests.

Must not know which page it opens.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAMS = ("chromium", "chromedriver")
INSTALL = "apt-get update && apt-get install -y chromium chromium-driver"
_PATIENCE_SECONDS = 60
_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_ASKED = "Network.requestWillBeSent"
KEYS = {"enter": "\ue007", "tab": "\ue004", "space": " "}


@dataclass(frozen=True, slots=True)
class Browser:
    """A browser session; `at` is the session's address at the driver."""

    at: str

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Send one command of the protocol."""
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.at}{path}", content, method=method)  # on loopback
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=_PATIENCE_SECONDS) as answer:  # on loopback
            return json.load(answer)["value"]

    def open(self, page: Path) -> None:
        """Load a file."""
        self.call("POST", "/url", {"url": page.as_uri()})

    def run(self, script: str, *arguments: object) -> Any:
        """Run a script and return its result; the page's security policy does not block it."""
        return self.call("POST", "/execute/sync", {"script": script, "args": arguments})

    def keys(self, *names: str) -> None:
        """Press keys, each given by its name or as text."""
        strokes = [character for name in names for character in KEYS.get(name, name)]
        actions = [{"type": kind, "value": stroke} for stroke in strokes for kind in ("keyDown", "keyUp")]
        self.call("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def said(self) -> list[str]:
        """The console's messages since the last call."""
        return [entry["message"] for entry in self.call("POST", "/se/log", {"type": "browser"})]

    def requests(self) -> list[str]:
        """The requested addresses since the last call."""
        entries = self.call("POST", "/se/log", {"type": "performance"})
        events = [json.loads(entry["message"])["message"] for entry in entries]
        asked = [event["params"]["request"]["url"] for event in events if event["method"] == _ASKED]
        # Chromium's page for a new tab makes chrome: requests.
        return [address for address in asked if not address.startswith("chrome:")]


def missing() -> list[str]:
    """The programs that are not installed."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


@contextmanager
def browser() -> Iterator[Browser]:
    """Start a browser with a profile of its own; end it after the block, also after an error."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [shutil.which("chromedriver") or "chromedriver", f"--port={port}"]
    with tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as profile:
        driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            session = _session(f"http://127.0.0.1:{port}", profile)
            try:
                session.call("POST", "/url", {"url": "about:blank"})
                session.said(), session.requests()
                yield session
            finally:
                session.call("DELETE", "")
        finally:
            driver.terminate()
            driver.wait(timeout=_PATIENCE_SECONDS)


def _session(at: str, profile: str) -> Browser:
    chosen = {
        "goog:chromeOptions": {"args": [*_OPTIONS, f"--user-data-dir={profile}"]},
        "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
    }
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            made = Browser(at).call("POST", "/session", {"capabilities": {"alwaysMatch": chosen}})
        except urllib.error.HTTPError as error:
            raise SystemExit(f"Chromium does not start: {error.read().decode()[:500]}") from error
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
            continue
        return Browser(f"{at}/session/{made['sessionId']}")
