"""The part of the scopes that one of several machines reads.

Decides by names alone; must not know what is read, or how the machines are started.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from image_history.errors import ConfigError
from image_history.model import Scope


@dataclass(frozen=True, slots=True)
class Part:
    """Part `number` (counted from 1) of `of` parts."""

    number: int = 1
    of: int = 1

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def has(self, scope: Scope) -> bool:
        """Whether the scope is in this part; on every machine and in every run it is in the same one."""
        digest = hashlib.sha256(str(scope).encode()).digest()
        return int.from_bytes(digest[:8], "big") % self.of == self.number - 1


WHOLE = Part()


def parse_part(text: str) -> Part:
    """Parse `2/8`, the second of eight, or `1+1/8`, the same counted from 0. Raises ConfigError."""
    found = re.fullmatch(r"(?P<number>[0-9]{1,6})(?P<next>\+1)?/(?P<of>[0-9]{1,6})", text.strip(), re.ASCII)
    number = 0 if found is None else int(found["number"]) + (found["next"] is not None)
    if found is None or not 1 <= number <= int(found["of"]):
        raise ConfigError(f"--part {text} is not a part: write 2/8 for the second of eight.")
    return Part(number, int(found["of"]))
