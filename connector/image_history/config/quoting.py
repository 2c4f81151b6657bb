"""Texts of others, made fit to be quoted in a sentence.

Must not know what they are.
"""

from __future__ import annotations

SHOWN = 60


def shorten(text: str) -> str:
    """`text` on one line: at most `SHOWN` characters, whatever doesn't print escaped."""
    visible = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text[:SHOWN])
    return f"{visible}…" if len(text) > SHOWN else visible
