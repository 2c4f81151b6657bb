"""Decides what becomes of the runs in the landing: one is continued, others are only loaded, or are loaded already.

A sync and a forecast of it decide alike. Must not know SQL, clients, or how a run is loaded or removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from image_history.config import Config
from image_history.landing.runs import LandedRun
from image_history.model import Outcome, Scope
from image_history.run.hearing import may_go_on
from image_history.run.planning import SyncOptions
from image_history.warehouse.identity import rests_on_this
from image_history.warehouse.loader import loaded_runs, loaded_scopes
from image_history.warehouse.warehouse import Connection


def to_continue(
    runs: Iterable[LandedRun], selection: str, config: Config, options: SyncOptions
) -> LandedRun | None:
    """The unfinished run that a sync of this selection continues: the last one that it may, None without any.

    `runs` are in the order in which they are loaded.
    """
    unfinished = [
        run
        for run in runs
        if not run.finished and run.plan.selection == selection and may_go_on(run.plan, config)
    ]
    return unfinished[-1] if unfinished and not options.accept_account else None


def in_order(runs: Iterable[LandedRun]) -> list[LandedRun]:
    """The runs in the order in which they are loaded."""
    return sorted(runs, key=lambda run: run.plan.t0_ms)


def unloaded(connection: Connection, runs: Sequence[LandedRun], options: SyncOptions) -> list[LandedRun]:
    """The runs that the warehouse does not hold whole.

    Two kinds are marked as closed, so that they are loaded but not continued: runs planned on a state that the
    warehouse lacks (the load voids their proofs), and runs that held back deletions in a loaded scope which are
    allowed now.
    """
    loaded = loaded_runs(connection, [run.plan.run_id for run in runs])
    left = [run for run in runs if run.plan.run_id not in loaded]
    return [_closed_if(run, is_void=_is_void(run, connection, options)) for run in left]


def unloaded_without_a_file(runs: Iterable[LandedRun]) -> list[LandedRun]:
    """As `unloaded`, if there is no warehouse."""
    return [_closed_if(run, is_void=not run.plan.rests_on(None, {})) for run in runs]


def unloaded_while_locked(runs: Iterable[LandedRun], options: SyncOptions) -> list[LandedRun]:
    """As `unloaded`, if the warehouse is locked: which scopes are loaded is unknown; all are assumed to be."""
    return [_closed_if(run, is_void=bool(_held_back(run, options))) for run in runs]


def _closed_if(run: LandedRun, *, is_void: bool) -> LandedRun:
    return replace(run, closed=True) if is_void else run


def _is_void(run: LandedRun, connection: Connection, options: SyncOptions) -> bool:
    return not rests_on_this(connection, run.plan) or _is_held_back(run, connection, options)


def _is_held_back(run: LandedRun, connection: Connection, options: SyncOptions) -> bool:
    """Whether the run held back deletions, allowed now, in a loaded scope: a new run lists the scope again."""
    held = _held_back(run, options)
    return bool(held) and not held.isdisjoint(loaded_scopes(connection, run.plan.run_id))


def _held_back(run: LandedRun, options: SyncOptions) -> set[Scope]:
    """The scopes in which the run held back deletions that are allowed now."""
    marks = run.checkpoints.values() if options.allow_mass_delete else ()
    return {mark.stream.scope for mark in marks if mark.outcome is Outcome.HELD_BACK}
