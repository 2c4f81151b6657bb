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

from image_history.cli import Globals, Verb, offering, printable, remark
from image_history.cli.showing import require_none, shortened
from image_history.counting import counted
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
from image_history.formats.writing import FORMATS_HELP, NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from image_history.aws.bodies import Image
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
IMAGE_COLUMNS = (
    "image_name",
    "display_name",
    "image_status",
    "failure_reason",
    "creation_time",
    "last_modified_time",
    "description",
    "image_arn",
)
_MOST_NAMED = 8
# Options that have no meaning for a list of images.
_OF_VERSIONS = (
    "creation_time_after",
    "creation_time_before",
    "last_modified_time_after",
    "last_modified_time_before",
    "sort_by",
    "sort_order",
    "max_items",
    "page_size",
    "starting_token",
)
_SORT_KEYS = ("CREATION_TIME", "LAST_MODIFIED_TIME", "VERSION")
_SORT_ORDERS = ("ASCENDING", "DESCENDING")
_REPEAT_OPTIONS = (
    " A token goes on only with the options that it was made with, --page-size included, and it expires."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of the command line; None for each that was not given."""

    image: str | None
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
@click.argument("image", required=False, shell_complete=offering.images)
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
    "--max-items", type=click.IntRange(1), help="Stop after this many versions; prints a token to continue."
)
@click.option(
    "--page-size", type=click.IntRange(1, 100), help="Rows a call.  [default: page_size of the configuration]"
)
@click.option("--starting-token", metavar="TOKEN", help="Continue where a listing with --max-items ended.")
@click.option("--profile", help="Profile of the AWS configuration.")
@click.option("--role-arn", metavar="ARN", help="Role of the configuration, instead of a profile.")
@click.option("--region", help="AWS region.")
@click.option(
    "--format",
    type=click.Choice(list(NAMES)),
    metavar="FORMAT",
    help=f"{FORMATS_HELP}.  [default: by the suffix of --output, else table]",
)
@click.option("--json", "short", is_flag=True, help="Short for --format json.")
@click.option(
    "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write to FILE, whole or not at all."
)
@click.pass_obj
def command(shared: Globals, /, *, short: bool, **given: Any) -> None:
    """List an image's versions straight from AWS; the warehouse is neither read nor written.

    Without IMAGE: the images of the account and region.

    TIME is ISO 8601 (UTC where it names no zone), seconds since 1970, or how long ago: 7d, 26h, 15m. AWS
    filters by whole seconds.

    The default for --profile, --role-arn and --region is the one account and region of the configuration.
    """
    from image_history.cli.browse import ResumeToken
    from image_history.cli.delivery import Delivery

    options = Options(**{**given, "format": shortened(given["format"], short=short)})
    if options.image is None:
        _list_images(shared, options)
        return
    # All rows are delivered: --max-items limits how many are read.
    delivery = Delivery.chosen(options.output, options.format, sys.maxsize)
    start = ResumeToken() if options.starting_token is None else ResumeToken.decode(options.starting_token)
    wanted, config = _wanted(options), shared.config()
    target = _target(options, config)
    try:
        listing = _listing(config, target, wanted, start=start, max_items=options.max_items)
    except ConnectorError as error:
        raise _translated(error, options, target, config) from error
    _deliver(Answer("ImageVersions", _table(target, wanted, listing), listing.next_token), delivery)
    if listing.next_token is not None:
        remark(_note(listing.page_size))
        # On a line of its own, whole, so that it can be copied.
        click.echo(f"next token: {listing.next_token}", err=True)


def _list_images(shared: Globals, options: Options) -> None:
    """The images of the account and region, straight from AWS."""
    from image_history.cli.delivery import Delivery

    given = {name: getattr(options, name) for name in _OF_VERSIONS}
    require_none(given, "the versions of an image")
    delivery = Delivery.chosen(options.output, options.format, sys.maxsize)
    config = shared.config()
    try:
        images = _images(_target(options, config), config)
    except AccessDeniedError as error:
        raise CredentialsError(f"{error} Allow sagemaker:ListImages.", **error.context) from error
    _deliver(Answer("Images", _image_table(images)), delivery)


def _image_table(images: Sequence[Image]) -> pa.Table:
    import pyarrow as pa

    instant = pa.timestamp("ms", tz="UTC")
    kinds = {name: instant if name.endswith("_time") else pa.string() for name in IMAGE_COLUMNS}
    rows = [
        {
            "image_name": image.ImageName,
            "display_name": image.DisplayName,
            "image_status": image.ImageStatus,
            "failure_reason": image.FailureReason,
            "creation_time": round(image.CreationTime * 1000),
            "last_modified_time": round(image.LastModifiedTime * 1000),
            "description": image.Description,
            "image_arn": image.ImageArn,
        }
        for image in sorted(images, key=lambda image: image.ImageName)
    ]
    return pa.Table.from_pylist(rows, pa.schema(kinds))


def _images(target: Target, config: Config) -> Sequence[Image]:
    from image_history.extract.discovery import discover
    from image_history.extract.scopes import scope_calls
    from image_history.listing.request import ImageFilter
    from image_history.model import Stop

    return discover(scope_calls(target, config, Stop()), ImageFilter()).images


def _wanted(options: Options) -> Browse:
    from image_history.cli.browse import Browse

    return Browse(
        image_name=options.image or "",
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

    # The account is not known: it was not looked up, and a listing does not contain it.
    stream = Stream(Scope("", target.region), wanted.image_name)
    page = VersionPage(stream, listing.rows, reading=1, page=1, t0_ms=0)
    return version_table([page]).select(COLUMNS)


def _translated(error: ConnectorError, options: Options, target: Target, config: Config) -> ConnectorError:
    """The error of a command that reads one image only, for a failure of its listing."""
    if isinstance(error, ImageNotFoundError):
        return ConfigError(
            f"There is no image {options.image} for {target}{_nearest(options, target, config)}."
        )
    if isinstance(error, RequestRejectedError):
        hint = "" if options.starting_token is None else _REPEAT_OPTIONS
        return ConfigError(f"{error}{hint}", **error.context)
    if isinstance(error, AccessDeniedError):
        return CredentialsError(f"{error} Allow sagemaker:ListImageVersions.", **error.context)
    if isinstance(error, ListingUnstableError):
        return SourceError(error.message, **error.context)
    return error


def _nearest(options: Options, target: Target, config: Config) -> str:
    """A hint with the nearest names of images; a reminder about case if AWS does not list them."""
    import difflib

    try:
        names = [image.ImageName for image in _images(target, config)]
    except ConnectorError:
        return "; upper and lower case matter"
    lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches((options.image or "").lower(), lower, 3, 0.4)
    if near:
        return f"; the nearest: {', '.join(lower[name] for name in near)}"
    if len(names) <= _MOST_NAMED:
        return f"; there are: {', '.join(sorted(names))}" if names else "; there is none at all"
    return f"; there are {counted(len(names), 'image')}: image-history list without a name shows them"


def _note(page_size: int | None) -> str:
    pages = "" if page_size is None else f"--page-size {page_size} and "
    return (
        "More versions follow: repeat the command with --starting-token (the AWS CLI and boto3 take the "
        f"token too, with {pages}the same filters and order)."
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows, the name that AWS gives them in its answer, and the token to continue with."""

    name: str
    rows: pa.Table
    next_token: str | None = None


def _deliver(answer: Answer, delivery: Delivery) -> None:
    """Write the rows; JSON is one object that also has the token to continue with."""
    from image_history.formats import Format, as_rows

    if delivery.how is not Format.JSON:
        delivery.deliver(as_rows(answer.rows))
        return
    content = _json_object(answer)
    if delivery.path is not None:
        _replace(delivery.path, content)
        return
    lines = content.decode().splitlines()
    click.echo("\n".join(map(printable, lines)) if sys.stdout.isatty() else content, nl=sys.stdout.isatty())


def _json_object(answer: Answer) -> bytes:
    from image_history.formats import Format, as_rows, write_rows

    array = BytesIO()
    write_rows(as_rows(answer.rows), array, Format.JSON)
    token = "" if answer.next_token is None else f',\n"NextToken": {json.dumps(answer.next_token)}'
    return f'{{"{answer.name}": '.encode() + array.getvalue().rstrip() + token.encode() + b"}\n"


def _replace(path: Path, content: bytes) -> None:
    from image_history.formats import replaced_file

    with replaced_file(path) as file:
        file.write(content)
    click.echo(f"Wrote {len(content):,} bytes: {printable(str(path))}")
