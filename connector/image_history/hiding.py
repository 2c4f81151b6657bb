"""What nobody is told: the credentials, signatures and pagination tokens that are in use, in any form.

Imports nothing of ours, and must not know what a value is for.
"""

from __future__ import annotations

import base64
import html
import json
import threading
from functools import lru_cache
from urllib.parse import quote, quote_plus, unquote, urlsplit

# Of what is kept the latest: credentials are kept again at each signature, a token is of one call.
_MOST = 2048
# Shorter values may be words of a sentence.
_LEAST = 8
# Services quote the beginning of what they refuse.
_QUOTED = 12
_MASK = "(hidden)"


class Hidden:
    """Values in use, and texts without them. Safe to share between threads."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._kept: dict[str, None] = {}
        self._lock = threading.Lock()

    def keep(self, *values: str | None) -> None:
        """Hide these from now on, each until so many others were kept after it."""
        with self._lock:
            for value in values:
                if value is not None and len(value) >= _LEAST:
                    # The latest stand last.
                    self._kept.pop(value, None)
                    self._kept[value] = None
            while len(self._kept) > self._most:
                del self._kept[next(iter(self._kept))]

    def without(self, text: str) -> str:
        """The text with a mask in place of every value, or of the beginning of one, in any of its forms."""
        with self._lock:
            # The longest first: one value may stand in another.
            kept = sorted(map(_forms, self._kept), key=lambda forms: -len(forms[0]))
        told = text
        for forms in kept:
            told = _masked(told, forms)
        return told


# Every request keeps a signature, few messages are printed: forms are made once one is.
@lru_cache(maxsize=2 * _MOST)
def _forms(value: str) -> tuple[str, ...]:
    """The value as it may stand in a message, a log line, a URL or a page."""
    encoded = base64.b64encode(value.encode()).decode().rstrip("=")
    written = (value, json.dumps(value)[1:-1], quote(value, safe=""), quote_plus(value), html.escape(value))
    return tuple(dict.fromkeys((*written, encoded)))


def _masked(text: str, forms: tuple[str, ...]) -> str:
    """The text without one value, from its left to its right; of two forms that begin alike the longer one counts."""
    told, start = text, 0
    while found := [(at, form) for form in forms if (at := told.find(_begin(form), start)) >= 0]:
        at = min(found)[0]
        end = max(at + _common(told[at : at + len(form)], form) for place, form in found if place == at)
        told = f"{told[:at]}{_MASK}{told[end:]}"
        start = at + len(_MASK)
    return told


def _begin(form: str) -> str:
    return form[:_QUOTED] if len(form) >= 2 * _QUOTED else form


def _common(text: str, form: str) -> int:
    """How many characters from the left are the same."""
    pairs = zip(text, form, strict=False)
    return next((number for number, (one, two) in enumerate(pairs) if one != two), len(text))


_HIDDEN = Hidden()
keep_hidden = _HIDDEN.keep
without_secrets = _HIDDEN.without


def keep_hidden_in_url(address: str, *, path: bool = False) -> None:
    """Hide what is secret in an address: its password, alone and beside the user, its query, and its path if wanted.

    An address that is none has no secret in it.
    """
    try:
        parts = urlsplit(address)
        user, password = unquote(parts.username or ""), parts.password
    except ValueError:
        return
    keep_hidden(parts.query, parts.path if path else None, password)
    if password is not None:
        word = unquote(password)
        keep_hidden(word, f"{user}:{word}")
