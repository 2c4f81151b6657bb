"""`image-history list`: one image's versions straight from AWS, with every parameter of boto3's paginator.

Must not know the warehouse, nor how pages are read or rows are written.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from image_history.cli import Globals, Verb, printable
from image_history.errors import (
    AccessDeniedError,
    ConfigError,
    ConnectorError,
    CredentialsError,
    ImageNotFoundError,
    ListingUnstableError,
    RequestRejectedError,
    SourceError,
)
from image_history.formats.writing import NAMES

if TYPE_CHECKING:
    import pyarrow as pa

    from image_history.cli.browse import Browse, Listing, ResumeToken
    from image_history.cli.delivery import Delivery
    from image_history.config import Config
    from image_history.extract.scopes import Target

COLUMNS = (
    "image_name",
    "version",
    "image_version_status",
    "failure_reason",
    "creation_time",
    "last_modified_time",
    "image_arn",
    "image_version_arn",
)
_SORT_KEYS = ("CREATION_TIME", "LAST_MODIFIED_TIME", "VERSION")
_SORT_ORDERS = ("ASCENDING", "DESCENDING")
_REPEAT_OPTIONS = (
    " A token goes on only with the options that it was made with, --page-size included, and it expires."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says; None where it says nothing."""

    image: str
    creation_time_after: int | None
    creation_time_before: int | None
    last_modified_time_after: int | None
    last_modified_time_before: int | None
    sort_by: str | None
    sort_order: str | None
    max_items: int | None
    page_size: int | None
    starting_token: str | None
    profile: str | None
    role_arn: str | None
    region: str | None
    format: str | None
    output: Path | None


class _Instant(click.ParamType[int]):
    """An instant of a time filter, as UTC epoch seconds."""

    name = "instant"

    def __init__(self, bound: str) -> None:
        self.bound = bound

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from image_history.cli.instants import Bound, parse_instant

        try:
            return parse_instant(value, Bound(self.bound), now=datetime.now(UTC))
        except ConfigError as error:
            self.fail(error.message, param, ctx)


_AFTER, _BEFORE = _Instant("after"), _Instant("before")


def _choice(names: tuple[str, ...]) -> click.Choice[str]:
    return click.Choice(names, case_sensitive=False)


@click.command("list", cls=Verb)
@click.argument("image")
@click.option("--creation-time-after", type=_AFTER, metavar="TIME", help="Created at TIME or later.")
@click.option("--creation-time-before", type=_BEFORE, metavar="TIME", help="Created at TIME or earlier.")
@click.option(
    "--last-modified-time-after", type=_AFTER, metavar="TIME", help="Last modified at TIME or later."
)
@click.option(
    "--last-modified-time-before", type=_BEFORE, metavar="TIME", help="Last modified at TIME or earlier."
)
@click.option("--sort-by", type=_choice(_SORT_KEYS), help="AWS's default: CREATION_TIME.")
@click.option("--sort-order", type=_choice(_SORT_ORDERS), help="AWS's default: DESCENDING.")
@click.option(
    "--max-items", type=click.IntRange(1), help="Stop after so many versions; prints a token to go on."
)
@click.option(
    "--page-size", type=click.IntRange(1, 100), help="Rows a call.  [default: page_size of the configuration]"
)
@click.option("--starting-token", metavar="TOKEN", help="Go on where a listing with --max-items ended.")
@click.option("--profile", help="Profile of the AWS configuration.")
@click.option("--role-arn", metavar="ARN", help="Role of the configuration, instead of a profile.")
@click.option("--region", help="AWS region.")
@click.option(
    "--format",
    type=click.Choice(list(NAMES)),
    help="How rows look.  [default: by the suffix of --output, else table]",
)
@click.option(
    "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write to FILE, whole or not at all."
)
@click.pass_obj
def command(shared: Globals, /, **given: Any) -> None:
    """List an image's versions straight from AWS; the warehouse is neither read nor written.

    TIME is ISO 8601 (UTC where it names no zone), seconds since 1970, or how long ago: 7d, 26h, 15m. AWS
    filters by whole seconds.

    Without --profile, --role-arn and --region it is the one account and region of the configuration.
    """
    from image_history.cli.browse import ResumeToken
    from image_history.cli.delivery import Delivery

    options = Options(**given)
    # All rows: --max-items is what limits them.
    delivery = Delivery.chosen(options.output, options.format, sys.maxsize)
    start = ResumeToken() if options.starting_token is None else ResumeToken.decode(options.starting_token)
    wanted, config = _wanted(options), shared.config()
    target = _target(options, config)
    try:
        listing = _listing(config, target, wanted, start=start, max_items=options.max_items)
    except ConnectorError as error:
        raise _translated(error, options, target) from error
    _deliver(_table(target, wanted, listing), listing.next_token, delivery)
    if listing.next_token is not None:
        click.echo(_note(listing.next_token, listing.page_size), err=True)


def _wanted(options: Options) -> Browse:
    from image_history.cli.browse import Browse

    return Browse(
        image_name=options.image,
        creation_time_after=options.creation_time_after,
        creation_time_before=options.creation_time_before,
        last_modified_time_after=options.last_modified_time_after,
        last_modified_time_before=options.last_modified_time_before,
        sort_by=options.sort_by,
        sort_order=options.sort_order,
        page_size=options.page_size,
    )


def _target(options: Options, config: Config) -> Target:
    from image_history.extract.choose import Choice, choose_target

    if options.profile is not None and options.role_arn is not None:
        raise ConfigError("--profile and --role-arn exclude each other: name one of the two.")
    choice = Choice(options.profile, options.role_arn, options.region)
    return choose_target(config.accounts, choice, config.organization)


def _listing(
    config: Config, target: Target, wanted: Browse, *, start: ResumeToken, max_items: int | None
) -> Listing:
    from image_history.cli.browse import browse, browse_from
    from image_history.extract.scopes import scope_calls
    from image_history.model import Stop

    calls = scope_calls(target, config, Stop())
    if wanted.page_size is not None:
        return browse(calls, wanted, start=start, max_items=max_items)
    return browse_from(calls, wanted, start=start, default_page_size=config.page_size, max_items=max_items)


def _table(target: Target, wanted: Browse, listing: Listing) -> pa.Table:
    from image_history.landing.rows import VersionPage, version_table
    from image_history.model import Scope, Stream

    # Which account it is nobody asked, and a listing doesn't say.
    stream = Stream(Scope("", target.region), wanted.image_name)
    page = VersionPage(stream, listing.rows, reading=1, page=1, t0_ms=0)
    return version_table([page]).select(COLUMNS)


def _translated(error: ConnectorError, options: Options, target: Target) -> ConnectorError:
    """What a failure of one stream is to somebody who asked for this stream alone."""
    if isinstance(error, ImageNotFoundError):
        return ConfigError(f"There is no image {options.image} for {target}; upper and lower case matter.")
    if isinstance(error, RequestRejectedError):
        hint = "" if options.starting_token is None else _REPEAT_OPTIONS
        return ConfigError(f"{error}{hint}", **error.context)
    if isinstance(error, AccessDeniedError):
        return CredentialsError(f"{error} Allow sagemaker:ListImageVersions.", **error.context)
    if isinstance(error, ListingUnstableError):
        return SourceError(error.message, **error.context)
    return error


def _note(token: str, page_size: int | None) -> str:
    aws = "" if page_size is None else f" with --page-size {page_size}"
    return (
        "More versions follow: repeat the command with --starting-token (the AWS CLI and boto3 take the "
        f"token too,{aws} and the same filters and order).\n"
        f"next token: {token}"
    )


def _deliver(table: pa.Table, next_token: str | None, delivery: Delivery) -> None:
    """Write the rows; JSON is one object that holds the token to go on with."""
    from image_history.formats import Format, as_rows

    if delivery.how is not Format.JSON:
        delivery.deliver(as_rows(table))
        return
    content = _json_object(table, next_token)
    if delivery.path is not None:
        _replace(delivery.path, content)
        return
    lines = content.decode().splitlines()
    click.echo("\n".join(map(printable, lines)) if sys.stdout.isatty() else content, nl=sys.stdout.isatty())


def _json_object(table: pa.Table, next_token: str | None) -> bytes:
    from image_history.formats import Format, as_rows, write_rows

    array = BytesIO()
    write_rows(as_rows(table), array, Format.JSON)
    token = "" if next_token is None else f',\n"NextToken": {json.dumps(next_token)}'
    return b'{"ImageVersions": ' + array.getvalue().rstrip() + token.encode() + b"}\n"


def _replace(path: Path, content: bytes) -> None:
    from image_history.formats import replaced_file

    with replaced_file(path) as file:
        file.write(content)
    click.echo(f"Wrote {len(content):,} bytes: {printable(str(path))}")
