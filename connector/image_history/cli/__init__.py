"""The command line `image-history`: the root, its global options, and how errors are reported.

Verbs are modules of their own, imported when they are called; must not know what a verb does.
"""

from __future__ import annotations

import difflib
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from image_history.cli.streams import open_standard_streams
from image_history.errors import ConnectorError, OutputError
from image_history.hiding import without_secrets
from image_history.version import __version__
from image_history.warehouse.trimming import trim_process

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from image_history.config import Config

PROGRAM = "image-history"
_BROKEN_PIPE = 141
# The variable of the environment by which a shell requests completions.
COMPLETE = "_IMAGE_HISTORY_COMPLETE"

_INSTEAD_OF_MERGING = (
    "Let each machine read whole accounts and regions with --part I/N, and publish to one lake table under a label "
    "of its own: see docs/machines.md."
)
# Removed verbs and options, with what to do instead.
_GONE = dict.fromkeys(("merge", "--shard", "--hand-over"), _INSTEAD_OF_MERGING)

# Name -> (module whose `command` it is, its line in --help). Kept here so that --help imports no verb.
VERBS: dict[str, tuple[str, str]] = {
    "check": (
        "image_history.cli.check",
        "Check credentials, permissions, clock and files; show how to fix each.",
    ),
    "completion": (
        "image_history.cli.completion",
        "Print the script that completes names in bash, zsh or fish.",
    ),
    "demo": ("image_history.cli.demo", "See the main job at work; needs no AWS account."),
    "diff": ("image_history.cli.diff", "Show what changed over all images since a time."),
    "export": ("image_history.cli.export", "Write a table, view or query to a file, or tables to a dataset."),
    "init": ("image_history.cli.init", "Write a commented config.yaml."),
    "list": ("image_history.cli.list", "List an image's versions straight from AWS."),
    "log": ("image_history.cli.log", "Show what happened to one image, the newest first."),
    "manual": ("image_history.cli.manual", "Print the manual page."),
    "notify": ("image_history.cli.notify", "Send news to receivers; each sync does too; --test tries them."),
    "plan": ("image_history.cli.plan", "Show what a sync would do now, and how many calls it takes."),
    "publish": (
        "image_history.cli.publish",
        "Update the configured datasets and lake tables; each sync does too.",
    ),
    "queries": ("image_history.cli.queries", "Show the saved queries, with an example each."),
    "query": ("image_history.cli.query", "Query the warehouse with SQL; read-only and locked down."),
    "report": ("image_history.cli.report", "Write one HTML file: what exists, changed and was deleted."),
    "runs": ("image_history.cli.runs", "Show what the last syncs did."),
    "schema": ("image_history.cli.schema", "Show every table and column with its meaning."),
    "shell": ("image_history.cli.shell", "Query the warehouse interactively, with history and completion."),
    "simulate": ("image_history.cli.simulate", "Serve SageMaker's image API on a loopback port."),
    "status": ("image_history.cli.status", "Show how fresh each scope is; --max-age for monitoring."),
    "sync": ("image_history.cli.sync", "Read what changed at AWS and load it; the main job."),
}


@dataclass(frozen=True, slots=True)
class Globals:
    """The options that every verb takes. `verbosity` is -1 for -q, 0, 1 for -v, 2 for -vv."""

    config_path: Path | None = None
    warehouse: Path | None = None
    log_format: str = "text"
    verbosity: int = 0

    def config(self) -> Config:
        """The configuration, with --warehouse in place of its warehouse. Raises ConfigError."""
        import msgspec

        from image_history.config import load_config

        config = load_config(self.config_path, os.environ)
        if self.warehouse is None:
            return config
        return msgspec.structs.replace(config, warehouse=self.warehouse)


def _option(*names: str, **settings: Any) -> click.Option:
    """A global option: it changes `ctx.obj`, whether it stands before the verb or after it."""
    change: Callable[[Globals, Any], Globals] = settings.pop("change")

    def apply(context: click.Context, _: click.Parameter, value: Any) -> None:
        if value is not None and value != 0:
            context.obj = change(context.obj or Globals(), value)

    return click.Option(names, callback=apply, expose_value=False, **settings)


def global_options() -> list[click.Parameter]:
    """The options that the root and every verb take."""
    path = click.Path(path_type=Path)
    return [
        _option(
            "--config",
            type=path,
            metavar="FILE",
            help="Configuration; default ./config.yaml if it is there.",
            change=lambda old, value: replace(old, config_path=value),
        ),
        _option(
            "--warehouse",
            type=path,
            metavar="PATH",
            help="The DuckDB file, in place of the configured one.",
            change=lambda old, value: replace(old, warehouse=value),
        ),
        _option(
            "--log-format",
            type=click.Choice(["text", "json"]),
            help="How log lines on stderr look.",
            change=lambda old, value: replace(old, log_format=value),
        ),
        _option(
            "-v",
            "--verbose",
            count=True,
            help="Log more: -v each step, -vv each page, and tracebacks.",
            change=lambda old, value: replace(old, verbosity=max(old.verbosity, 0) + value),
        ),
        _option(
            "-q",
            "--quiet",
            is_flag=True,
            default=None,
            help="Log errors only, and show no progress.",
            change=lambda old, _: replace(old, verbosity=-1),
        ),
    ]


class Verb(click.Command):
    """A verb, which accepts the global options after its name as well as before it."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.params = [*self.params, *global_options()]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; UsageError explains a removed option or a missing argument."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if error.option_name not in _GONE:
                raise
            raise click.UsageError(f"{error.option_name} is gone. {_GONE[error.option_name]}", ctx) from error
        except click.MissingParameter as error:
            meaning = getattr(error.param, "help", None)
            if not meaning:
                raise
            raise click.UsageError(f"{error.format_message().rstrip('.')}: {meaning}", ctx) from error

    def invoke(self, ctx: click.Context) -> Any:
        """Configure logging, then run."""
        from image_history.cli.logs import configure

        ctx.obj = ctx.obj or Globals()
        configure(ctx.obj.log_format, ctx.obj.verbosity)
        try:
            return super().invoke(ctx)
        except EOFError as error:
            # click would treat it as Ctrl-C.
            raise ConnectorError(
                "Standard input ended before the question on it was answered; nothing was interrupted."
            ) from error


class Root(click.Group):
    """The root command; imports a verb only to run it or to show its own help."""

    def list_commands(self, _: click.Context) -> list[str]:
        """The verbs' names."""
        return sorted(VERBS)

    def get_command(self, _: click.Context, name: str) -> click.Command | None:
        """Import a verb."""
        if name not in VERBS:
            return None
        command: click.Command = import_module(VERBS[name][0]).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb; the UsageError for an unknown name suggests the nearest one."""
        name = args[0] if args else ""
        if name in _GONE:
            raise click.UsageError(f"The verb {name} is gone. {_GONE[name]}", ctx)
        if name not in VERBS and not name.startswith("-"):
            near = difflib.get_close_matches(name, VERBS, n=1, cutoff=0.5)
            hint = f" Did you mean {near[0]}?" if near else f" The verbs are {', '.join(sorted(VERBS))}."
            raise click.UsageError(f"There is no verb {name}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The verbs and options that begin with the typed text, without importing a verb."""
        from click.shell_completion import CompletionItem

        found = [
            CompletionItem(name, help=VERBS[name][1]) for name in sorted(VERBS) if name.startswith(incomplete)
        ]
        return found or click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing them."""
        with formatter.section("Verbs"):
            formatter.write_dl([(name, VERBS[name][1]) for name in sorted(VERBS)])


root = Root(
    name=PROGRAM,
    params=[
        *global_options(),
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            help="Show the version.",
            callback=lambda context, _, wanted: _show_version(context, wanted=wanted),
        ),
    ],
    help="Amazon SageMaker image versions, with a history, in DuckDB and Parquet.",
    epilog="Exit codes: 0 ok, 1 unexpected, 2 usage or configuration, 3 no credentials or permission, "
    "4 partial, 5 warehouse locked, 6 AWS unreachable or throttled, 7 another sync is running, "
    "8 stale, 9 too many deletions at once, 130/143 interrupted. After 4 to 7, 130 "
    "and 143 nothing is lost: run sync again.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _show_version(context: click.Context, *, wanted: bool) -> None:
    if wanted:
        click.echo(f"{PROGRAM} {__version__}")
        context.exit()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line, and end the process at once with its exit code.

    A normal exit would wait for threads whose call hangs, and then free memory that the operating system frees as
    well, which takes a thirtieth of the time of a sync of a hundred thousand rows. No exit handler is needed.
    """
    open_standard_streams()
    trim_process()
    code = run(sys.argv[1:] if arguments is None else arguments)
    os._exit(_flushed(code))


def _flushed(code: int) -> int:
    """Flush the output and return the exit code: another one if stdout cannot be written."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        code = _BROKEN_PIPE
    except OutputError as error:
        # The text that could not be written is still buffered: what was reported once is not reported again.
        code = code if code == error.exit_code else complain(error.message, error.exit_code)
    with suppress(OSError):
        if sys.stderr is not None:
            sys.stderr.flush()
    return code


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code; an error is one sentence on stderr."""
    os.umask(0o077)
    if COMPLETE in os.environ:
        # Registers our completion for bash.
        import_module("image_history.cli.completion")
    try:
        result = root.main([*arguments], prog_name=PROGRAM, standalone_mode=False, obj=None)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.ClickException as error:
        return _misused(error)
    except (click.Abort, KeyboardInterrupt):
        return complain("Interrupted.", 130)
    except SystemExit as leaving:
        # click exits so after a completion, and if the reader of a pipe is gone; verbs return their exit code.
        return int(leaving.code or 0) if COMPLETE in os.environ else _BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 - the one place where the unexpected is caught
        return _failed(error)
    return result if isinstance(result, int) else 0


def _misused(error: click.ClickException) -> int:
    """Print click's message about a usage error, wrapped to the terminal."""
    with StringIO() as text:
        error.show(text)
        click.echo("\n".join(map(_fitted, text.getvalue().splitlines())), err=True)
    return error.exit_code


def remark(text: str) -> None:
    """Print a sentence on stderr, wrapped to its terminal."""
    click.echo(_fitted(printable(text)), err=True)


def _fitted(text: str) -> str:
    """The text, wrapped between words to the terminal on stderr, if there is one."""
    if sys.stderr is None or not sys.stderr.isatty():
        return text
    import textwrap

    try:
        width = os.get_terminal_size(sys.stderr.fileno()).columns
    except OSError:
        return text
    # The width is 0 if the terminal does not report one.
    return textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False) if width else text


def _failed(error: Exception) -> int:
    if isinstance(error, BrokenPipeError):
        return _BROKEN_PIPE
    if isinstance(error, ConnectorError):
        return complain(error.message, error.exit_code, {"error": type(error).__name__, **error.context})
    kind = type(error).__name__
    return complain(
        f"Unexpected {kind}: {error}. Please report this, with the traceback of -vv.", 1, {"error": kind}
    )


def complain(message: str, code: int, context: Mapping[str, object] | None = None) -> int:
    """Print on stderr why the process exits with `code`, as a log line if logs are JSON; returns `code`."""
    from image_history.cli.logs import as_json

    traceback_wanted = code != _BROKEN_PIPE and _wants_traceback()
    text = printable(without_secrets(message))
    if as_json():
        known = {name: _masked(value) for name, value in (context or {}).items()}
        extra = {"reason": text, "exit_code": code, **known}
        logging.getLogger(__name__).error("failed", extra=extra, exc_info=traceback_wanted)
        return code
    if traceback_wanted:
        import traceback

        sys.stderr.write(without_secrets(traceback.format_exc()))
    click.echo(_fitted(f"{PROGRAM}: {text}"), err=True)
    return code


def _masked(value: object) -> object:
    return without_secrets(value) if isinstance(value, str) else value


def _wants_traceback() -> bool:
    """Whether an exception is being handled and -vv was given, which sets the level DEBUG."""
    pages = logging.getLogger("image_history").isEnabledFor(logging.DEBUG)
    return pages and sys.exc_info()[0] is not None


def printable(text: str) -> str:
    """The text with spaces for control characters, which a terminal would interpret."""
    return "".join(character if character.isprintable() else " " for character in text)
