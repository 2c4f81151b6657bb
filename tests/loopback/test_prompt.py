"""The prompt for an MFA code on a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys

from tests.loopback.configurations import ENVIRONMENT, REGION, Configuration, role
from tests.loopback.stage import ACCOUNT, SECOND, Bench

DEVICE = "arn:aws:iam::111122223333:mfa/me"
WANTED = role(
    "credential_source = Environment", arn="arn:aws:iam::{1}:role/reader", more=f"mfa_serial = {DEVICE}"
)
MFA = f"[profile {{0}}]\n{REGION}{WANTED}\n"


def seated(*arguments: str, typed: str) -> tuple[int, str]:
    """Run a command on a terminal, and type a line after each prompt; return its exit code and the screen."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "image_history", *arguments]
    environment = {**os.environ, "TERM": "xterm", "PYTHONPATH": os.pathsep.join(sys.path)}
    screen = b""
    # In a new session, because getpass would otherwise open the terminal of the test run.
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
    ) as process:
        os.close(theirs)
        answered = 0
        while chunk := _some(ours):
            screen += chunk
            while screen.count(DEVICE.encode()) > answered:
                answered += 1
                os.write(ours, f"{typed}\n".encode())
    os.close(ours)
    return process.returncode, screen.decode().replace("\r\n", "\n")


def _some(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:
        return b""


def settle(bench: Bench) -> None:
    """Set up two profiles, each with a role that needs a code."""
    configuration = Configuration(
        {**ENVIRONMENT, "AWS_ENDPOINT_URL": "{http}"},
        config=MFA.format("one", ACCOUNT) + MFA.format("two", SECOND),
    )
    home = bench.become("home", configuration.everything, configuration.written)
    accounts = [{"profile": name, "regions": ["eu-west-1"]} for name in ("one", "two")]
    (home / "config.yaml").write_text(json.dumps({"accounts": accounts, "retry": {"attempts": 1}}))


def test_code_is_asked_for_on_a_line_of_its_own(bench: Bench) -> None:
    """Each of two codes is requested on a line of its own, without progress on it, and the sync exits with 0."""
    settle(bench)
    code, screen = seated("sync", typed="123456")
    assert code == 0, screen
    lines = [line for line in re.split(r"[\r\n]|\x1b\[2K", screen) if DEVICE in line]
    assert len(lines) == 2
    for line in lines:
        assert re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).strip() == f"Enter MFA code for {DEVICE}:"
    assert bench.cloud.operations("sts").count("AssumeRole") == 2


def test_end_of_input_is_no_interrupt(bench: Bench) -> None:
    """Ctrl-D at the prompt means no credentials: the sync exits with 3, not with 130."""
    settle(bench)
    code, screen = seated("sync", typed="\x04")
    assert code == 3, screen
    assert "Interrupted" not in screen
    assert "profile one" in screen
