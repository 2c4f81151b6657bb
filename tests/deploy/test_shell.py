"""The shell commands of the recipes, run unchanged against the simulator."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.behaviour.commanding import Commanded, log_lines
from tests.deploy.recipes import DEPLOY, documents, installed, shell, text

pytestmark = pytest.mark.duckdb

# Minute, hour, day, month, weekday; then the command, to the end of the line.
CRON_LINE = re.compile(r"^(?:[\d*/,-]+\s+){5}(?P<command>.+)$", re.MULTILINE)


def test_crontab_syncs_and_tells_only_what_is_stale(commanded: Commanded) -> None:
    """The sync line writes a report and metrics; the status line prints something only if a scope is stale."""
    settings = dict(re.findall(r"^([A-Z]+)=(.*)$", text("cron/crontab"), re.MULTILINE))
    sync, status = CRON_LINE.findall(text("cron/crontab"))
    assert "%" not in sync + status, "cron ends the command at a %"
    assert settings["SHELL"] == "/bin/sh"
    assert settings["PATH"].startswith("/opt/image-history/bin:")
    path = f"{installed(commanded.folder)}:{os.environ['PATH']}"
    variables = {"STATE": str(commanded.folder), "PATH": path}
    stale = shell(status, commanded.site, folder=Path("/"), variables=variables)
    assert (stale.returncode, stale.stdout) == (8, "")
    assert "stale" in stale.stderr
    assert shell(sync, commanded.site, folder=Path("/"), variables=variables).stderr == ""
    assert json.loads((commanded.folder / "sync.jsonl").read_text(encoding="utf-8"))["outcome"] == "complete"
    assert (commanded.folder / "sync.log").read_text(encoding="utf-8") == ""
    assert "image_history_last_run_exit_code 0.0" in (commanded.folder / "sync.prom").read_text(
        encoding="utf-8"
    )
    fresh = shell(status, commanded.site, folder=Path("/"), variables=variables)
    assert (fresh.returncode, fresh.stdout, fresh.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("code", "status"), [(0, "OK"), (5, "WARNING"), (8, "CRITICAL"), (2, "UNKNOWN"), (141, "UNKNOWN")]
)
def test_check_for_nagios_speaks_its_codes(tmp_path: Path, code: int, status: str) -> None:
    """The check exits with 0 if fresh, 1 if locked, 2 if stale, else 3, and prints the last line of the output."""
    command = tmp_path / "image-history"
    command.write_text(f'#!/bin/sh\necho table; echo "last: $*"; exit {code}\n', encoding="utf-8")
    command.chmod(0o755)
    outcome = subprocess.run(
        [DEPLOY / "nagios" / "check_image_history", "3h"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.stdout == f"{status}: last: -q status --max-age 3h\n"
    assert outcome.returncode == ["OK", "WARNING", "CRITICAL", "UNKNOWN"].index(status)


AWS = """#!/bin/sh
# As much of `aws s3 sync` as the workflow uses: folders for buckets.
here() { case $1 in s3://*) echo "$BUCKETS/${1#s3://}" ;; *) echo "$1" ;; esac; }
[ "$1 $2 $3" = "s3 sync --no-progress" ] || exit 64
shift 3
[ "$1" = --delete ] && { shift; rm -rf "$(here "$2")"; }
mkdir -p "$(here "$2")"
[ ! -d "$(here "$1")" ] || cp -R "$(here "$1")/." "$(here "$2")"
"""


def test_workflow_keeps_its_state_from_run_to_run(commanded: Commanded, tmp_path: Path) -> None:
    """A first run's steps keep its state in S3, and the next run, on another machine, fetches it."""
    (workflow,) = documents("github-actions/image-history.yml")
    assert workflow["defaults"]["run"]["shell"] == "bash"
    steps = {step.get("name"): step for step in workflow["jobs"]["sync"]["steps"]}
    binaries = installed(commanded.folder)
    (binaries / "aws").write_text(AWS, encoding="utf-8")
    (binaries / "aws").chmod(0o755)
    variables = {
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "STATE": "s3://bucket/state",
        "BUCKETS": str(tmp_path / "s3"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
    }
    machines = [tmp_path / "first", tmp_path / "second"]
    for machine, names in zip(
        machines,
        (("Fetch the state", "Sync", "Write the report", "Keep the state"), ("Fetch the state",)),
        strict=True,
    ):
        machine.mkdir()
        for name in names:
            folder = machine / steps[name].get("working-directory", ".")
            outcome = shell(steps[name]["run"], commanded.site, folder=folder, variables=variables, bash=True)
            assert outcome.returncode == 0, (name, outcome.stderr)
    assert json.loads((tmp_path / "summary").read_text(encoding="utf-8"))["outcome"] == "complete"
    offered = machines[0] / steps["Offer the report"]["with"]["path"]
    assert offered.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    warehouse = str(machines[1] / "state" / "image-history.duckdb")
    assert commanded("--warehouse", warehouse, "status", "--max-age", "26h").code == 0


def test_workflow_fails_with_the_sync(commanded: Commanded) -> None:
    """If the sync fails, its step exits with the sync's code in spite of tee, and the state is kept."""
    (workflow,) = documents("github-actions/image-history.yml")
    steps = {step.get("name"): step for step in workflow["jobs"]["sync"]["steps"]}
    variables = {
        "PATH": f"{installed(commanded.folder)}:{os.environ['PATH']}",
        "GITHUB_STEP_SUMMARY": "/dev/null",
        "IMAGE_HISTORY_PAGE_SIZE": "0",
    }
    outcome = shell(
        steps["Sync"]["run"], commanded.site, folder=commanded.folder, variables=variables, bash=True
    )
    assert outcome.returncode == 2
    assert log_lines(outcome.stderr)[-1]["error"] == "ConfigError"
    assert steps["Keep the state"]["if"] == "${{ !cancelled() }}"


def shellcheck(script: str, dialect: str) -> str:
    """The output of shellcheck for a script."""
    command = [str(Path(sys.executable).parent / "shellcheck"), f"--shell={dialect}", "-"]
    return subprocess.run(command, input=script, capture_output=True, text=True, check=False).stdout


def test_shell_scripts_pass_shellcheck() -> None:
    """Shellcheck finds nothing in the workflow, the Nagios check and the crontab, but an error in a bad script."""
    (workflow,) = documents("github-actions/image-history.yml")
    steps = [step["run"] for step in workflow["jobs"]["sync"]["steps"] if "run" in step]
    assert shellcheck("\n".join(steps), "bash") == ""
    assert shellcheck(text("nagios/check_image_history"), "sh") == ""
    assert shellcheck("STATE=x\n" + "\n".join(CRON_LINE.findall(text("cron/crontab"))), "sh") == ""
    assert "SC2086" in shellcheck("rm $1", "sh")
