"""Shells complete verbs, options and names with our scripts; the manual page is generated from the verbs."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import click
import pytest

from image_history.cli import VERBS, root
from image_history.cli.manual import page
from tests.behaviour.asking import Desk, ask, built

__all__ = ["ask", "built"]

pytestmark = pytest.mark.duckdb

ROOT = Path(__file__).parents[2]
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
# How long zsh may take to print something.
ZSH_SECONDS = 20


def environment(desk: Desk) -> dict[str, str]:
    """The environment of the shells: with our command in PATH, and the warehouse as a setting."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COV_")}
    return kept | {"PATH": PATH, "IMAGE_HISTORY_WAREHOUSE": str(desk.warehouse), "TERM": "dumb"}


def needed(shell: str) -> str:
    """The path of a program; skips the test if it is not installed."""
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed")
    return found


def by_bash(desk: Desk, line: str) -> list[str]:
    """The words that bash is offered for a line. Bash splits words at @ and =, and replaces what follows."""
    script = (
        'eval "$(image-history completion bash)"; COMP_LINE=$1; COMP_POINT=${#1}; '
        "_image_history_completion image-history; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    command = [needed("bash"), "--norc", "--noprofile", "-c", script, "bash", line]
    ran = subprocess.run(
        command, env=environment(desk), capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stderr == ""
    return ran.stdout.split()


def by_fish(desk: Desk, line: str) -> list[str]:
    """The words that fish offers for a line."""
    script = "image-history completion fish | source; complete -C $argv[1]"
    command = [needed("fish"), "--no-config", "-c", script, line]
    ran = subprocess.run(
        command, env=environment(desk), capture_output=True, text=True, check=True, timeout=60
    )
    return [each.partition("\t")[0].removeprefix("@") for each in ran.stdout.splitlines()]


def by_zsh(desk: Desk, line: str) -> list[str]:
    """The word to which zsh completes the last word of a line when Tab is pressed."""
    zsh = needed("zsh")
    pid, screen = pty.fork()
    if pid == 0:
        os.execve(zsh, [zsh, "-f", "-i"], environment(desk) | {"PS1": "", "HOME": str(Path.cwd())})  # noqa: S606
    load = 'autoload -Uz compinit && compinit -u -D; eval "$(image-history completion zsh)"; echo rea""dy\n'
    os.write(screen, load.encode())
    _read_until(screen, r"\bready\r?\n")
    os.write(screen, f"{line}\t".encode())
    told = _read_until(screen, rf"{re.escape(line)}\S+ ")
    os.write(screen, b"\x15exit\n")
    os.waitpid(pid, 0)
    os.close(screen)
    return [re.findall(rf"{re.escape(line)}\S+", told)[-1].split()[-1].removeprefix("@")]


def _read_until(screen: int, pattern: str) -> str:
    told = ""
    while not re.search(pattern, told):
        ready, _, _ = select.select([screen], [], [], ZSH_SECONDS)
        assert ready, told
        told += os.read(screen, 65_536).decode(errors="replace")
    return told


@pytest.mark.parametrize("shell", [by_bash, by_fish, by_zsh])
def test_shell_completes_verbs_options_and_names(ask: Desk, shell: Callable[[Desk, str], list[str]]) -> None:
    """Each shell completes a verb, an option, a saved query, an image and a scope from their first letters."""
    for line, expected in {
        "image-history expo": "export",
        "image-history sync --allow": "--allow-mass-delete",
        "image-history query @newest": "newest-versions",
        f"image-history log {ask.image[:-2]}": ask.image,
        "image-history plan --scope 1111": "111122223333/us-east-1",
    }.items():
        assert shell(ask, line) == [expected], line


def test_bash_is_offered_all_that_fits(ask: Desk) -> None:
    """Bash is offered all verbs, tables, documents, formats and runs that fit, and nothing without a warehouse."""
    assert by_bash(ask, "image-history ") == sorted(VERBS)
    assert {"image_versions", "image_version_events"} <= set(by_bash(ask, "image-history export image_v"))
    assert by_bash(ask, "image-history schema --json s") == ["schema", "status", "sync"]
    assert by_bash(ask, "image-history log x --format js") == ["json", "jsonl"]
    assert by_bash(ask, "image-history --warehouse /none log ") == []
    assert len(by_bash(ask, "image-history runs 2")) == 3


def test_completion_of_verbs_imports_none(ask: Desk) -> None:
    """Completing a verb imports neither the verb's module nor duckdb or pyarrow, so that Tab is quick."""
    code = (
        "import sys; from image_history.cli import run; run([]); "
        "print([name for name in sys.modules if name in {'duckdb', 'pyarrow', 'image_history.cli.sync'}])"
    )
    asked = {"_IMAGE_HISTORY_COMPLETE": "bash_complete", "COMP_WORDS": "image-history s", "COMP_CWORD": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment(ask) | asked, capture_output=True, text=True, check=True
    )
    assert ran.stdout.splitlines() == [
        *(f"plain,{name}" for name in sorted(VERBS) if name.startswith("s")),
        "[]",
    ]


def explained(text: str) -> set[str]:
    """The options that a part of the manual page has, each of which is followed by its meaning."""
    entries = re.findall(r"\n\.TP\n\.B (\\-.*)\n(?=\w)", text)
    return {name for entry in entries for name in re.findall(r"--?\w[\w-]*", entry.replace("\\-", "-"))}


def names_of(command: click.Command) -> set[str]:
    """The options that a command shows, by all of their names."""
    options = (each for each in command.params if isinstance(each, click.Option) and not each.hidden)
    return {name for option in options for name in (*option.opts, *option.secondary_opts)}


def test_manual_page_is_that_of_the_verbs() -> None:
    """The installed manual page is the generated page; each verb's section explains each option of that verb.

    The page uses only known macros, and shows nothing that is meant for click.
    """
    assert (ROOT / "docs" / "image-history.1").read_text(encoding="utf-8") == page()
    everywhere, *sections = re.split(r"\n\.SS (\S+)\n", page())
    shared = explained(everywhere)
    assert shared == names_of(root)
    told = {name: explained(text) for name, text in zip(sections[::2], sections[1::2], strict=True)}
    assert [*told] == sorted(VERBS)
    for name, options in told.items():
        wanted = names_of(import_module(VERBS[name][0]).command)
        # The root's --version is not that of log.
        assert wanted - (shared - {"--version"}) <= options <= wanted, name
    assert "\\e" not in page()
    for line in page().splitlines():
        assert not re.match(r"['.](?!TH|SH|SS|B|PP|TP|nf|fi)", line), line


def test_manual_page_is_readable(ask: Desk) -> None:
    """The program groff renders what `image-history manual` prints without a warning."""
    groff = needed("groff")
    ran = subprocess.run(
        [groff, "-man", "-Tutf8", "-ww", "-rLL=78n"],
        input=ask("manual").out,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ran.stderr == ""
    assert "--allow-mass-delete" in re.sub(r"\x1b\[\d*m|.\x08", "", ran.stdout)
