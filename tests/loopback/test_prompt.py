"""An MFA code is asked for on a terminal, on a line of its own."""

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
    """Exit code and screen of a command on a terminal where somebody types a line after each prompt."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "image_history", *arguments]
    environment = {**os.environ, "TERM": "xterm", "PYTHONPATH": os.pathsep.join(sys.path)}
    screen = b""
    # A session of its own: getpass would find the terminal of whoever runs the tests.
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
    """Two profiles whose roles want a code each."""
    configuration = Configuration(
        {**ENVIRONMENT, "AWS_ENDPOINT_URL": "{http}"},
        config=MFA.format("one", ACCOUNT) + MFA.format("two", SECOND),
    )
    home = bench.become("home", configuration.everything, configuration.written)
    accounts = [{"profile": name, "regions": ["eu-west-1"]} for name in ("one", "two")]
    (home / "config.yaml").write_text(json.dumps({"accounts": accounts, "retry": {"attempts": 1}}))


def test_code_is_asked_for_on_a_line_of_its_own(bench: Bench) -> None:
    """One after the other, with no progress on the same line; with the codes all is read."""
    settle(bench)
    code, screen = seated("sync", typed="123456")
    assert code == 0, screen
    lines = [line for line in re.split(r"[\r\n]|\x1b\[2K", screen) if DEVICE in line]
    assert len(lines) == 2
    for line in lines:
        assert re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).strip() == f"Enter MFA code for {DEVICE}:"
    assert bench.cloud.operations("sts").count("AssumeRole") == 2


def test_end_of_input_is_no_interrupt(bench: Bench) -> None:
    """Whoever answers with Ctrl-D has no credentials: exit 3, and not 130."""
    settle(bench)
    code, screen = seated("sync", typed="\x04")
    assert code == 3, screen
    assert "Interrupted" not in screen
    assert "profile one" in screen
