"""`image-history simulate`: SageMaker's image API on a loopback port, until it is stopped.

Must not know how the simulator works, only how to start it and what to show its user.
"""

from __future__ import annotations

import shlex
import signal
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from image_history.cli import Verb
from image_history.counting import counted
from image_history.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from image_history.simulator import Behaviour, Script, Simulator, World

_DEFAULTS = {"seed": 0, "images": 40, "versions": 75, "largest": 1200}
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of the command line; None for each that was not given."""

    port: int
    seed: int | None
    images: int | None
    versions: int | None
    largest: int | None
    account: tuple[str, ...]
    region: tuple[str, ...]
    world: Path | None
    script: Path | None
    faults: Path | None
    tokens: str
    token_lifetime: int | None
    page_then_filter: bool
    filters: str
    ties: str
    lowercase_arns: bool
    arn_none: bool
    alias_bumps: bool
    list_lag: int
    latency: float
    rate: float | None
    describe_rate: float | None
    create_ms: int
    delete_ms: int
    print_env: bool


@click.command("simulate", cls=Verb)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port on 127.0.0.1; 0 for a free one.")
@click.option("--seed", type=int, help="Another seed makes another world.  [default: 0]")
@click.option("--images", type=click.IntRange(0), help="Images in each account and region.  [default: 40]")
@click.option("--versions", type=click.IntRange(0), help="Versions of each image.  [default: 75]")
@click.option("--largest", type=click.IntRange(0), help="Versions of the first image.  [default: 1200]")
@click.option("--account", multiple=True, help="Account id of twelve digits; repeatable.")
@click.option("--region", multiple=True, help="Region; repeatable.")
@click.option("--world", type=_FILE, help="Load the world from a .json or .csv file instead.")
@click.option("--script", type=_FILE, help="Change the world as this JSON file says.")
@click.option("--faults", type=_FILE, help="Break answers and connections as this JSON file says.")
@click.option(
    "--tokens",
    type=click.Choice(["keyset", "offset", "snapshot"]),
    default="keyset",
    show_default=True,
    help="What a NextToken holds: the last key, a number of rows, or a copy of the result.",
)
@click.option("--token-lifetime", type=click.IntRange(0), default=86_400, help="Seconds; 86400 if left out.")
@click.option("--page-then-filter", is_flag=True, help="Filter within pages, which may then be empty.")
@click.option(
    "--filters",
    type=click.Choice(["inclusive", "exclusive", "ignored"]),
    default="inclusive",
    show_default=True,
    help="What the four time filters do at their bounds.",
)
@click.option(
    "--ties",
    type=click.Choice(["ascending", "descending", "shuffled"]),
    default="ascending",
    show_default=True,
    help="Order of versions with equal times.",
)
@click.option("--lowercase-arns", is_flag=True, help="Write names in ARNs in lower case.")
@click.option("--arn-none", is_flag=True, help="Write every ImageVersionArn as the text None.")
@click.option("--alias-bumps", is_flag=True, help="Let a moved alias touch LastModifiedTime.")
@click.option("--list-lag", type=click.IntRange(0), default=0, help="Milliseconds that lists lag behind.")
@click.option("--latency", type=click.FloatRange(0), default=0, help="Milliseconds before each answer.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="List calls a second and scope.")
@click.option("--describe-rate", type=click.FloatRange(0, min_open=True), help="Describe calls a second.")
@click.option(
    "--create-ms", type=click.IntRange(0), default=370, show_default=True, help="Milliseconds in CREATING."
)
@click.option(
    "--delete-ms", type=click.IntRange(0), default=2000, show_default=True, help="Milliseconds in DELETING."
)
@click.option("--print-env", is_flag=True, help="Print only KEY=VALUE lines, for programs.")
def command(**given: Any) -> None:
    """Serve SageMaker's image API on this machine.

    For boto3, the AWS CLI and your own tests: no AWS account is needed, and nothing leaves the machine.
    Ctrl-C ends it.
    """
    options = Options(**given)
    stopped = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stopped.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        with _simulator(options) as simulator:
            click.echo(_environment(simulator) if options.print_env else _welcome(simulator))
            stopped.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _simulator(options: Options) -> Simulator:
    from image_history.simulator import Simulator, read_faults

    simulator = Simulator(
        _world(options), behaviour=_behaviour(options), port=options.port, script=_script(options.script)
    )
    simulator.faults = () if options.faults is None else read_faults(options.faults)
    return simulator


def _world(options: Options) -> World:
    from image_history.simulator import generate, load_world

    shape = {name: getattr(options, name) for name in _DEFAULTS}
    if options.world is not None:
        given = [name for name in (*shape, "account", "region") if getattr(options, name) not in (None, ())]
        if given:
            raise ConfigError(f"--world brings its own world, so --{given[0]} has no meaning; leave one out")
        return load_world(options.world)
    chosen = {name: _DEFAULTS[name] if value is None else value for name, value in shape.items()}
    return generate(
        chosen["seed"],
        accounts=options.account or 1,
        regions=options.region or 1,
        images=chosen["images"],
        versions_per_image=chosen["versions"],
        largest=chosen["largest"],
    )


def _behaviour(options: Options) -> Behaviour:
    from image_history.simulator import Behaviour

    return Behaviour(
        tokens=options.tokens,  # type: ignore[arg-type]  # one of click's choices
        token_lifetime_seconds=options.token_lifetime,
        filtering="page_then_filter" if options.page_then_filter else "filter_then_page",
        filters=options.filters,  # type: ignore[arg-type]  # as above
        tie_order=options.ties,  # type: ignore[arg-type]  # as above
        lowercase_arns=options.lowercase_arns,
        arn_none=options.arn_none,
        alias_bumps_last_modified=options.alias_bumps,
        list_lag_ms=options.list_lag,
        latency_ms=options.latency,
        list_per_second=options.rate,
        describe_per_second=options.describe_rate,
        create_ms=options.create_ms,
        delete_ms=options.delete_ms,
    )


def _script(path: Path | None) -> Script | None:
    from image_history.simulator import Script

    return None if path is None else Script.read(path)


def _environment(simulator: Simulator) -> str:
    return "\n".join(f"{name}={value}" for name, value in simulator.environment().items())


def _welcome(simulator: Simulator) -> str:
    scopes = simulator.world.scopes
    accounts = sorted({scope.account_id for scope in scopes})
    images = simulator.world.image_truth()
    versions = sum(image.version_count for image in images)
    lines = [
        f"SageMaker's image API is simulated at {simulator.url}",
        f"{counted(len(images), 'image')} and {counted(versions, 'version')} in {', '.join(map('/'.join, scopes))}",
    ]
    for account_id in accounts:
        region = next(scope.region for scope in scopes if scope.account_id == account_id)
        lines += ["", f"# boto3 and the AWS CLI as account {account_id}"]
        lines += _exports(simulator.environment(account_id, region))
    lines += ["", "# the truth, the counters, and changes to the world"]
    lines += [
        f"curl {simulator.url}/_admin/{page}"
        for page in ("health", "truth", "counters", "behaviour", "faults", "clock")
    ]
    first = images[0].image_name if images else "IMAGE"
    action = f'{{"do": "create_version", "image": "{first}"}}'
    lines += [f"curl {simulator.url}/_admin/actions --data {shlex.quote(action)}", "", "Ctrl-C ends it."]
    return "\n".join(lines)


def _exports(environment: Mapping[str, str]) -> list[str]:
    return [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
