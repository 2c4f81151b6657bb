"""Keys and credentials that have no place in a configuration, and the nearest right name for a wrong one.

Must not know values' types; never repeats a value that may be a secret.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from yaml import MappingNode, ScalarNode

from image_history.config.document import Node, fault, walk
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


def refuse_secrets(root: Node) -> None:
    """ConfigError if any key below `root` is named like a credential, or any text holds an access key id."""
    keys = {id(key) for node in walk(root) if isinstance(node, MappingNode) for key, _ in node.value}
    for node in walk(root):
        if id(node) in keys:
            refuse_secret_name(node.value, node)
        elif isinstance(node, ScalarNode) and _SECRET_VALUE.search(node.value):
            raise fault(node, f"this looks like an AWS access key; {_INSTEAD}")


def refuse_secret_name(name: str, node: Node) -> None:
    """ConfigError, at the place of `node`, if `name` is that of a credential."""
    if _SECRET_VALUE.search(name):
        raise fault(node, f"this looks like an AWS access key; {_INSTEAD}")
    if _SECRET_NAME.search(name.lower().replace("-", "_")):
        raise fault(node, f"'{shorten(name)}' is refused: {_INSTEAD}")


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """The end of a sentence about the unknown `name`: the nearest right one, or all if none is near."""
    names = list(known)
    close = get_close_matches(name[:100], names, n=1, cutoff=cutoff)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(names)}."
