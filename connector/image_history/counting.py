"""A number with its noun, for messages.

Must not know what is counted.
"""

from __future__ import annotations


def counted(number: int, one: str, many: str | None = None) -> str:
    """The number with its noun, as in `1 version` and `2 versions`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
