"""Keys and credentials that have no place in a configuration, and the nearest right name for a wrong one.

Must not know values' types; never repeats a value that may be a secret.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from image_history.config.document import Entry, Mapping, Place, Scalar, Sequence, Value
from image_history.config.quoting import shorten

if TYPE_CHECKING:
    from collections.abc import Iterable

_SECRET_NAME = re.compile(
    r"access_?key|secret|(session|security|auth)_?token|password|passwd|credential|api_?key"
)
# Access key ids of users and of sessions; the secret half has no telling form.
_SECRET_VALUE = re.compile(r"(?<![A-Z0-9])(AKIA|ASIA)[A-Z0-9]{16}(?![A-Z0-9])")
_INSTEAD = (
    "credentials don't belong in this configuration; name a profile of your AWS configuration (profile: NAME)"
    " or a role (role_arn: ARN), or let AWS's own variables and files provide them."
)


def refuse_secrets(value: Value) -> None:
    """ConfigError if any key in `value` is named like a credential, or any text holds an access key id."""
    match value:
        case Mapping(entries=entries):
            for entry in entries:
                _refuse_entry(entry)
        case Sequence(items=items):
            for item in items:
                refuse_secrets(item)
        case Scalar(text=text, place=place):
            if _SECRET_VALUE.search(text):
                raise place.fault(f"this looks like an AWS access key; {_INSTEAD}")


def _refuse_entry(entry: Entry) -> None:
    refuse_secret_name(entry.key, entry.place)
    refuse_secrets(entry.value)


def refuse_secret_name(name: str, place: Place) -> None:
    """ConfigError if `name` is that of a credential."""
    if _SECRET_VALUE.search(name):
        raise place.fault(f"this looks like an AWS access key; {_INSTEAD}")
    if _SECRET_NAME.search(name.lower().replace("-", "_")):
        raise place.fault(f"'{shorten(name)}' is refused: {_INSTEAD}")


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """The end of a sentence about the unknown `name`: the nearest right one, or all if none is near."""
    names = list(known)
    close = get_close_matches(name[:100], names, n=1, cutoff=cutoff)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(names)}."
