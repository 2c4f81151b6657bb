"""Texts of others made fit for a sentence, and the right name for a wrong one.

Must not know what they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

SHOWN = 60
# Access key ids of users and of sessions; the secret half has no telling form.
ACCESS_KEY = re.compile(r"(?<![A-Z0-9])(AKIA|ASIA)[A-Z0-9]{16}(?![A-Z0-9])")
# Whoever knows the address of a webhook may send to it.
_ADDRESS = re.compile(r"(https?://)\S+", re.IGNORECASE)


def shorten(text: str) -> str:
    """`text` on one line: at most `SHOWN` characters, whatever doesn't print escaped, and what is secret left out."""
    text = ACCESS_KEY.sub(r"\1...", _ADDRESS.sub(r"\1...", text))
    visible = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text[:SHOWN])
    return f"{visible}…" if len(text) > SHOWN else visible


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """The end of a sentence about the unknown `name`: the nearest right one, or all if none is near."""
    names = list(known)
    close = get_close_matches(name[:100], names, n=1, cutoff=cutoff)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(names)}."
