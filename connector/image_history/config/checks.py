"""Rules that concern several settings at once, checked on the finished configuration.

Must not know how values are written; the tree serves only to say where the fault stands.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from yaml import ScalarNode, SequenceNode

from image_history.config.document import FILLED, Node, fault, member

if TYPE_CHECKING:
    from image_history.config.model import Account, Config, Notify, Publish

_ALL = "all"
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
# Where lake tables lie: what the address must match, and an example.
TABLE_SCHEMES = {
    "iceberg": (
        r"iceberg://[A-Za-z0-9_.-]+/[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*",
        "iceberg://glue/ml_inventory",
    ),
    "delta+s3": (r"delta\+s3://[a-z0-9.-]+(/.*)?", "delta+s3://bucket/folder"),
    "delta+file": (r"delta\+file:/.*", "delta+file:/folder"),
}


def check_paths(config: Config, root: Node) -> None:
    """The warehouse must be able to be a file, and the landing folder must be another path."""
    if config.warehouse.name in {"", ".."}:
        raise fault(_place(root, "warehouse"), "warehouse names a folder; it must be the path of a file.")
    if config.landing_folder == config.warehouse:
        at = _place(root, "warehouse" if config.landing is None else "landing")
        raise fault(
            at, f"the landing folder and the warehouse would both be {config.warehouse}; name another one."
        )


def check_publish(config: Config, root: Node) -> None:
    """Each dataset and each lake has a place of its own, and only the settings that serve there."""
    items = member(root, "publish")
    if not isinstance(items, SequenceNode):
        return
    seen: dict[str, int] = {}
    for index, (entry, item) in enumerate(zip(config.publish, items.value, strict=True)):
        if entry.to is None:
            raise fault(
                item,
                f"publish[{index}] has no 'to'; name a folder, or an address such as s3://bucket/folder.",
            )
        if seen.setdefault(entry.to.rstrip("/"), index) != index:
            raise fault(
                _place(item, "to"),
                f"publish[{index}] and publish[{seen[entry.to.rstrip('/')]}] have the same 'to'; keep one of them.",
            )
        _check_apart(config, entry.to, item, index)
        _check_address(entry.to, item, index)
        _check_settings(entry, item, index)


def _check_apart(config: Config, to: str, item: Node, index: int) -> None:
    """What is published would be written over what a sync works with."""
    taken = {
        config.warehouse.absolute(): "the warehouse",
        config.landing_folder.absolute(): "the landing folder",
    }
    if ":/" not in to and (found := taken.get(Path(to).absolute())):
        raise fault(
            _place(item, "to"), f"publish[{index}].to and {found} would both be {to}; name another place."
        )


def _check_address(to: str, item: Node, index: int) -> None:
    scheme = to.partition(":/")[0] if ":/" in to else None
    if scheme not in {None, "s3", *TABLE_SCHEMES}:
        raise fault(
            _place(item, "to"),
            f"publish[{index}].to must be a folder or an address such as s3://bucket/folder, not {scheme}://.",
        )
    shape = TABLE_SCHEMES.get(scheme or "")
    if shape is not None and not re.fullmatch(shape[0], to):
        raise fault(_place(item, "to"), f"publish[{index}].to must be like {shape[1]}, but it is {to!r}.")


def _check_settings(entry: Publish, item: Node, index: int) -> None:
    scheme = str(entry.to).partition(":")[0]
    tables = scheme in TABLE_SCHEMES
    if entry.profile is not None and scheme not in {"s3", "iceberg", "delta+s3"}:
        raise fault(_place(item, "profile"), f"publish[{index}].profile is for S3, and 'to' is a folder.")
    for name in ("properties", "label", "keep"):
        if not tables and member(item, name) is not None:
            raise fault(
                _place(item, name),
                f"publish[{index}].{name} is for Iceberg and Delta tables, and 'to' is a Parquet dataset.",
            )
    if tables and member(item, "grace") is not None:
        raise fault(
            _place(item, "grace"),
            f"publish[{index}].grace is for Parquet datasets; how long a table's versions last is 'keep'.",
        )
    _check_place(entry, item, index, scheme)


def _check_place(entry: Publish, item: Node, index: int, scheme: str) -> None:
    in_s3, in_table = scheme == "s3", scheme in TABLE_SCHEMES
    for name in ("sse", "kms_key_id"):
        if getattr(entry, name) is not None and not in_s3:
            raise fault(
                _place(item, name),
                f"publish[{index}].{name} is for S3, and 'to' is a {'table' if in_table else 'folder'}.",
            )
    if entry.group is not None and (
        in_s3 or in_table or str(entry.to).lower().endswith((".html", ".htm", ".duckdb"))
    ):
        raise fault(
            _place(item, "group"), f"publish[{index}].group is for a dataset in a folder, and 'to' is none."
        )
    if entry.kms_key_id is not None and not (entry.sse or "").startswith("aws:kms"):
        raise fault(_place(item, "kms_key_id"), f"publish[{index}].kms_key_id needs sse: aws:kms beside it.")


def check_hints(config: Config, root: Node) -> None:
    """Hints have one source, or images' own times stand in for them; a profile is there only where it serves."""
    hints, written = config.hints, member(root, "hints")
    if written is None:
        return
    if hints.queue is not None and hints.folder is not None:
        raise fault(_place(written, "folder"), "hints has both queue and folder; keep one of them.")
    if hints.profile is not None and hints.queue is None:
        raise fault(_place(written, "profile"), "hints.profile is for a queue; name one, or remove it.")
    if hints.trust_image_time and (hints.queue is not None or hints.folder is not None):
        raise fault(
            _place(written, "trust_image_time"),
            "hints.trust_image_time is for where there are no hints; keep it, or the queue or folder.",
        )


def check_notify(config: Config, root: Node) -> None:
    """Each receiver is a command or an address, under a name of its own. The address, a secret, is never repeated."""
    items = member(root, "notify")
    if not isinstance(items, SequenceNode):
        return
    seen: dict[str, int] = {}
    for index, (entry, item) in enumerate(zip(config.notify, items.value, strict=True)):
        if (entry.run is None) == (entry.webhook is None):
            raise fault(item, f"notify[{index}] needs one of the two: run with a command, or webhook.")
        if entry.webhook is not None:
            _check_webhook(entry.webhook, _place(item, "webhook"), index)
        name = receiver_name(entry, index)
        if seen.setdefault(name, index) != index:
            raise fault(
                _place(item, "name"), f"notify[{index}] and notify[{seen[name]}] are both called {name}."
            )


def receiver_name(entry: Notify, index: int) -> str:
    """Under which the warehouse remembers what a receiver was told."""
    return entry.name or f"{'run' if entry.webhook is None else 'webhook'}-{index + 1}"


def _check_webhook(address: str, node: Node, index: int) -> None:
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise fault(node, f"notify[{index}].webhook must be an address that begins with https://.")
    if parts.hostname in _LOOPBACK:
        return
    if parts.scheme != "https":
        raise fault(
            node, f"notify[{index}].webhook must begin with https://: plain HTTP is for this machine."
        )
    if isinstance(node, ScalarNode) and node.style != FILLED:
        raise fault(
            node,
            f"notify[{index}].webhook is a secret: put it into a variable, and write webhook: ${{NAME}}.",
        )


def check_accounts(config: Config, root: Node) -> None:
    """Each entry is of one kind, and no two entries read the same region with the same identity."""
    items = member(root, "accounts")
    if not isinstance(items, SequenceNode):
        return
    seen: dict[str, dict[str | None, int]] = {}
    for index, (account, item) in enumerate(zip(config.accounts, items.value, strict=True)):
        _check_role(account, item, index)
        for region in _named(account):
            first = _first(seen.setdefault(account.identity, {}), region, index)
            if first != index or _named(account).count(region) > 1:
                raise _twice(account, region, (first, index), item)


def _named(account: Account) -> tuple[str | None, ...]:
    """The regions as they are written: `all` is one of them, None is the default one."""
    match account.regions:
        case None:
            return (None,)
        case str(word):
            return (word,)
        case names:
            return names


def _first(seen: dict[str | None, int], region: str | None, index: int) -> int:
    """The first entry that reads this region: `all` is every region, the default one too."""
    seen.setdefault(region, index)
    return min(first for where, first in seen.items() if where == region or _ALL in {where, region})


def _check_role(account: Account, item: Node, index: int) -> None:
    if account.role_arn is not None and account.profile is not None:
        raise fault(
            _place(item, "profile"),
            f"accounts[{index}] has both profile and role_arn; keep one, and name the profile that "
            "assumes the role as source_profile.",
        )
    for name in ("external_id", "source_profile"):
        if getattr(account, name) is not None and account.role_arn is None:
            raise fault(_place(item, name), f"accounts[{index}].{name} needs a role_arn beside it.")


def check_organization(config: Config, root: Node) -> None:
    """Nothing is said of an organization that is not read, and no account is both in and out."""
    organization, written = config.organization, member(root, "organization")
    if written is None:
        return
    if organization.role_name is None and organization != type(organization)():
        raise fault(
            written, "organization needs a role_name: the role that is assumed in each of its accounts."
        )
    include, exclude = organization.include, organization.exclude
    both = {*include.units, *include.accounts} & {*exclude.units, *exclude.accounts}
    if both:
        raise fault(
            _place(written, "exclude"),
            f"organization includes and excludes {', '.join(sorted(both))}; keep one of the two.",
        )


def _twice(account: Account, region: str | None, entries: tuple[int, int], item: Node) -> Exception:
    where = {None: "the default region", _ALL: "every region"}.get(region, region)
    first, second = entries
    which = f"within accounts[{first}]" if first == second else f"by accounts[{first}] and accounts[{second}]"
    return fault(
        _place(item, "regions"),
        f"{where} with {account.identity} is covered twice, {which}; keep one, with all image patterns.",
    )


def _place(node: Node, name: str) -> Node:
    """The member `name`, or else what it would belong to."""
    return member(node, name) or node
