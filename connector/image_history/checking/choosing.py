"""Chooses the image to probe: the requested one, or else the one with the most versions.

Must not know the experiments.
"""

from __future__ import annotations

from dataclasses import replace

from image_history.checking.subject import Question, Subject
from image_history.config import Config
from image_history.errors import ConfigError
from image_history.extract.expand import find_targets
from image_history.extract.scopes import OpenScope, Target, open_scope
from image_history.model import Stop
from image_history.warehouse.loader import Knowledge

# If no warehouse says which image has many versions, the newest version number of this many images is requested.
_TRIED_IMAGES = 10
_HIGHEST = Question("VERSION", "DESCENDING", 1)


def choose(
    config: Config, knowledge: Knowledge, *, image: str | None, scope: str | None, stop: Stop
) -> Subject:
    """Return the subject of a probe, before any of its versions is read.

    ConfigError if there is no such scope or image, or no image at all; raises what opening a scope raises.
    """
    opened = _scope(find_targets(config, stop), config, scope, stop)
    found = opened.images()
    images = {each.ImageName: each for each in found.images}
    names = list(images)
    if image is not None and image not in names:
        raise ConfigError(f"There is no image {image} in {opened.scope}; upper and lower case matter.")
    if not names:
        raise ConfigError(f"There is no image in {opened.scope} to probe; name another scope with --scope.")
    bare = Subject(opened.calls, opened.scope, "")
    chosen = image if image is not None else _largest(bare, names, knowledge)
    others = tuple(name for name in names if name != chosen)
    return replace(bare, image_name=chosen, others=others, image=images[chosen], listed_ms=found.now_ms)


def _scope(wanted: tuple[Target, ...], config: Config, scope: str | None, stop: Stop) -> OpenScope:
    """The first scope, or the one that is named ACCOUNT/REGION."""
    region = None if scope is None else scope.rpartition("/")[2]
    for target in wanted:
        if region in (None, target.region):
            opened = open_scope(target, config, stop)
            if scope in (None, str(opened.scope)):
                return opened
    there = ", ".join(map(str, wanted))
    raise ConfigError(f"No scope {scope} is configured; there are: {there}.")


def _largest(bare: Subject, names: list[str], knowledge: Knowledge) -> str:
    known = {
        stream.image_name: each.live_versions
        for stream, each in knowledge.streams.items()
        if stream.scope == bare.scope and stream.image_name in names
    }
    if known:
        return max(known, key=lambda name: known[name])
    highest = {
        name: max(bare.ask(_HIGHEST, image_name=name).numbers, default=0) for name in names[:_TRIED_IMAGES]
    }
    return max(highest, key=lambda name: highest[name])
