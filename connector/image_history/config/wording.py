"""Prepares foreign texts for messages, and finds the right name for a wrong one.

Must not know what they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

SHOWN = 60
# Access key ids of users and of sessions; the secret half has no form that could be recognised.
ACCESS_KEY = re.compile(r"(?<![A-Z0-9])(AKIA|ASIA)[A-Z0-9]{16}(?![A-Z0-9])")
# A webhook's address is secret: anyone who has it can send to it.
_ADDRESS = re.compile(r"(https?://)\S+", re.IGNORECASE)


def shorten(text: str) -> str:
    """`text` on one line: at most `SHOWN` characters, unprintable ones escaped, and secrets left out."""
    text = ACCESS_KEY.sub(r"\1...", _ADDRESS.sub(r"\1...", text))
    visible = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text[:SHOWN])
    return f"{visible}…" if len(text) > SHOWN else visible


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """The end of a sentence about the unknown `name`: the most similar name, or all names if none is similar."""
    names = list(known)
    close = get_close_matches(name[:100], names, n=1, cutoff=cutoff)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(names)}."
