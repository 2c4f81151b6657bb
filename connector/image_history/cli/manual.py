"""`image-history manual`: the manual page, written from the verbs and options themselves.

Must not know what a verb does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib import import_module

import click

from image_history.cli import PROGRAM, VERBS, Globals, Verb, global_options, root
from image_history.version import __version__


@click.command("manual", cls=Verb)
@click.pass_obj
def command(_: Globals) -> None:
    """Print the manual page, as `man -l -` shows it."""
    click.echo(page(), nl=False)


def page() -> str:
    """The manual page, in roff's man macros."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield f'.TH {PROGRAM.upper()} 1 "" "{PROGRAM} {__version__}" "User Commands"'
    yield from (".SH NAME", f"{PROGRAM} \\- {_text(_decapitalized(root.help or ''))}")
    yield from (".SH SYNOPSIS", f".B {_text(PROGRAM)}", "[OPTION]... VERB [ARGUMENT]...")
    yield from (".SH OPTIONS", "Before or after the verb:")
    yield from _options(root.params)
    yield ".SH VERBS"
    # Not --version, which is the root's alone: that of log is another option.
    shared = {name for parameter in global_options() for name in parameter.opts} | {"--help"}
    for name in sorted(VERBS):
        yield from _verb(name, shared)
    yield from (".SH EXIT STATUS", *_paragraphs((root.epilog or "").removeprefix("Exit codes: ")))
    yield from (
        ".SH ENVIRONMENT",
        "Every setting of the configuration, as in IMAGE_HISTORY_RATE__LIST_PER_SECOND;",
    )
    yield "AWS's own variables, as in every program that uses boto3."
    yield from (".SH FILES", ".TP", "config.yaml", "The configuration; see", f".B {_text(PROGRAM)} init.")
    yield from (".TP", "image\\-history.duckdb", "The warehouse, unless another one is configured.")


def _decapitalized(text: str) -> str:
    return text.rstrip(".")


def _verb(name: str, shared: set[str]) -> Iterator[str]:
    verb: click.Command = import_module(VERBS[name][0]).command
    context = click.Context(verb, info_name=name)
    usage = " ".join(verb.collect_usage_pieces(context))
    yield from (f".SS {name}", f".B {_text(f'{PROGRAM} {name} {usage}')}")
    yield ".PP"
    yield from _paragraphs(verb.help or "")
    yield from _options(
        each for each in verb.params if not shared & set(each.opts) or each.name == "of_config"
    )


def _options(parameters: Iterable[click.Parameter]) -> Iterator[str]:
    for parameter in parameters:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            record = parameter.get_help_record(click.Context(root))
            names, meaning = record if record is not None else ("", "")
            yield from (".TP", f".B {_text(names)}", _text(" ".join(meaning.split())))


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(re.split(r"\n\s*\n", text.strip())):
        if number:
            yield ".PP"
        if paragraph.lstrip().startswith("\b"):
            lines = [line.strip() for line in paragraph.replace("\b", "").strip().splitlines()]
            yield from (".nf", *map(_text, lines), ".fi")
        else:
            yield _text(" ".join(paragraph.split()))


def _text(text: str) -> str:
    """The text escaped for roff: no escape, no request at the beginning of a line, no typographic dash."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
