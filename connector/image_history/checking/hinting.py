"""Whether hints can be had from where the configuration says.

Only looks: no message is received. Must not know what a hint is.
"""

from __future__ import annotations

import os
from pathlib import Path

from image_history.aws.queue import Queue
from image_history.checking.results import Result, failed, ok, warning
from image_history.config import Config, format_duration
from image_history.errors import ConnectorError


def look_at_hints(config: Config) -> tuple[Result, ...]:
    """One result for the source of hints; none where there is no source."""
    if config.hints.folder is not None:
        return (_folder(config),)
    return () if config.hints.queue is None else (_queue(config, config.hints.queue),)


def _folder(config: Config) -> Result:
    folder = str(config.hints.folder)
    if Path(folder).is_dir() and os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return ok("hints", folder, "can be read, and what was used can be moved")
    told = "It is no folder that this user can read and write."
    fix = "Make it, or name another one with hints.folder: a sync lists every image until then."
    return failed("hints", folder, told, fix=fix, exit_code=2)


def _queue(config: Config, url: str) -> Result:
    try:
        kept_ms = Queue(url, config.hints.profile).retention_ms()
    except ConnectorError as error:
        fix = (
            "Allow sqs:ReceiveMessage, sqs:DeleteMessage, sqs:ChangeMessageVisibility and sqs:GetQueueAttributes "
            "there, or correct hints.queue and hints.profile: a sync lists every image until then."
        )
        return failed("hints", url, error.message, fix=fix, exit_code=error.exit_code)
    trust_ms = config.hints.trust.total_seconds() * 1000
    if kept_ms <= trust_ms:
        told = f"The queue keeps a message for {kept_ms // 1000:,} s, and hints are trusted for longer."
        fix = f"Keep messages longer than hints.trust, which is {format_duration(config.hints.trust)}."
        return warning("hints", url, told, fix)
    return ok("hints", url, "can be read")
