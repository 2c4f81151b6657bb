"""`image-history check --probe`: how AWS behaves where it is not documented, as a table or as JSON to send us.

Must not know how that is found out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click

from image_history.cli import remark
from image_history.cli.showing import Sheet, print_document, say, show
from image_history.counting import counted
from image_history.version import __version__

if TYPE_CHECKING:
    from image_history.checking.probe import Observation
    from image_history.checking.subject import Subject
    from image_history.config import Config
    from image_history.model import Calls
    from image_history.warehouse.loader import Knowledge


@dataclass(frozen=True, slots=True)
class ProbeOptions:
    """The options of a probe; None for each that was not given."""

    image: str | None = None
    scope: str | None = None
    watch: str | None = None


def probe_and_print(config: Config, options: ProbeOptions, *, as_json: bool) -> int:
    """Run the experiments and print their observations. Raises what a refused scope or image raises."""
    from image_history.checking.choosing import choose
    from image_history.checking.probe import observe
    from image_history.checking.watching import Wait, watch
    from image_history.config import parse_duration
    from image_history.model import Stop

    stop = Stop()
    wait = None if options.watch is None else Wait(parse_duration(options.watch).total_seconds(), stop)
    subject = choose(config, _knowledge(config), image=options.image, scope=options.scope, stop=stop)
    observations = observe(subject)
    if wait is not None:
        remark("Watching: create or update a version of that image now.")
        observations = (*observations, *watch(subject, wait))
    cost = subject.calls.meter.take()
    if as_json:
        print_document(_document(config, subject, observations, cost))
    else:
        _print(config, subject, observations, cost)
    return 0


def _knowledge(config: Config) -> Knowledge:
    from image_history.checking.local import look_here

    return look_here(config).knowledge


def _print(config: Config, subject: Subject, observations: Sequence[Observation], cost: Calls) -> None:
    rows = [(each.question, each.answer, each.evidence) for each in observations]
    show(Sheet(("question", "answer", "evidence"), rows, all_by="--json"))
    click.echo()
    say(f"Probed image {subject.image_name} of {subject.scope}: {_rate(config, cost)}.")
    say("check --probe --json prints the same without names and accounts, to be sent to the project.")


def _rate(config: Config, cost: Calls) -> str:
    return (
        f"{counted(cost.total, 'call')} at up to {config.rate.list_per_second:g} lists and "
        f"{config.rate.describe_per_second:g} describes a second, {cost.throttles:,} throttled"
    )


def _document(
    config: Config, subject: Subject, observations: Sequence[Observation], cost: Calls
) -> dict[str, object]:
    return {
        "probe": 1,
        "version": __version__,
        "region": subject.scope.region,
        "observations": [asdict(each) for each in observations],
        "calls": asdict(cost),
        "rate": {
            "list_per_second": config.rate.list_per_second,
            "describe_per_second": config.rate.describe_per_second,
        },
    }
