"""The options of the data source: their meanings, and the settings that result from them.

Must not know Spark, nor make a call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from image_history.config import Config
from image_history.config.loading import given_config
from image_history.config.secrets import refuse_secret_name
from image_history.config.tree import Node, Position, filled
from image_history.config.wording import nearest
from image_history.errors import ConfigError

FORMAT = "sagemaker_image_versions"
_MOST_PARTITIONS = 1000
DEFAULT_PARTITIONS = 8

MEANINGS = {
    "config": "A configuration file, where Spark's driver can read it: its accounts, organization, rates and bounds. "
    "Without it, the options below say what is read; without those, AWS's default credentials and region.",
    "roles": "ARNs of the roles to assume, separated by commas.",
    "external_id": "The external id that the roles require.",
    "source_profile": "Profile whose credentials assume the roles.",
    "profile": "Profile to read with, instead of roles. It has to be known on every machine of the cluster.",
    "regions": "Regions to read, separated by commas, or `all`.",
    "scopes": "ACCOUNT/REGION, separated by commas: of all that is above, only these.",
    "images": "Names of images or patterns such as `team-*`, separated by commas.",
    "list_per_second": "List calls a second in one account and region, 2 by default.",
    "describe_per_second": "Describe calls a second in one account and region, 5 by default.",
    "page_size": "Rows that one list call asks for, 100 by default.",
    "concurrency": "Calls that one partition makes at the same time, 16 by default.",
    "partitions": f"How many partitions the accounts and regions are packed into at most, {DEFAULT_PARTITIONS} by "
    "default.",
    "failures": "`fail` (the default): an image or a scope that cannot be read whole ends the job. `skip`: "
    "images that were not read whole are left out; the executor's log names them.",
}
_ACCOUNTS = ("roles", "external_id", "source_profile", "profile", "regions")
_RATES = {
    "list_per_second": ("rate", "list_per_second"),
    "describe_per_second": ("rate", "describe_per_second"),
}
_SETTINGS = {**_RATES, "page_size": ("page_size",), "concurrency": ("concurrency",)}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be read, in the form that is sent to the executors. Empty `images` and `scopes` mean all."""

    config: Config
    images: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    partitions: int = DEFAULT_PARTITIONS
    skip: bool = False


def wanted(options: Mapping[str, str]) -> Wanted:
    """Interpret the options, whose names are in lower case. ConfigError, one sentence, for any mistake in them."""
    for name in options:
        _require_known(name)
    beside = [name for name in _ACCOUNTS if name in options]
    if "config" in options and beside:
        raise ConfigError(
            f"{_called('config')} and {_called(beside[0])} both say what is read: put the second into the file, or "
            "leave the file out. To read only a part of what the file names there are scopes and images."
        )
    given = {path: _node(name, options[name]) for name, path in _SETTINGS.items() if name in options}
    if beside:
        given["accounts",] = _accounts(options)
    images = _list(options, "images")
    file = Path(options["config"]) if "config" in options else None
    return Wanted(
        given_config(given, file),
        tuple(each.text for each in images),
        tuple(each.text for each in _list(options, "scopes")),
        _partitions(options),
        _skip(options),
    )


def _require_known(name: str) -> None:
    if name not in MEANINGS:
        refuse_secret_name(name, Position(_called(name)))
        raise ConfigError(f"{FORMAT} has no option {name}{nearest(name, MEANINGS)}")


def _called(name: str) -> str:
    return f"Option {name} of {FORMAT}"


def _node(name: str, text: str) -> Node:
    return filled(text, Position(_called(name)))


def _accounts(options: Mapping[str, str]) -> Node:
    """One account for each role, or the one of the profile."""
    shared = {
        name: _node(name, options[name])
        for name in ("external_id", "source_profile", "profile")
        if name in options
    }
    place, regions = Position("what was given"), _list(options, "regions")
    if [each.text for each in regions] == ["all"]:
        shared["regions"] = regions[0]
    elif regions:
        shared["regions"] = Node(regions[0].place, "seq", items=regions)
    named = [{"role_arn": role} for role in _list(options, "roles")] or [{}]
    return Node(place, "seq", items=[Node(place, members={**each, **shared}) for each in named])


def _list(options: Mapping[str, str], name: str) -> list[Node]:
    """The parts between commas; ConfigError if one of them is empty."""
    if name not in options:
        return []
    parts = [part.strip() for part in options[name].split(",")]
    if not all(parts):
        raise ConfigError(f"{_called(name)} has an empty item: separate items by one comma each.")
    return [_node(name, part) for part in parts]


def _partitions(options: Mapping[str, str]) -> int:
    text = options.get("partitions", str(DEFAULT_PARTITIONS))
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= _MOST_PARTITIONS):
        raise ConfigError(
            f"{_called('partitions')} must be a whole number from 1 to {_MOST_PARTITIONS}, but it is the text "
            f"'{text}'."
        )
    return int(text)


def _skip(options: Mapping[str, str]) -> bool:
    chosen = options.get("failures", "fail").lower()
    if chosen not in {"fail", "skip"}:
        raise ConfigError(f"{_called('failures')} must be fail or skip, but it is the text '{chosen}'.")
    return chosen == "skip"
