"""The options that narrow a run: --part, --image and --scope, which several verbs take.

Must not know what is in a part.
"""

from __future__ import annotations

import os
import re

import click

from image_history.cli import offering
from image_history.errors import ConfigError
from image_history.run.parts import WHOLE, Part, parse_part

# Expanded as in the configuration, since many schedulers start a command without a shell.
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class _PartType(click.ParamType[Part]):
    name = "part"

    def convert(self, value: str | Part, *_: object) -> Part:
        """Read the text, with the variables that a scheduler sets; ConfigError says what is wrong with it."""
        return value if isinstance(value, Part) else parse_part(_VARIABLE.sub(_value, value))


def _value(found: re.Match[str]) -> str:
    if found[1] not in os.environ:
        raise ConfigError(f"--part names the environment variable {found[1]}, which is not set.")
    return os.environ[found[1]]


def nothing_of(part: Part) -> str:
    """The sentence that a verb prints in place of an empty table."""
    return f"Part {part} has none of the requested scopes."


part_option = click.option(
    "--part",
    type=_PartType(),
    default=WHOLE,
    metavar="I/N",
    help="Only the I-th of N parts of the accounts and regions; other machines read the others. ${VAR} is expanded, "
    "and 0+1/N is the first.",
)
images_option = click.option(
    "--image",
    "images",
    multiple=True,
    metavar="GLOB",
    shell_complete=offering.images,
    help="Only images that match; repeatable.",
)
scopes_option = click.option(
    "--scope",
    "scopes",
    multiple=True,
    metavar="ACCOUNT/REGION",
    shell_complete=offering.scopes,
    help="Only this scope; repeatable.",
)
