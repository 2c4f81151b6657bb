"""Reads hints from a folder of JSON lines: each `*.jsonl` file is one message, with one event per line.

A file is read once it is complete: its last line has a line break, and its name does not begin with a dot. An
acknowledged file is moved into the folder `loaded` beside it. No file is removed or overwritten. Must not know what
a hint is good for.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection
from pathlib import Path

from image_history.durable.disk import make_folder, rename
from image_history.durable.effects import File
from image_history.durable.guard import opened_to_read
from image_history.hints.mail import Mail, Message, message_of

logger = logging.getLogger(__name__)

LOADED = "loaded"
_MOST_BYTES = 64 << 20
_SKEW_MS = 3_600_000


class FolderMailbox:
    """A Mailbox in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self) -> Mail:
        """Read every complete file. If one cannot be read, or is too large, the mail has a `problem`."""
        messages: list[Message] = []
        problem = None
        try:
            names = sorted(path.name for path in self._folder.iterdir() if _counts(path))
        except OSError as error:
            return Mail(problem=f"the folder {self._folder} cannot be read: {error.strerror or error}")
        for name in names:
            try:
                message = self._message(name)
            except OSError as error:
                problem = f"{self._folder / name} cannot be read: {error.strerror or error}"
                continue
            if message is not None:
                messages.append(message)
        return Mail(tuple(messages), problem=problem)

    def _message(self, name: str) -> Message | None:
        """The message in a file; None if it is still being written."""
        with opened_to_read(self._folder / name) as file:
            found = os.fstat(file.fileno())
            if found.st_size > _MOST_BYTES:
                raise OSError(f"it is larger than {_MOST_BYTES >> 20} MiB")
            content = file.read(_MOST_BYTES)
        if content and not content.endswith(b"\n"):
            return None
        lines = [line for line in content.split(b"\n") if line.strip()]
        written_ms = found.st_mtime_ns // 1_000_000
        # An event from further ahead is forged, or its writer's clock is wrong: its hint must not stay for ever.
        return message_of(name, lines, sent_ms=written_ms + _SKEW_MS, undated_ms=written_ms)

    def acknowledge(self, messages: Collection[Message]) -> int:
        """Move their files into `loaded`, under a free name. No request is made."""
        for message in messages:
            try:
                self._move(message.receipt)
            except OSError as error:
                # The next sync reads the file again, and moves it then.
                extra = {"file": message.receipt, "reason": error.strerror or str(error)}
                logger.warning("hints_not_settled", extra=extra)
        return 0

    def _move(self, name: str) -> None:
        make_folder(self._folder / LOADED, File.HINTS, exist_ok=True)
        stem, _, suffix = name.rpartition(".")
        target, number = self._folder / LOADED / name, 1
        while os.path.lexists(target):
            number += 1
            target = self._folder / LOADED / f"{stem}-{number}.{suffix}"
        rename(self._folder / name, target, File.HINTS)

    def release(self, _: Collection[Message]) -> int:
        """Do nothing: the files are still in the folder."""
        return 0


def _counts(path: Path) -> bool:
    return path.suffix == ".jsonl" and not path.name.startswith(".")
