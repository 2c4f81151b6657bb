"""Finds the accounts and regions to read, and groups them into packs: a partition is a pack of whole scopes.

A scope is never divided, since it has one rate limit. Must not know Spark, nor how a scope is read.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

from image_history.aws.deadline import Callers
from image_history.aws.sessions import Logins
from image_history.errors import ConfigError, ConnectorError, CredentialsError
from image_history.extract.expand import find_targets
from image_history.extract.scopes import OpenScope, Target, open_scope, require_distinct
from image_history.extract.workers import together
from image_history.model import Scope, Stop
from image_history.spark.options import Wanted

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Planned:
    """A target without its login, which cannot be sent to executors, and its scope when the packs were made."""

    target: Target
    scope: Scope

    def opened(self, logins: Logins, wanted: Wanted, stop: Stop, callers: Callers) -> OpenScope:
        """The scope with its calls. CredentialsError if the same credentials lead to another account here."""
        target = replace(self.target, login=logins.of(self.target.access, self.target.region))
        opened = open_scope(target, wanted.config, stop, callers=callers)
        if opened.scope != self.scope:
            raise CredentialsError(
                f"{self.target} leads to account {opened.scope.account_id} on this machine, and led to "
                f"{self.scope.account_id} where the partitions were planned: give the driver and the executors the "
                "same credentials, or name roles."
            )
        return opened


@dataclass(frozen=True, slots=True)
class Pack:
    """Whole scopes that one task reads in parallel, each at its own rate."""

    scopes: tuple[Planned, ...]


def packs(wanted: Wanted, stop: Stop) -> list[Pack]:
    """Everything that is to be read, in at most the wanted number of packs. If STS answers, no list is read for this.

    Raises the first ConnectorError of a target, unless failures are skipped and other targets can be read.
    """
    targets = find_targets(wanted.config, stop)
    callers = Callers(wanted.config.concurrency)
    jobs = [partial(_attempt, target, wanted, stop, callers) for target in targets]
    attempts = together(jobs, max(1, min(wanted.config.concurrency, len(jobs))), stop)
    opened = [each for each in attempts if isinstance(each, OpenScope)]
    _report(
        [each for each in attempts if isinstance(each, ConnectorError)], skip=wanted.skip and bool(opened)
    )
    require_distinct(opened)
    chosen = sorted(_chosen(opened, wanted.scopes), key=lambda each: each.scope)
    planned = [Planned(replace(each.target, login=None), each.scope) for each in chosen]
    return packed(planned, wanted.partitions)


def packed(planned: Sequence[Planned], most: int) -> list[Pack]:
    """At most `most` packs of nearly equal size; neighbours stay together, since they share credentials."""
    count = min(most, len(planned))
    cuts = [number * len(planned) // count for number in range(count + 1)] if count else []
    return [Pack(tuple(planned[first:last])) for first, last in pairwise(cuts)]


def _attempt(target: Target, wanted: Wanted, stop: Stop, callers: Callers) -> OpenScope | ConnectorError:
    try:
        return open_scope(target, wanted.config, stop, callers=callers)
    except ConnectorError as error:
        return error


def _report(lost: Sequence[ConnectorError], *, skip: bool) -> None:
    if lost and not skip:
        raise lost[0]
    for error in lost:
        # In the message itself: on Spark's machines no log handler prints extra fields.
        logger.warning("An account or region is left out: %s", error)


def _chosen(opened: Sequence[OpenScope], names: tuple[str, ...]) -> Sequence[OpenScope]:
    if not names:
        return opened
    there = {str(each.scope): each for each in opened}
    missing = [name for name in names if name not in there]
    if missing:
        raise ConfigError(
            f"No scope {', '.join(missing)} is configured; there are: {', '.join(sorted(there))}."
        )
    return [there[name] for name in dict.fromkeys(names)]
