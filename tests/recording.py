"""The session of docs/session.md: `python -m tests.recording` runs its commands and writes their output.

Must not know what the commands do.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from tests.behaviour.test_readme import Shell, install, port, served, steps

PAGE = Path(__file__).parents[1] / "docs" / "session.md"
_BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)


def blocks(page: str) -> list[str]:
    """The console blocks of the page; the first is from the terminal that runs the simulated AWS."""
    return _BLOCK.findall(page)


def record(page: str, folder: Path) -> str:
    """The page with the current output of its commands, which run in a new folder below `folder`."""
    server, *session = blocks(page)
    environment, work = install(folder), folder / "work"
    work.mkdir()
    # The session runs at the pace of a real account.
    del environment["IMAGE_HISTORY_RATE__LIST_PER_SECOND"]
    (serving,) = steps(server)
    with served(environment, server) as printed:
        here, there = port(printed), re.findall(r"--port (\d+)", serving.command)[0]
        shell = Shell(work, environment | dict(re.findall(r"^export (\w+)=(\S+)$", printed, re.MULTILINE)))
        written = [f"$ {serving.command}\n{printed.replace(here, there)}"]
        written += [
            "".join(_played(shell, step.command, there, here) for step in steps(block)) for block in session
        ]
    answers = iter(written)
    return _BLOCK.sub(lambda _: f"```console\n{next(answers)}```", page)


def _played(shell: Shell, command: str, there: str, here: str) -> str:
    outcome = shell.run(command.replace(f":{there}/", f":{here}/"))
    lines = [line.rstrip() for line in (outcome.stdout + outcome.stderr).splitlines()]
    return "\n".join([f"$ {command}", *lines, ""])


def main() -> None:
    """Run the session, and write the page."""
    with tempfile.TemporaryDirectory(prefix="recording-") as folder:
        PAGE.write_text(record(PAGE.read_text(encoding="utf-8"), Path(folder)), encoding="utf-8")


if __name__ == "__main__":
    main()
