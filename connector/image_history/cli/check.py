"""`image-history check`: whether a sync can run, and how to fix each problem.

Must not know how anything is checked.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from image_history.cli import Globals, Verb, offering, remark
from image_history.cli.showing import Sheet, document_option, print_document, say, show
from image_history.counting import counted
from image_history.errors import ConfigError

if TYPE_CHECKING:
    from image_history.checking.results import Result
    from image_history.config import Config

# If a check succeeded more often than this, its results are shown as one line.
_SHOWN_EACH = 8
_NEEDS_TOO = {
    "caller": "The identity that assumes the roles needs another policy",
    "publisher": "The identity that publishes to S3 and Glue needs another policy",
}
_WHO = ("reader", "caller", "publisher")


@click.command("check", cls=Verb)
@click.option(
    "--emit-policy",
    "policy",
    type=click.Choice(_WHO),
    is_flag=False,
    flag_value="reader",
    help="Print the least IAM policy: of the reader, of the caller of its roles, or of the publisher to S3.",
)
@click.option("--probe", is_flag=True, help="Observe how AWS behaves where it is not documented; only reads.")
@click.option(
    "--image",
    metavar="NAME",
    shell_complete=offering.images,
    help="The image to probe.  [default: one with many versions]",
)
@click.option(
    "--scope",
    metavar="ACCOUNT/REGION",
    shell_complete=offering.scopes,
    help="The scope to probe.  [default: the first one]",
)
@click.option(
    "--watch",
    metavar="DURATION",
    help="Wait this long for a version to be created or updated, and then observe more.",
)
@click.option(
    "--strict", is_flag=True, help="Exit with 4 if there is a warning: a problem that a sync can run with."
)
@document_option
@click.pass_obj
def command(
    shared: Globals, /, *, policy: str | None, probe: bool, strict: bool, as_json: bool, **chosen: Any
) -> int:
    """Check credentials, permissions, clock, warehouse, landing folder and disk; nothing is written anywhere.

    Each operation that a sync needs is called once in each scope, with the cheapest request. The exit code is 0
    if nothing failed (warnings count only with --strict), else that of the worst failure.
    """
    if policy is not None:
        return _emit_policy(shared.config(), policy)
    if probe:
        from image_history.cli.probing import ProbeOptions, probe_and_print

        return probe_and_print(shared.config(), ProbeOptions(**chosen), as_json=as_json)
    if any(value is not None for value in chosen.values()):
        raise click.UsageError("--image, --scope and --watch go with --probe.")
    from image_history.checking.results import exit_code

    results = _results(shared)
    code = exit_code(results, strict=strict)
    if as_json:
        print_document(document(results, code))
    else:
        _print(results, code)
    return code


def _results(shared: Globals) -> tuple[Result, ...]:
    from image_history.checking.beside import look_beside
    from image_history.checking.hinting import look_at_hints
    from image_history.checking.lakes import look_at_lakes
    from image_history.checking.local import look_here
    from image_history.checking.receivers import look_at_receivers
    from image_history.checking.remote import find_and_look
    from image_history.checking.results import ok
    from image_history.checking.targets import look_at_targets

    try:
        config = shared.config()
    except ConfigError as error:
        return (_wrong(error),)
    here = look_here(config)
    return (
        ok("configuration", "settings", "can be read"),
        *find_and_look(config, here.knowledge),
        *here.results,
        *look_at_targets(config),
        *look_at_lakes(config),
        *look_at_hints(config, here.knowledge),
        *look_at_receivers(config),
        *look_beside(config),
    )


def _wrong(error: ConfigError) -> Result:
    from image_history.checking.results import failed

    fix = "Correct that, and check again; image-history schema --config describes every setting."
    return failed("configuration", "settings", error.message, fix=fix, exit_code=error.exit_code)


def _print(results: Sequence[Result], code: int) -> None:
    from image_history.checking.results import Level

    order = {Level.OK: 2, Level.WARNING: 1, Level.FAILED: 0}
    troubles = sorted((each for each in results if each.fix is not None), key=lambda each: order[each.level])
    show(Sheet(("check", "where", "result", "found"), list(_lines(results)), all_by="--json"))
    for each in troubles:
        click.echo()
        say(f"{each.level.value}: {each.check} of {each.where}: {each.message}")
        say(f"fix: {each.fix}")
    click.echo()
    say(_verdict(results, code))


def _lines(results: Sequence[Result]) -> Iterator[tuple[str, str, str, str]]:
    """A line for each result; one line for a check that succeeded in very many scopes."""
    from image_history.checking.results import Level

    well = Counter(each.check for each in results if each.level is Level.OK)
    summarized: set[str] = set()
    for each in results:
        if each.level is not Level.OK or well[each.check] <= _SHOWN_EACH:
            yield each.check, _from_here(each.where), each.level.value, _brief(each)
        elif each.check not in summarized:
            summarized.add(each.check)
            yield (
                each.check,
                f"{well[each.check]:,} times",
                each.level.value,
                "all are ok; --json names them",
            )


def _from_here(where: str) -> str:
    """A path below the working directory, relative to it, which leaves more room."""
    here = f"{Path.cwd()}{os.sep}"
    return where.removeprefix(here) if len(where) > len(here) else where


def _brief(result: Result) -> str:
    return result.message if result.fix is None else "see below"


def _verdict(results: Sequence[Result], code: int) -> str:
    from image_history.checking.results import Level

    failures = sum(each.level is Level.FAILED for each in results)
    warnings = sum(each.level is Level.WARNING for each in results)
    warned = f" {counted(warnings, 'warning')}." if warnings else ""
    if not failures:
        return f"A sync can run.{warned}" + (f" Exit code {code} (--strict)." if code else "")
    return f"{counted(failures, 'check')} failed; exit code {code}."


def document(results: Sequence[Result], code: int) -> dict[str, object]:
    """The results as one JSON document."""
    from dataclasses import asdict

    return {"exit_code": code, "checks": [asdict(each) for each in results]}


def _emit_policy(config: Config, who: str) -> int:
    import json

    from image_history.checking.needed import others, policy_of_caller, policy_of_publisher, policy_of_reader

    policies = {"reader": policy_of_reader, "caller": policy_of_caller, "publisher": policy_of_publisher}
    click.echo(json.dumps(policies[who](config), indent=2))
    if who == "reader":
        for other in others(config):
            remark(f"{_NEEDS_TOO[other]}: image-history check --emit-policy={other}")
    return 0
