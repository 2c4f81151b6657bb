"""The README's commands do what it shows: the tests run its session and its crontab line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.duckdb

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SERVER, SESSION = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
(PICTURE,) = re.findall(r"```text\n(.*?)```", README, re.DOTALL)
(PYTHON,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
# In the README this line stands for any number of lines that are left out.
LEFT_OUT = "..."
SIZE = re.compile(r"([\d,]+) bytes")
CURL = """
import sys, urllib.request as web
url = next(word for word in sys.argv if word.startswith("http"))
body = sys.argv[sys.argv.index("--data") + 1].encode()
print(web.urlopen(web.Request(url, data=body)).read().decode())
"""


@dataclass(frozen=True, slots=True)
class Step:
    """One command of a session, and the lines that it prints."""

    command: str
    printed: str


def steps(block: str) -> list[Step]:
    """The commands of a block, each from its `$` to the line where its quotes are closed, and what each prints."""
    parts = re.findall(r"^\$ (.*?)\n(?=\$ |\Z)", block, re.DOTALL | re.MULTILINE)
    return [Step(*_split(part)) for part in parts]


def _split(part: str) -> tuple[str, str]:
    lines = part.splitlines()
    ends = (
        count
        for count in range(1, len(lines) + 1)
        if all("\n".join(lines[:count]).count(quote) % 2 == 0 for quote in "\"'")
    )
    count = next(ends)
    return "\n".join(lines[:count]), "\n".join(lines[count:])


def stable(text: str) -> str:
    """The text without what differs between runs: present instants, durations, sizes, run ids."""
    without_ids = re.sub(r"\d{8}T\d{6}\.\d{3}Z-[0-9a-f]{8}", "RUN", text.strip())
    durations = re.sub(r"\d+\.\d+ s\b", "SECONDS", without_ids)
    sizes = re.sub(r"[\d,]+ bytes", "BYTES", durations)
    instants = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{3}Z)?"
    # The simulated worlds end in June 2026, so a later instant is the time of the session itself.
    present = re.sub(instants, lambda found: found[0] if found[0] < "2026-07-02" else "NOW", sizes)
    # The test runs two syncs within one second, so the README's interval is a single instant here.
    return present.replace("between NOW and NOW", "by NOW")


def assert_sizes(step: Step, printed: str) -> None:
    """Each size that the page shows is that of today, but for a tenth: instants and run ids compress differently."""
    if LEFT_OUT in step.printed.splitlines():
        return
    sizes, now = (
        [int(size.replace(",", "")) for size in SIZE.findall(text)] for text in (step.printed, printed)
    )
    assert sizes == [pytest.approx(size, rel=0.1) for size in now], f"{step.command}\n{printed}"


def shown(text: str) -> re.Pattern[str]:
    """A pattern for the output that the README shows."""
    lines = [".*" if line == LEFT_OUT else re.escape(line) for line in stable(text).splitlines()]
    return re.compile("\n".join(lines), re.DOTALL)


@dataclass(frozen=True, slots=True)
class Shell:
    """A user's shell in a folder, with the command installed, and a curl that is written in Python."""

    folder: Path
    environment: dict[str, str]

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run one command line."""
        return subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


def install(folder: Path) -> dict[str, str]:
    """Install the commands that the README uses; returns the environment that finds them."""
    programs = folder / "bin"
    programs.mkdir()
    (programs / "curl.py").write_text(CURL, encoding="utf-8")
    for name, arguments in (("image-history", "-m image_history"), ("curl", str(programs / "curl.py"))):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n', encoding="utf-8")
        program.chmod(0o755)
    search = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": search,
        "IMAGE_HISTORY_RATE__LIST_PER_SECOND": "10000",
    }


@contextmanager
def served(environment: dict[str, str], server: str = SERVER) -> Iterator[str]:
    """Run the `simulate` of a block on a free port; yields what it prints."""
    (step,) = steps(server)
    command = re.sub(r"--port \d+", "--port 0", step.command)
    with subprocess.Popen(
        ["/bin/sh", "-c", f"exec {command}"], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline()]
            while lines[-1] and not lines[-1].startswith("Ctrl-C"):
                lines.append(process.stdout.readline())
            yield "".join(lines)
        finally:
            process.terminate()


def port(text: str) -> str:
    """The simulator's port in a command or in its output."""
    found = re.search(r"127\.0\.0\.1:(\d+)", text)
    assert found is not None
    return found[1]


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A shell in an empty folder, with the variables that the README's simulator prints as `export` lines."""
    environment = install(tmp_path)
    folder = tmp_path / "work"
    folder.mkdir()
    with served(environment) as printed:
        assert shown(steps(SERVER)[0].printed).fullmatch(
            stable(printed.replace(port(printed), port(SERVER))), 0
        ), printed
        exported = re.findall(r"^export (\w+)=(\S+)$", printed, re.MULTILINE)
        yield Shell(folder, environment | dict(exported))


def test_session_prints_what_the_readme_shows(shell: Shell) -> None:
    """Every command of the README's session prints what the README shows below it, and its Python code runs."""
    here = port(shell.environment["AWS_ENDPOINT_URL"])
    (picture,) = steps(PICTURE)
    for step in (picture if step.command == picture.command else step for step in steps(SESSION)):
        outcome = shell.run(step.command.replace(port(SESSION), here))
        assert outcome.returncode == 0, outcome.stderr
        assert shown(step.printed).fullmatch(stable(outcome.stdout)), f"{step.command}\n{outcome.stdout}"
        assert_sizes(step, outcome.stdout)
    outcome = shell.run(f"{sys.executable} -W error - <<'END'\n{PYTHON}\nassert len(states) == 7\nEND")
    assert outcome.returncode == 0, outcome.stderr


def test_session_shows_the_main_verbs() -> None:
    """The session syncs twice, uses log, query and export, and contains the command of the picture."""
    verbs = [step.command.split()[1] for step in steps(SESSION) if step.command.startswith("image-history")]
    assert verbs.count("sync") == 2
    assert {"log", "query", "export"} <= set(verbs)
    assert steps(PICTURE)[0].command in {step.command for step in steps(SESSION)}


def test_crontab_line_appends_one_json_object_a_run(shell: Shell) -> None:
    """The README's crontab line appends one line of JSON for each run, and its log stays empty without errors."""
    (line,) = re.findall(r"^    17 \* \* \* \* +(.*)$", README, re.MULTILINE)
    command = line.replace("/srv/images", str(shell.folder))
    assert [shell.run(command).returncode for _ in range(2)] == [0, 0]
    first, second = (json.loads(text) for text in (shell.folder / "sync.jsonl").read_text().splitlines())
    assert first["totals"]["rows"]["inserted"] == 130
    assert second["totals"]["rows"]["inserted"] == 0
    assert (shell.folder / "sync.log").read_text() == ""
