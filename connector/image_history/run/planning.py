"""Plans what a new run reads: opens the configured scopes, finds their images, and decides the listings.

Must not know the warehouse's SQL, segments, or how pages are read.
"""

from __future__ import annotations

import difflib
import hashlib
import math
import secrets
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import partial

import pyarrow as pa

from image_history.aws.deadline import Callers
from image_history.config import Config
from image_history.counting import counted
from image_history.errors import (
    AccessDeniedError,
    ConfigError,
    ConnectorError,
    CredentialsError,
    FatalError,
    InterruptedRunError,
    SkippableError,
    SourceError,
    TransientError,
)
from image_history.extract.discovery import Discovery
from image_history.extract.scopes import OpenScope, Target, open_scope, require_distinct, require_same_account
from image_history.extract.workers import Arrivals
from image_history.hints.resting import Rest
from image_history.landing.plan import Load, RunPlan, ScopePlan
from image_history.landing.rows import empty_images, image_table
from image_history.listing.request import PlanSettings
from image_history.model import Failure, ListingKind, Outcome, Scope, Stop, Stream, StreamKnowledge
from image_history.run.agenda import Agenda, Deciding
from image_history.run.parts import WHOLE, Part
from image_history.telemetry import note, span

Accounts = Mapping[tuple[str, str], str]

# Not longer than the rate limit makes a scope wait between its list of images and the first listing.
_PATIENCE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """The options of one sync, beside its configuration.

    `images` are globs over image names, `scopes` are ACCOUNT/REGION; empty means all. `fresh` drops
    unfinished runs instead of continuing one. `allow_mass_delete` lets deletions through the breaker;
    `accept_account` accepts a profile that leads to another account than before. `part` limits the scopes to
    this machine's part, if other machines read the others.
    """

    full: bool = False
    images: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    fresh: bool = False
    allow_mass_delete: bool = False
    accept_account: bool = False
    part: Part = WHOLE

    def selection(self, wanted: Sequence[Target]) -> str:
        """A hash of the options and targets: only an unfinished run with the same hash is continued."""
        requested = (self.full, sorted(self.images), sorted(self.scopes), str(self.part))
        parts = [repr(requested), *sorted(map(repr, wanted))]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Opened:
    """The scopes that can be read, each with its list of images, and those that cannot.

    `last` is False while more scopes are still to come; `unreadable` is filled only in the last wave.
    """

    scopes: tuple[OpenScope, ...]
    unreadable: tuple[Failure, ...]
    last: bool = True


def open_scopes(
    wanted: Sequence[Target], config: Config, options: SyncOptions, *, accounts: Accounts, stop: Stop
) -> Opened:
    """Open every wanted scope and read its list of images; return when all have answered.

    A scope that fails is reported in `unreadable`. If all fail, the error of the first is raised. `accounts` has the
    account that each profile or role led to before.
    """
    opening = Opening(wanted, config, options, accounts=accounts, stop=stop)
    *_, last = opening.waves(patience_seconds=math.inf)
    return last


@dataclass(frozen=True, slots=True)
class Opening:
    """Opens the wanted scopes in parallel. `planned` are the scopes whose list of images is not needed again.

    `accounts` has the account that each profile or role led to before.
    """

    wanted: Sequence[Target]
    config: Config
    options: SyncOptions
    accounts: Accounts
    stop: Stop
    planned: frozenset[Scope] = frozenset()

    def waves(self, *, patience_seconds: float = _PATIENCE_SECONDS) -> Iterator[Opened]:
        """The scopes in waves, as they answer. A wave ends `patience_seconds` after its first scope.

        A scope that answers late, is throttled or cannot be reached delays no other, unless the options name
        scopes or images: those must be known to exist before anything is read. Raises as `open_scopes`.
        """
        patient = self.options.scopes or self.options.images
        callers = Callers(self.config.concurrency)
        jobs = [partial(self._try_open, target, callers) for target in self.wanted]
        # Each job makes one call at a time; some jobs wait for a call that another one makes for both.
        threads = 2 * self.config.concurrency
        arrivals: Arrivals[_Attempt] = Arrivals(jobs, self.stop, threads=threads)
        everything: list[OpenScope] = []
        lost: list[_Lost] = []
        elsewhere: list[_Elsewhere] = []
        requested = frozenset(self.options.scopes)
        for batch, last in self._batches(arrivals, math.inf if patient else patience_seconds):
            opened = [each for each in batch if isinstance(each, OpenScope)]
            lost += [each for each in batch if isinstance(each, _Lost)]
            elsewhere += [each for each in batch if isinstance(each, _Elsewhere)]
            everything += opened
            require_distinct(everything)
            if last and lost and not everything:
                raise _fatal(lost[0].error) from lost[0].error
            chosen = _selected(opened, lost, requested=requested, elsewhere=elsewhere)
            yield Opened(chosen, self._unreadable(lost) if last else (), last=last)

    def _batches(
        self, arrivals: Arrivals[_Attempt], patience_seconds: float
    ) -> Iterator[tuple[list[_Attempt], bool]]:
        """Batches of the attempts that have arrived, in the configured order, and whether a batch is the last."""
        batch: list[_Attempt] = []
        due = math.inf
        for left in range(len(self.wanted) - 1, -1, -1):
            attempt = arrivals.next(due)
            while attempt is None:
                yield self._sorted(batch), False
                batch, due = [], math.inf
                attempt = arrivals.next(due)
            batch.append(attempt)
            if isinstance(attempt, OpenScope) and due == math.inf:
                due = time.monotonic() + patience_seconds
            if not left:
                yield self._sorted(batch), True

    def _sorted(self, batch: Iterable[_Attempt]) -> list[_Attempt]:
        places = {target: place for place, target in enumerate(self.wanted)}
        return sorted(batch, key=lambda each: places[each.target])

    def _try_open(self, target: Target, callers: Callers) -> _Attempt:
        scope = _named(target)
        if scope is not None and not self._reads(scope):
            return _Elsewhere(target, scope)
        try:
            with span("discover"):
                opened = open_scope(target, self.config, self.stop, callers=callers)
                scope = opened.scope
                note(scope=str(scope))
                if not self._reads(scope):
                    return _Elsewhere(target, scope)
                require_same_account(opened, {} if self.options.accept_account else self.accounts)
                return opened if scope in self.planned else replace(opened, discovery=opened.images())
        except InterruptedRunError:
            raise
        except (ConfigError, TransientError, SkippableError, FatalError) as error:
            return _Lost(target, scope or _named(target), error)

    def _reads(self, scope: Scope) -> bool:
        """Whether the scope is in this part, and is one of the scopes that the options name."""
        return self.options.part.has(scope) and (not self.options.scopes or str(scope) in self.options.scopes)

    def _unreadable(self, lost: Iterable[_Lost]) -> tuple[Failure, ...]:
        """The failures of the wanted scopes."""
        return tuple(
            each.failure()
            for each in lost
            if not self.options.scopes or str(each.scope) in self.options.scopes
        )


@dataclass(frozen=True, slots=True)
class _Lost:
    """A target that could not be opened; `scope` is None if its account is unknown."""

    target: Target
    scope: Scope | None
    error: ConnectorError

    def failure(self) -> Failure:
        """The failure as the run reports it."""
        denied = isinstance(self.error, AccessDeniedError | CredentialsError)
        return Failure(
            where=str(self.scope or self.target),
            scope=self.scope,
            image_name=None,
            outcome=Outcome.DENIED if denied else Outcome.FAILED,
            error_code=str(self.error.context.get("code", type(self.error).__name__)),
            message=str(self.error),
        )


@dataclass(frozen=True, slots=True)
class _Elsewhere:
    """A target whose scope is in another part, or is not one of the named ones. Its images are not listed."""

    target: Target
    scope: Scope


_Attempt = OpenScope | _Lost | _Elsewhere


def _named(target: Target) -> Scope | None:
    """The scope, if a role's ARN names the account; None for a profile, whose account only STS knows."""
    account_id = target.access.role_account
    return None if account_id is None else Scope(account_id, target.region)


def _selected(
    opened: Sequence[OpenScope],
    lost: Iterable[_Lost],
    *,
    requested: frozenset[str],
    elsewhere: Iterable[_Elsewhere],
) -> tuple[OpenScope, ...]:
    """The scopes that `requested` names, or all.

    ConfigError for a scope that is not configured; if none of the named ones opened, the error of the first.
    """
    if not requested:
        return tuple(opened)
    chosen = tuple(scope for scope in opened if str(scope.scope) in requested)
    unread = [each for each in lost if str(each.scope) in requested]
    there: list[OpenScope | _Lost | _Elsewhere] = [*chosen, *unread, *elsewhere]
    missing = requested - {str(each.scope) for each in there}
    if unread and not chosen and not missing:
        raise _fatal(unread[0].error) from unread[0].error
    if missing:
        configured = [each.scope for each in opened] + [each.scope for each in elsewhere]
        named = ", ".join(sorted(map(str, configured)))
        raise ConfigError(f"No scope {', '.join(sorted(missing))} is configured; there are: {named}.")
    return chosen


def _fatal(error: ConnectorError) -> ConnectorError:
    """The error that ends a run in which no scope could be read."""
    if isinstance(error, TransientError):
        return SourceError(f"{error} Nothing was read; run sync again later.", **error.context)
    if isinstance(error, AccessDeniedError):
        return CredentialsError(f"{error} Nothing was read: allow sagemaker:ListImages.", **error.context)
    return error


def _nearest(glob: str, names: Collection[str]) -> str:
    """The end of a message about a pattern that matches nothing: the nearest names, or how many there are."""
    near = difflib.get_close_matches(glob.strip("*"), names, 3)
    if near:
        return f"; the nearest: {', '.join(near)}"
    if not names:
        return "; there is no image at all"
    return f"; {'there is' if len(names) == 1 else 'there are'} {counted(len(names), 'other')}"


@dataclass(frozen=True, slots=True)
class Planning:
    """Plans a new run from the opened scopes and from what is known of their streams."""

    config: Config
    options: SyncOptions
    known: Mapping[Stream, StreamKnowledge]
    warehouse_id: str | None = None
    base: Load | None = None
    rest: Rest = field(default_factory=Rest)

    def plan(self, opened: Opened, selection: str, *, now_ms: int) -> tuple[RunPlan, pa.Table]:
        """The plan of a run, or of its first scopes, and their images.

        `now_ms` is the local clock, UTC epoch milliseconds. Raises ConfigError if --image matches nothing.
        """
        listed = [(scope, scope.images()) for scope in opened.scopes]
        found = [(scope, self._narrowed(discovery)) for scope, discovery in listed]
        # The images may be in another part.
        whole = self.options.part == WHOLE
        if self.options.images and whole and not any(discovery.images for _, discovery in found):
            globs = ", ".join(self.options.images)
            names = {image.ImageName for _, discovery in listed for image in discovery.images}
            raise ConfigError(
                f"No image matches {globs} in the configured scopes{_nearest(self.options.images[0], names)}."
            )
        live = self._live_by_scope()
        agendas = [
            self._deciding(scope).agenda(
                scope.scope, discovery, self._vanished(scope, discovery, live.get(scope.scope, ()))
            )
            for scope, discovery in found
        ]
        plan = RunPlan(
            run_id=_run_id(now_ms),
            started_at_ms=now_ms,
            mode=ListingKind.FULL if self.options.full else ListingKind.INCREMENTAL,
            selection=selection,
            scopes=tuple(
                _scope_plan(scope, discovery, agenda)
                for (scope, discovery), agenda in zip(found, agendas, strict=True)
            ),
            streams=tuple(planned for agenda in agendas for planned in agenda.streams),
            unreadable=opened.unreadable,
            drift=tuple(drift for _, discovery in found for drift in discovery.drift),
            accept_account=self.options.accept_account,
            details=self.config.details,
            last=opened.last,
            warehouse_id=self.warehouse_id,
            base_run=None if self.base is None else self.base.run_id,
            base_loaded_ms=None if self.base is None else self.base.loaded_ms,
            narrowed=bool(self.options.images),
        )
        tables = [image_table(scope.scope, discovery.images) for scope, discovery in found]
        return plan, pa.concat_tables([empty_images(), *tables])

    def _deciding(self, scope: OpenScope) -> Deciding:
        return Deciding(self.known, self.rest.heard_in(scope.scope, scope.target.images), self._settings)

    def part(self, opened: Opened, run: RunPlan) -> tuple[RunPlan, pa.Table]:
        """The addition to the plan of a run for scopes that came later, and their images."""
        plan, images = self.plan(opened, run.selection, now_ms=run.started_at_ms)
        return replace(plan, run_id=run.run_id, mode=run.mode), images

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

    def _live_by_scope(self) -> Mapping[Scope, Sequence[Stream]]:
        """The streams that are stored as live, grouped by scope, since there may be hundreds of scopes."""
        found: dict[Scope, list[Stream]] = {}
        for stream, knowledge in self.known.items():
            if knowledge.image_live:
                found.setdefault(stream.scope, []).append(stream)
        return found

    def _vanished(self, opened: OpenScope, found: Discovery, live: Iterable[Stream]) -> Iterable[Stream]:
        """The images of a scope that are stored as live and wanted, but missing from its list of images."""
        for stream in live:
            name = stream.image_name
            if name not in found.names and self._matches(name) and opened.target.images.accepts(name):
                yield stream


def _run_id(started_at_ms: int) -> str:
    """A run id that sorts by start, to the millisecond; a random part makes it unique across machines."""
    moment = datetime.fromtimestamp(started_at_ms / 1000, tz=UTC)
    return f"{moment:%Y%m%dT%H%M%S}.{started_at_ms % 1000:03d}Z-{secrets.token_hex(4)}"


def _scope_plan(opened: OpenScope, found: Discovery, agenda: Agenda) -> ScopePlan:
    return ScopePlan(
        scope=opened.scope,
        identity=opened.target.identity,
        pages=found.pages,
        images=len(found.images),
        t0_ms=found.t0_ms,
        calls=opened.calls.meter.take(),
        rested=agenda.rested,
        hinted=agenda.hinted,
        confirmed_ms=agenda.confirmed_ms,
    )
