"""What a new run is going to read: opens the configured scopes, finds their images, and decides the listings.

Must not know the warehouse's SQL, segments, or how pages are read.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase

import pyarrow as pa

from connector.config import Config
from connector.errors import (
    AccessDeniedError,
    ConfigError,
    ConnectorError,
    CredentialsError,
    FatalError,
    SkippableError,
    SourceError,
    TransientError,
)
from connector.extract.discover import Discovery
from connector.extract.extractor import together
from connector.extract.plan import PlanSettings, plan_stream
from connector.extract.scopes import OpenScope, Target, open_scope, require_distinct, require_same_account
from connector.landing import RunPlan, ScopePlan
from connector.model import Failure, ListingKind, Outcome, Scope, Stop, Stream, StreamKnowledge
from connector.transform import empty_images, image_table

Accounts = Mapping[tuple[str, str], str]


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """What one sync is asked for beside its configuration.

    `images` are globs over image names, `scopes` are ACCOUNT/REGION; empty means all. `fresh` drops
    unfinished runs instead of continuing one. `allow_mass_delete` lets deletions through the breaker,
    `accept_account` a profile that leads to another account than it did.
    """

    full: bool = False
    images: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    fresh: bool = False
    allow_mass_delete: bool = False
    accept_account: bool = False

    def selection(self, wanted: Sequence[Target]) -> str:
        """Identifies what is asked for: only an unfinished run that asked for the same is continued."""
        parts = [repr((self.full, sorted(self.images), sorted(self.scopes))), *sorted(map(repr, wanted))]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Opened:
    """The scopes that can be read, each with its list of images, and those that cannot."""

    scopes: tuple[OpenScope, ...]
    unreadable: tuple[Failure, ...]


def open_scopes(
    wanted: Sequence[Target], config: Config, options: SyncOptions, *, accounts: Accounts, stop: Stop
) -> Opened:
    """Open every wanted scope and read its list of images.

    A scope that fails is reported in `unreadable`. If all fail, the first one's error is raised; a
    ConfigError is raised in any case. `accounts` is where profiles and roles led before.
    """
    known = {} if options.accept_account else accounts
    jobs = [lambda t=target: _try_open(t, config, known, stop) for target in wanted]
    attempts = together(jobs, len(wanted), stop)
    stop.check()
    opened = [attempt for attempt in attempts if isinstance(attempt, OpenScope)]
    lost = [attempt for attempt in attempts if isinstance(attempt, _Lost)]
    if lost and not opened:
        raise _fatal(lost[0].error) from lost[0].error
    require_distinct(opened)
    asked = [each for each in lost if not options.scopes or str(each.scope) in options.scopes]
    return Opened(_selected(opened, options), tuple(each.failure() for each in asked))


@dataclass(frozen=True, slots=True)
class _Lost:
    """A target that could not be opened; `scope` None where not even its account became known."""

    target: Target
    scope: Scope | None
    error: ConnectorError

    def failure(self) -> Failure:
        denied = isinstance(self.error, AccessDeniedError | CredentialsError)
        return Failure(
            where=str(self.scope or self.target),
            scope=self.scope,
            image_name=None,
            outcome=Outcome.DENIED if denied else Outcome.FAILED,
            error_code=str(self.error.context.get("code", type(self.error).__name__)),
            message=str(self.error),
        )


def _try_open(target: Target, config: Config, accounts: Accounts, stop: Stop) -> OpenScope | _Lost:
    scope: Scope | None = None
    try:
        opened = open_scope(target, config, stop)
        scope = opened.scope
        require_same_account(opened, accounts)
        return replace(opened, discovery=opened.images())
    except ConfigError:
        raise
    except (TransientError, SkippableError, FatalError) as error:
        return _Lost(target, scope, error)


def _selected(opened: Sequence[OpenScope], options: SyncOptions) -> tuple[OpenScope, ...]:
    if not options.scopes:
        return tuple(opened)
    chosen = tuple(scope for scope in opened if str(scope.scope) in options.scopes)
    missing = set(options.scopes) - {str(scope.scope) for scope in chosen}
    if missing:
        there = ", ".join(sorted(str(scope.scope) for scope in opened))
        raise ConfigError(f"No scope {', '.join(sorted(missing))} is configured; there are: {there}.")
    return chosen


def _fatal(error: ConnectorError) -> ConnectorError:
    """The error that ends a run of which no scope could be read."""
    if isinstance(error, TransientError):
        return SourceError(f"{error} Nothing was read; run sync again later.", **error.context)
    if isinstance(error, AccessDeniedError):
        return CredentialsError(f"{error} Nothing was read: allow sagemaker:ListImages.", **error.context)
    return error


@dataclass(frozen=True, slots=True)
class Planning:
    """Decides a new run from the opened scopes and from what is known of their streams."""

    config: Config
    options: SyncOptions
    known: Mapping[Stream, StreamKnowledge]

    def plan(self, opened: Opened, selection: str, *, now_ms: int) -> tuple[RunPlan, pa.Table]:
        """The run's plan, and its images. `now_ms` is the local clock, UTC epoch milliseconds.

        Raises ConfigError if --image matches nothing.
        """
        found = [(scope, self._narrowed(scope.images())) for scope in opened.scopes]
        if self.options.images and not any(discovery.images for _, discovery in found):
            globs = ", ".join(self.options.images)
            raise ConfigError(f"No image matches {globs} in the configured scopes.")
        plan = RunPlan(
            run_id=_run_id(now_ms),
            started_at_ms=now_ms,
            mode=ListingKind.FULL if self.options.full else ListingKind.INCREMENTAL,
            selection=selection,
            scopes=tuple(_scope_plan(scope, discovery) for scope, discovery in found),
            streams=tuple(
                plan_stream(stream, self.known.get(stream), self._settings, now_ms=discovery.now_ms)
                for scope, discovery in found
                for stream in self._streams(scope, discovery)
            ),
            unreadable=opened.unreadable,
            drift=tuple(drift for _, discovery in found for drift in discovery.drift),
            accept_account=self.options.accept_account,
        )
        tables = [image_table(scope.scope, discovery.images) for scope, discovery in found]
        return plan, pa.concat_tables([empty_images(), *tables])

    @property
    def _settings(self) -> PlanSettings:
        return PlanSettings(
            page_size=self.config.page_size,
            lookback_ms=round(self.config.lookback.total_seconds() * 1000),
            reconcile_every_ms=round(self.config.reconcile_every.total_seconds() * 1000),
            full=self.options.full,
        )

    def _matches(self, image_name: str) -> bool:
        globs = self.options.images
        return not globs or any(fnmatchcase(image_name, glob) for glob in globs)

    def _narrowed(self, found: Discovery) -> Discovery:
        return replace(found, images=tuple(image for image in found.images if self._matches(image.ImageName)))

    def _streams(self, opened: OpenScope, found: Discovery) -> Iterable[Stream]:
        """The scope's images, and those that are stored as live but no longer in its list of images.

        The latter are listed too: AWS then says that they are gone, or that the list of images lags behind.
        """
        yield from (Stream(opened.scope, image.ImageName) for image in found.images)
        for stream, knowledge in self.known.items():
            name = stream.image_name
            lacking = stream.scope == opened.scope and knowledge.image_live and name not in found.names
            if lacking and self._matches(name) and opened.target.images.accepts(name):
                yield stream


def _run_id(started_at_ms: int) -> str:
    """Sorts by start, to the millisecond; the random part tells machines apart."""
    moment = datetime.fromtimestamp(started_at_ms / 1000, tz=UTC)
    return f"{moment:%Y%m%dT%H%M%S}.{started_at_ms % 1000:03d}Z-{secrets.token_hex(4)}"


def _scope_plan(opened: OpenScope, found: Discovery) -> ScopePlan:
    return ScopePlan(
        scope=opened.scope,
        identity=opened.target.identity,
        pages=found.pages,
        images=len(found.images),
        t0_ms=found.t0_ms,
        calls=opened.calls.meter.take(),
    )
