"""`image-history shell`: one query after another; the warehouse is open only while one runs.

Must not know how a statement is run, edited or completed.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from image_history.cli import PROGRAM, Globals, Verb, remark
from image_history.cli.query import Options, answer, duration
from image_history.cli.scanning import is_command, split
from image_history.errors import ConfigError, ConnectorError, QueryError
from image_history.formats.writing import Format
from image_history.hiding import without_secrets
from image_history.version import __version__

if TYPE_CHECKING:
    from datetime import timedelta

    from image_history.cli.completing import Vocabulary
    from image_history.config import Config

FORMATS = tuple(how.value for how in Format if not how.binary)
_HELP = """\
A statement ends with a semicolon, and may have many lines. Ctrl-C cancels, Ctrl-D leaves, Tab completes.
  @NAME [PARAMETER=VALUE]...   a saved query
  .queries                     the saved queries
  .tables                      tables, views and macros
  .schema [NAME]...            columns and their meaning
  .mode FORMAT                 how rows look: table, blocks, csv, tsv, json, jsonl, markdown
  .timer on|off                print how long each statement took
  .help, .exit"""


@click.command("shell", cls=Verb)
@click.option(
    "--format",
    "how",
    type=click.Choice(FORMATS),
    default="table",
    show_default=True,
    help="How rows look at first; .mode changes it.",
)
@click.option("--max-rows", type=click.IntRange(1), help="As in query, for each statement.")
@click.option(
    "--timeout", default="5m", show_default=True, callback=duration, help="Longest time of a statement."
)
@click.option("--no-pager", is_flag=True, help="Never page a long table; PAGER names the pager.")
@click.pass_obj
def command(shared: Globals, /, *, how: str, max_rows: int | None, timeout: timedelta, no_pager: bool) -> int:
    """Run one query after another, as the verb query does, with history and completion.

    The warehouse is open only while a statement runs, so that an idle shell delays no sync. Without a terminal,
    statements are read from stdin, and the first one that fails ends the shell with its exit code.
    """
    options = Options(
        sql=None, param={}, format=how, output=None, max_rows=max_rows, timeout=timeout, no_pager=no_pager
    )
    shell = Shell(shared.config(), options)
    return interactive(shell) if sys.stdin.isatty() and sys.stdout.isatty() else scripted(shell)


@dataclass(slots=True)
class Shell:
    """The state of a shell between statements."""

    config: Config
    options: Options
    timed: bool = False
    done: bool = False

    def run(self, text: str) -> str:
        """Run every piece that is complete; returns the rest. Raises as `asking` does, and ConfigError."""
        pieces, rest = split(text)
        for piece in pieces:
            if not self.done:
                self._one(piece)
        return rest

    def _one(self, piece: str) -> None:
        if is_command(piece):
            self._line(piece)
        else:
            self.ask(piece, {})

    def _line(self, line: str) -> None:
        words = _words(line)
        if line.startswith("@"):
            pairs = [word.partition("=") for word in words[1:]]
            if any(not equals for _, equals, _ in pairs):
                raise ConfigError(f"{words[0]} takes PARAMETER=VALUE, as in {words[0]} image=my-image.")
            self.ask(words[0], {name.removeprefix("$"): value for name, _, value in pairs})
            return
        act = self._commands().get(words[0])
        if act is None:
            raise ConfigError(f"There is no command {words[0]}; .help shows them.")
        act(words[1:])

    def _commands(self) -> dict[str, Callable[[list[str]], None]]:
        return {
            ".exit": self._exit,
            ".help": lambda _: click.echo(_HELP),
            ".mode": self._mode,
            ".queries": lambda _: _other("queries", name=None, how="table"),
            ".quit": self._exit,
            ".schema": lambda names: _other("schema", names=tuple(names), how="table", of_config=False),
            ".tables": lambda _: click.echo("\n".join(_tables())),
            ".timer": self._timer,
        }

    def _exit(self, _: list[str]) -> None:
        self.done = True

    def _mode(self, words: list[str]) -> None:
        if len(words) != 1 or words[0] not in FORMATS:
            raise ConfigError(f".mode is one of {', '.join(FORMATS)}; it is {self.options.format}.")
        self.options = replace(self.options, format=words[0])

    def _timer(self, words: list[str]) -> None:
        if words not in (["on"], ["off"]):
            raise ConfigError(f".timer is on or off; it is {'on' if self.timed else 'off'}.")
        self.timed = words == ["on"]

    def ask(self, sql: str, parameters: dict[str, str]) -> None:
        """Run one query, and show its rows in the format of the shell."""
        from image_history.cli.delivery import Hints
        from image_history.cli.query import question

        started = time.monotonic()
        hints = Hints(".mode blocks", "--max-rows of the command image-history shell", ".mode csv")
        answer(self.config, question(sql, parameters, self.config.queries), self.options, hints)
        if self.timed:
            click.echo(f"{time.monotonic() - started:.3f} s", err=True)


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise ConfigError(f"{line}: {str(error).lower()}.") from error


def _other(verb: str, **arguments: object) -> None:
    """What another verb prints."""
    from image_history.cli import root

    context = click.get_current_context()
    found = root.get_command(context, verb)
    if found is not None:
        context.invoke(found, **arguments)


def _tables() -> Iterator[str]:
    from image_history.cli.schema import all_views
    from image_history.schema import TABLES

    lines = [(table.name, table.grain) for table in TABLES]
    lines += [(view.name, view.what) for view in all_views()]
    width = max(len(name) for name, _ in lines)
    return (f"{name:{width}}  {what}" for name, what in lines)


def scripted(shell: Shell) -> int:
    """Run the statements on stdin, each as soon as it is complete. The first error is raised."""
    pending = ""
    for line in _lines():
        pending = shell.run(pending + line)
        if shell.done:
            return 0
    if rest := shell.run(f"{pending}\n;"):
        # A text or a comment that is not closed: DuckDB reports that.
        shell.ask(rest, {})
    return 0


def _lines() -> Iterator[str]:
    try:
        for line in sys.stdin.buffer:
            yield line.decode()
    except UnicodeDecodeError as error:
        raise QueryError("The SQL on stdin is not UTF-8 text.") from error


def interactive(shell: Shell) -> int:
    """Prompt until Ctrl-D or .exit. An error is one sentence, and Ctrl-C ends the statement only."""
    from image_history.cli.prompting import prompt

    ask = prompt(vocabulary(shell.config), history_file(), plain=bool(os.environ.get("NO_COLOR")))
    click.echo(f"{PROGRAM} {__version__} on {shell.config.warehouse}; .help helps, Ctrl-D leaves.")
    while not shell.done:
        try:
            shell.run(ask())
        except EOFError:
            break
        except KeyboardInterrupt:
            click.echo("Cancelled.", err=True)
        except ConnectorError as error:
            remark(without_secrets(error.message))
    return 0


def history_file() -> Path | None:
    """The file with the history of statements, private to its owner; None if it cannot be made."""
    from image_history.durable.disk import make_folder
    from image_history.durable.effects import Effect, File, fault_point

    state = os.environ.get("XDG_STATE_HOME", "")
    base = Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state"  # noqa: PTH117  # "" is no path
    file = base / PROGRAM / "history"
    try:
        make_folder(file.parent, File.HISTORY, exist_ok=True, parents=True)
        fault_point(Effect.CREATE, File.HISTORY)
        file.touch(0o600)
        file.chmod(0o600)
    except OSError:
        return None
    return file


def vocabulary(config: Config) -> Vocabulary:
    """All words for completion, from the warehouse, the saved queries and the shell. Raises as `asking` does."""
    from image_history.cli.completing import Vocabulary
    from image_history.warehouse.asking import QueriedWarehouse, asking
    from image_history.warehouse.saved import Question, saved_names
    from image_history.warehouse.statements import statement

    warehouse = QueriedWarehouse(config.warehouse, config.lock_wait.total_seconds())
    with asking(warehouse, Question(statement("shell/words"))) as rows:
        found = [row for batch in rows for row in batch.to_pylist()]
    columns: dict[str, list[str]] = {}
    for row in found:
        if row["kind"] == "column":
            columns.setdefault(row["relation"], []).append(row["word"])
    return Vocabulary(
        relations=[row["word"] for row in found if row["kind"] == "relation"],
        columns=columns,
        functions=[row["word"] for row in found if row["kind"] == "function"],
        saved=saved_names(config.queries),
        commands=[".exit", ".help", ".mode", ".queries", ".schema", ".tables", ".timer"],
        formats=FORMATS,
    )
