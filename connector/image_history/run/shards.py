"""The share of the streams that one of several machines reads.

A pure decision on names; must not know what is read, or how the machines are told.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from image_history.errors import ConfigError
from image_history.model import Stream


@dataclass(frozen=True, slots=True)
class Shard:
    """The `number`-th (from 1) of so many shares."""

    number: int = 1
    of: int = 1

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def has(self, stream: Stream) -> bool:
        """Whether the stream is in this share: each is in one, the same on every machine and in every run."""
        digest = hashlib.sha256(str(stream).encode()).digest()
        return int.from_bytes(digest[:8], "big") % self.of == self.number - 1


WHOLE = Shard()


def parse_shard(text: str) -> Shard:
    """Read `2/8`, the second of eight. ConfigError for anything else."""
    told = re.fullmatch(r"(?P<number>[1-9][0-9]{0,5})/(?P<of>[1-9][0-9]{0,5})", text.strip(), re.ASCII)
    shard = Shard(int(told["number"]), int(told["of"])) if told is not None else None
    if shard is None or shard.number > shard.of:
        raise ConfigError(f"--shard {text} is no share: write 2/8 for the second of eight.")
    return shard
