"""Refuses keys and credentials in the configuration. Messages never repeat them.

Must not know values' types.
"""

from __future__ import annotations

import re

from image_history.config.tree import Node, Position
from image_history.config.wording import ACCESS_KEY, shorten

_NAME = re.compile(r"access_?key|secret|(session|security|auth)_?token|password|passwd|credential|api_?key")
_INSTEAD = (
    "credentials don't belong in this configuration; name a profile of your AWS configuration (profile: NAME)"
    " or a role (role_arn: ARN), or let AWS's own variables and files provide them."
)


def refuse_secrets(root: Node) -> None:
    """ConfigError if any name below `root` is that of a credential, or any text holds an access key id."""
    for node in root.walk():
        _refuse_key(node.text, node.place)
        for name, below in node.members.items():
            refuse_secret_name(name, below.place)


def refuse_secret_name(name: str, place: Position) -> None:
    """ConfigError, at that place, if `name` is that of a credential."""
    _refuse_key(name, place)
    if _NAME.search(name.lower().replace("-", "_")):
        raise place.fault(f"'{shorten(name)}' is refused: {_INSTEAD}")


def _refuse_key(text: str, place: Position) -> None:
    if ACCESS_KEY.search(text):
        raise place.fault(f"this looks like an AWS access key; {_INSTEAD}")
