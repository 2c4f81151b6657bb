"""Checks whether hints, or image times instead of them, can be used. If not, a sync lists everything: a warning.

Read-only: no message is received. Must not know what a hint is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from image_history.aws.queue import Queue
from image_history.checking.results import Result, failed, ok, warning
from image_history.config import Config, format_duration
from image_history.errors import ConfigError, ConnectorError
from image_history.warehouse.loader import Knowledge


def look_at_hints(config: Config, knowledge: Knowledge) -> tuple[Result, ...]:
    """One result for the source of hints, or one for each scope if hints.trust_image_time is set; else none."""
    if config.hints.folder is not None:
        return (_folder(config),)
    if config.hints.queue is not None:
        return (_queue(config, config.hints.queue),)
    return tuple(_image_times(knowledge)) if config.hints.trust_image_time else ()


def _image_times(knowledge: Knowledge) -> Iterator[Result]:
    found = {} if knowledge.confirmed is None else knowledge.confirmed.image_times
    if not found:
        message = "No list of images is stored yet, so that nothing is proved: every image is listed."
        yield warning("image times", "hints.trust_image_time", message, "Run sync, and check again.")
    for scope, times in sorted(found.items()):
        counts = f"{times.shown:,} for, {times.contradicted:,} against"
        claim = f"that a new version moves its image's LastModifiedTime: {counts}"
        if times.proved:
            yield ok("image times", str(scope), f"the images prove {claim}")
            continue
        fix = "Every image there is listed until then; use hints from a queue if that takes too long."
        yield warning("image times", str(scope), f"The images do not prove {claim}.", fix)


def _folder(config: Config) -> Result:
    folder = str(config.hints.folder)
    if Path(folder).is_dir() and os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return ok("hints", folder, "can be read, and what was used can be moved")
    message = f"{folder} is no folder that this user can read and write."
    fix = "Make it, or name another one with hints.folder: a sync lists every image until then."
    return warning("hints", folder, message, fix)


def _queue(config: Config, url: str) -> Result:
    try:
        kept_ms = Queue(url, config.hints.profile).retention_ms()
    except ConfigError as error:
        fix = "Correct hints.queue or hints.profile."
        return failed("hints", url, error.message, fix=fix, exit_code=error.exit_code)
    except ConnectorError as error:
        fix = (
            "Allow sqs:ReceiveMessage, sqs:DeleteMessage, sqs:ChangeMessageVisibility and sqs:GetQueueAttributes "
            "there, or correct hints.queue and hints.profile: a sync lists every image until then."
        )
        return warning("hints", url, error.message, fix)
    trust_ms = config.hints.trust.total_seconds() * 1000
    if kept_ms <= trust_ms:
        message = f"The queue keeps a message for {kept_ms // 1000:,} s, and hints are trusted for longer."
        fix = f"Keep messages longer than hints.trust, which is {format_duration(config.hints.trust)}."
        return warning("hints", url, message, fix)
    return ok("hints", url, "can be read")
