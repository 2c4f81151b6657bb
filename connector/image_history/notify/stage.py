"""The stage after a sync: sends each receiver what is new to it, and stores in the warehouse what was sent.

News not sent because of a kill or a failing receiver are sent by the next sync. Must not know how news are sent.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

from image_history.config import Config, Notify
from image_history.errors import (
    ConnectorError,
    FatalError,
    InterruptedRunError,
    SyncRunningError,
    WarehouseLockedError,
)
from image_history.landing.runs import Landing
from image_history.model import Notification, RunReport, Stop
from image_history.notify.finding import Occasion, known, remember, sent
from image_history.notify.message import message, trial
from image_history.notify.news import Due, due, is_worth_recording
from image_history.notify.receivers import deliver
from image_history.run.listing import Progress, Silent
from image_history.run.pipeline import sync as make_run
from image_history.run.planning import SyncOptions
from image_history.telemetry import span
from image_history.warehouse.reports import reading
from image_history.warehouse.warehouse import WarehouseFile

logger = logging.getLogger(__name__)

# After these errors nothing is new, or nothing can be stored.
_NOT_NEWS = (InterruptedRunError, SyncRunningError, WarehouseLockedError)


def sync(
    config: Config,
    *,
    options: SyncOptions | None = None,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> RunReport:
    """Bring the warehouse up to date with AWS, publish, and send news to the receivers of `notify`.

    Raises what `image_history.run.pipeline.sync` raises; a failed run is news too, once.
    """
    requested, watcher = options or SyncOptions(), progress or Silent()
    try:
        report = make_run(config, options=requested, progress=watcher, stop=stop)
    except _NOT_NEWS:
        raise
    except FatalError as error:
        notify(config, Occasion(datetime.now(UTC), failing=error.message, part=requested.part))
        raise
    if config.notify:
        watcher.stage("notifying")
    whole = not requested.images and not requested.scopes
    occasion = Occasion(datetime.now(UTC), report=report, whole=whole, part=requested.part)
    return replace(report, notifications=notify(config, occasion))


def notify(config: Config, occasion: Occasion) -> tuple[Notification, ...]:
    """Send each receiver what is new to it; a receiver that fails has its error in the result.

    Two processes never send the same news: a running sync sends them, and a call outside of a sync then raises
    SyncRunningError.
    """
    if not config.notify or not config.warehouse.exists():
        return ()
    try:
        with _alone(config), span("notify"):
            return tuple(
                _notified(config, entry, entry.called(index), occasion)
                for index, entry in enumerate(config.notify)
            )
    except SyncRunningError:
        if occasion.report is None and occasion.failing is None:
            raise
        logger.info("notifying_left_to_another_sync")
        return ()
    except ConnectorError as error:
        logger.warning("notifying_failed", extra={"reason": error.message})
        names = (entry.called(index) for index, entry in enumerate(config.notify))
        return tuple(Notification(name, error=error.message) for name in names)


@contextmanager
def _alone(config: Config) -> Iterator[None]:
    landing = Landing(config.landing_folder)
    if not landing.folder.exists():
        yield
        return
    with landing.locked():
        yield


def _notified(config: Config, entry: Notify, name: str, occasion: Occasion) -> Notification:
    started, count = time.monotonic(), 0
    try:
        coming, worth_it = _due(config, entry, name, occasion)
        count = len(coming.items) if coming is not None else 0
        if coming is not None and coming.items:
            run_id = None if occasion.report is None else occasion.report.run_id
            deliver(entry, message(name, coming.items, run_id))
            logger.info("notified", extra={"receiver": name, "news": count})
        if coming is not None and worth_it:
            _remember(config, name, coming)
    except ConnectorError as error:
        logger.warning("notification_failed", extra={"receiver": name, "reason": error.message})
        return Notification(name, count, time.monotonic() - started, error.message)
    return Notification(name, count, time.monotonic() - started)


def _due(config: Config, entry: Notify, name: str, occasion: Occasion) -> tuple[Due | None, bool]:
    """Return the news for the receiver, and whether to store them. The warehouse is closed again."""
    with reading(_warehouse(config)) as reports:
        before, now = sent(reports, name), known(reports, config, entry, occasion)
        coming = None if now is None else due(now, before, entry.on)
    return coming, coming is not None and is_worth_recording(coming, before)


def _remember(config: Config, name: str, coming: Due) -> None:
    with _warehouse(config).writing() as connection:
        remember(connection, name, coming.sent)


def _warehouse(config: Config) -> WarehouseFile:
    return WarehouseFile(config.warehouse, config.lock_wait.total_seconds())


def try_out(config: Config) -> Sequence[Notification]:
    """Send every receiver a trial message; nothing is stored."""
    tried = []
    for index, entry in enumerate(config.notify):
        started, name, error = time.monotonic(), entry.called(index), None
        try:
            deliver(entry, trial(name))
        except ConnectorError as failure:
            error = failure.message
        tried.append(Notification(name, 0, time.monotonic() - started, error))
    return tried
