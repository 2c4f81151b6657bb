"""`image-history demo`: the main job on a simulated AWS, from the first sync to a question about the past.

Must not know how a sync or a query works: it calls them as the verbs do.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from image_history.cli import Verb
from image_history.cli.showing import say
from image_history.counting import counted
from image_history.durable.disk import make_folder
from image_history.durable.effects import Effect, File, fault_point
from image_history.errors import ConfigError
from image_history.warehouse.statements import statement

if TYPE_CHECKING:
    from image_history.config import Config
    from image_history.simulator import Simulator

_SEED = 2026
_IMAGES = 44
_VERSIONS = 48
_LARGEST = 1_250
_PASSING_MS = 6 * 3_600_000
# The folder of the demo with --open and without --keep.
_FOLDER = "image-history-demo"
_NEXT = (
    ("image-history check", "what keeps your own AWS account from being read"),
    ("image-history sync", "read it, into ./image-history.duckdb"),
    ("image-history init", "a commented config.yaml, for more accounts"),
)


@dataclass(frozen=True, slots=True)
class _Changes:
    """What happens to the simulated account between the two syncs."""

    touched: tuple[tuple[str, int], ...]
    failed: tuple[str, int]
    created: tuple[tuple[str, int], ...]
    deleted: tuple[str, int]

    def lines(self) -> Iterator[str]:
        """The changes in words."""
        yield f"{counted(len(self.created), 'version is', 'versions are')} built: " + ", ".join(
            f"{n}:{v}" for n, v in self.created
        )
        yield f"{counted(len(self.touched), 'version is', 'versions are')} changed: " + ", ".join(
            f"{n}:{v}" for n, v in self.touched
        )
        yield f"1 version fails: {self.failed[0]}:{self.failed[1]}"
        yield f"1 version is deleted: {self.deleted[0]}:{self.deleted[1]}"


@click.command("demo", cls=Verb)
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Keep the warehouse and its report in FOLDER; otherwise they are removed.",
)
@click.option(
    "--open",
    "opens",
    is_flag=True,
    help=f"Open the report in a browser; without --keep, FOLDER is {_FOLDER}.",
)
def command(keep: Path | None, *, opens: bool) -> None:
    """See the main job at work: no AWS account, no credentials, no configuration.

    Starts the simulator on a loopback port, syncs, lets six hours pass in the simulated account, syncs again, and
    queries the warehouse, for the present and the past.
    """
    from image_history.config import Config, Rate
    from image_history.simulator import Simulator, VirtualClock, generate

    clock = VirtualClock()
    clock.set(clock.now_ms() - _PASSING_MS)
    world = generate(_SEED, images=_IMAGES, versions_per_image=_VERSIONS, largest=_LARGEST, clock=clock)
    with ExitStack() as stack:
        folder = _folder(stack, Path(_FOLDER) if opens and keep is None else keep)
        simulator = stack.enter_context(Simulator(world))
        stack.enter_context(_environment(simulator.environment()))
        config = Config(
            warehouse=folder / "image-history.duckdb",
            rate=Rate(list_per_second=10_000, describe_per_second=10_000),
        )
        _perform(config, simulator)
        if opens or keep is not None:
            _report(config, opens=opens)
    _say_what_next(config if opens or keep is not None else None)


def _perform(config: Config, simulator: Simulator) -> None:
    count = len(simulator.world.truth())
    _heading(f"A simulated AWS account with {_IMAGES} images and {count:,} image versions")
    say(f"  It answers boto3 at {simulator.url}, on this machine only.")
    _heading("First sync: image-history sync")
    _sync(config)
    changes = _let_time_pass(simulator)
    _heading("Six hours pass")
    for line in changes.lines():
        say(f"  {line}")
    _heading("Second sync: only what changed is written")
    _sync(config)
    image, version = changes.deleted
    _ask(config, "What is there now?", statement("demo/now"), {})
    _ask(config, "What did the last sync learn?", statement("demo/learned"), {})
    _ask(
        config,
        f"What was {image}:{version}, which AWS no longer lists?",
        statement("demo/past"),
        {"image": image, "version": str(version)},
    )
    _heading(f"How is that known? image-history log {image} --version {version}")
    _log(config, image, version)


def _log(config: Config, image: str, version: int) -> None:
    from image_history.cli.log import Wanted, found
    from image_history.warehouse.reports import reading
    from image_history.warehouse.warehouse import WarehouseFile

    with reading(WarehouseFile(config.warehouse)) as reports:
        log = found(reports, Wanted(image=image, version=version))
    log.print("table")


def _report(config: Config, *, opens: bool) -> None:
    from image_history.publish.reporting import rendered, write_report
    from image_history.report import Selection
    from image_history.warehouse.warehouse import WarehouseFile

    path = config.warehouse.with_name("report.html").absolute()
    write_report(rendered(WarehouseFile(config.warehouse), Selection()), str(path))
    _heading("All of it to look at: image-history report")
    say(f"  {path}")
    if opens and click.launch(path.as_uri()):
        say("  No browser could be opened here: open that file yourself.")


def _say_what_next(kept: Config | None) -> None:
    _heading("What next?")
    if kept is None:
        _suggest("image-history demo --open", "the same, with a report to look at")
    else:
        say(f"  image-history --warehouse {kept.warehouse} shell")
    for command, meaning in _NEXT:
        _suggest(command, meaning)


def _suggest(command: str, meaning: str) -> None:
    """A command with what it is for: beside it, or below it where a terminal is too narrow."""
    line = f"  {command:<25}  {meaning}"
    if sys.stdout.isatty() and len(line) > shutil.get_terminal_size().columns:
        say(f"  {command}")
        say(f"      {meaning}")
    else:
        say(line)


def _folder(stack: ExitStack, keep: Path | None) -> Path:
    try:
        if keep is None:
            fault_point(Effect.MAKE_FOLDER, File.DEMO)
            return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="image-history-demo-")))
        make_folder(keep, File.DEMO, parents=True, exist_ok=True)
    except OSError as error:
        where = "a temporary folder" if keep is None else f"the folder {keep}"
        raise ConfigError(f"Cannot make {where}: {error.strerror}; name one with --keep.") from error
    return keep


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Set AWS's variables for the length of the demo, in place of all of the user's own."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _heading(text: str) -> None:
    click.echo()
    if sys.stdout.isatty():
        from image_history.cli import rendering

        rendering.say(text, rendering.console(), "bold")
    else:
        click.echo(text)


def _sync(config: Config) -> None:
    from image_history.cli.progress import progress
    from image_history.cli.reports import print_report
    from image_history.run.pipeline import sync

    with progress(quiet=False) as watcher:
        report = sync(config, progress=watcher)
    print_report(report)


def _let_time_pass(simulator: Simulator) -> _Changes:
    """Change the world: 3 versions built, 4 changed, 1 failed, 1 deleted."""
    world = simulator.world
    simulator.clock.advance(_PASSING_MS)
    names = sorted({row.image_name for row in world.truth()})
    counts = {name: sum(row.image_name == name for row in world.truth()) for name in names}
    largest = max(names, key=lambda name: counts[name])
    created = tuple((name, world.create_version(name)) for name in (largest, names[3], names[8]))
    touched = tuple((name, counts[name] // 2) for name in (names[2], names[5], names[13], names[21]))
    for name, version in touched:
        world.update_version(name, version)
    failed = (
        names[30],
        world.create_version(names[30], failure_reason="The image has no Python: exit code 127"),
    )
    deleted = (names[17], counts[names[17]] // 3)
    world.delete_version(*deleted)
    return _Changes(touched, failed, created, deleted)


def _ask(config: Config, heading: str, sql: str, parameters: Mapping[str, str]) -> None:
    from image_history.cli.delivery import Delivery
    from image_history.warehouse.asking import QueriedWarehouse, asking
    from image_history.warehouse.saved import Question

    _heading(heading)
    click.echo(f"{_shown(sql)}\n")
    with asking(QueriedWarehouse(config.warehouse), Question(sql, parameters)) as rows:
        Delivery.chosen(None, "table", None).deliver(rows)


def _shown(sql: str) -> str:
    """The statement without its header, indented."""
    lines = [line for line in sql.strip().splitlines() if not line.startswith("--")]
    return "\n".join(f"  {line}" for line in lines)
