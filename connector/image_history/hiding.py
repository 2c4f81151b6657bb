"""Hides secrets in texts: the credentials, signatures and pagination tokens in use, in any form.

Imports nothing of ours, and must not know what a value is for.
"""

from __future__ import annotations

import base64
import html
import json
import threading
from collections.abc import Iterator, Sequence
from functools import lru_cache
from urllib.parse import quote, quote_plus, unquote, urlsplit

# So many of the latest values are kept: credentials are added again at each signature, a token serves one call.
_MOST = 2048
# Shorter values could be ordinary words of a sentence.
_LEAST = 8
# Services may quote only the beginning of a value that they refuse.
_QUOTED = 12
_MASK = "(hidden)"


class Hidden:
    """The secret values in use; removes them from texts. Safe to share between threads."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._kept: dict[str, None] = {}
        self._lock = threading.Lock()

    def keep(self, *values: str | None) -> None:
        """Hide these values from now on; only the latest `most` values are kept."""
        with self._lock:
            for value in values:
                if value is not None and len(value) >= _LEAST:
                    # The latest values are last.
                    self._kept.pop(value, None)
                    self._kept[value] = None
            while len(self._kept) > self._most:
                del self._kept[next(iter(self._kept))]

    def without(self, text: str) -> str:
        """The text with a mask in place of every value, or of the beginning of one, in any of its forms."""
        with self._lock:
            kept = list(self._kept)
        return _masked(text, [form for value in kept for form in _forms(value)])


# Every request adds a signature, but few messages are printed: the forms are computed only for a message.
@lru_cache(maxsize=2 * _MOST)
def _forms(value: str) -> tuple[str, ...]:
    """The forms in which the value may appear in a message, a log line, a URL or a page."""
    encoded = base64.b64encode(value.encode()).decode().rstrip("=")
    written = (value, json.dumps(value)[1:-1], quote(value, safe=""), quote_plus(value), html.escape(value))
    return tuple(dict.fromkeys((*written, encoded)))


def _masked(text: str, forms: Sequence[str]) -> str:
    """The text without all places where a form, or the beginning of one, stands; places that overlap are one.

    All places are found before any is masked: values may begin alike, as session tokens of one account do, and a
    mask over the common beginning would leave the rest of the other value.
    """
    parts: list[str] = []
    masked_to = 0
    for at, end in sorted(place for form in forms for place in _places(text, form)):
        if at >= masked_to:
            parts += [text[masked_to:at], _MASK]
        masked_to = max(masked_to, end)
    return "".join([*parts, text[masked_to:]])


def _places(text: str, form: str) -> Iterator[tuple[int, int]]:
    """Where the form, or the beginning of it, stands in the text: from where to where."""
    begin, at = _begin(form), -1
    while (at := text.find(begin, at + 1)) >= 0:
        yield at, at + _common(text[at : at + len(form)], form)


def _begin(form: str) -> str:
    return form[:_QUOTED] if len(form) >= 2 * _QUOTED else form


def _common(text: str, form: str) -> int:
    """The length of the common prefix."""
    pairs = zip(text, form, strict=False)
    return next((number for number, (one, two) in enumerate(pairs) if one != two), len(text))


_HIDDEN = Hidden()
keep_hidden = _HIDDEN.keep
without_secrets = _HIDDEN.without


def keep_hidden_in_url(address: str, *, path: bool = False) -> None:
    """Hide the secret parts of a URL: its password, alone and with the user, its query, and with `path` its path too.

    A text that is not a valid URL is ignored.
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
