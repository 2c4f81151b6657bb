"""The option --shard, which several verbs take.

Must not know what a share is good for.
"""

from __future__ import annotations

import click

from image_history.run.shards import WHOLE, Shard, parse_shard


class _ShareType(click.ParamType[Shard]):
    name = "share"

    def convert(self, value: str | Shard, *_: object) -> Shard:
        """Read the text; ConfigError says what is wrong with it."""
        return value if isinstance(value, Shard) else parse_shard(value)


shard_option = click.option(
    "--shard",
    type=_ShareType(),
    default=WHOLE,
    metavar="I/N",
    help="Only the I-th of N shares of the images, at an N-th of the rate; other machines read the others.",
)
