"""Rules that concern several settings at once, checked on the finished configuration.

Must not know how values are written; the tree serves only to say where the fault stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from image_history.addresses import DELTA_S3, ICEBERG, is_file, is_lake, right_lake, scheme_of
from image_history.config.model import Config, Publish
from image_history.config.tree import Node

Entry = TypeVar("Entry")

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def check(config: Config, root: Node) -> None:
    """Raise ConfigError for the first rule that is broken, with the place of the setting at fault."""
    _check_paths(config, root)
    _check_accounts(config, root)
    _check_organization(config, root)
    _check_publish(config, root)
    _check_hints(config, root)
    _check_notify(config, root)


def _entries(values: Sequence[Entry], root: Node, name: str) -> Iterator[tuple[str, Entry, Node]]:
    """Each written entry of a list, with its name in messages, such as accounts[0]."""
    items = root.members.get(name, Node(root.place)).items
    for index, item in enumerate(items):
        yield f"{name}[{index}]", values[index], item


def _check_paths(config: Config, root: Node) -> None:
    """The warehouse's path must be possible for a file, and the landing folder must be another path."""
    if config.warehouse.name in {"", ".."}:
        raise root.at("warehouse").fault("warehouse names a folder; it must be the path of a file.")
    if config.landing_folder == config.warehouse:
        raise root.at("warehouse" if config.landing is None else "landing").fault(
            f"the landing folder and the warehouse would both be {config.warehouse}; name another one."
        )


def _check_accounts(config: Config, root: Node) -> None:
    """Each entry is of one kind, and no two entries read the same region with the same identity."""
    read: dict[str, list[tuple[str | None, str]]] = {}
    for called, account, item in _entries(config.accounts, root, "accounts"):
        if account.role_arn is not None and account.profile is not None:
            raise item.at("profile").fault(
                f"{called} has both profile and role_arn; keep one, and name the profile that "
                "assumes the role as source_profile."
            )
        for name in ("external_id", "source_profile"):
            if getattr(account, name) is not None and account.role_arn is None:
                raise item.at(name).fault(f"{called}.{name} needs a role_arn beside it.")
        for region in account.regions if isinstance(account.regions, tuple) else (account.regions,):
            others = read.setdefault(account.identity, [])
            # `all` is every region, the default one too.
            first = next((by for other, by in others if other == region or "all" in {other, region}), None)
            if first is not None:
                where = {None: "the default region", "all": "every region"}.get(region, region)
                which = f"within {first}" if first == called else f"by {first} and {called}"
                raise item.at("regions").fault(
                    f"{where} with {account.identity} is covered twice, {which}; "
                    "keep one, with all image patterns."
                )
            others.append((region, called))


def _check_organization(config: Config, root: Node) -> None:
    """No other setting of organization without a role_name, and no account or unit both included and excluded."""
    organization, written = config.organization, root.members.get("organization", root)
    if organization.role_name is None and organization != type(organization)():
        raise written.place.fault(
            "organization needs a role_name: the role that is assumed in each of its accounts."
        )
    include, exclude = organization.include, organization.exclude
    both = {*include.units, *include.accounts} & {*exclude.units, *exclude.accounts}
    if both:
        raise written.at("exclude").fault(
            f"organization includes and excludes {', '.join(sorted(both))}; keep one of the two."
        )


def _check_publish(config: Config, root: Node) -> None:
    """Each dataset and each lake has its own destination, and only settings that apply there."""
    # Publishing there would overwrite files that a sync works with.
    taken = {
        config.warehouse.absolute(): "the warehouse",
        config.landing_folder.absolute(): "the landing folder",
    }
    seen: dict[str, str] = {}
    for called, entry, item in _entries(config.publish, root, "publish"):
        if entry.to is None:
            raise item.place.fault(
                f"{called} has no 'to'; name a folder, or an address such as s3://bucket/folder."
            )
        at, scheme = item.at("to"), scheme_of(entry.to)
        first = seen.setdefault(entry.to.rstrip("/"), called)
        if first != called:
            raise at.fault(f"{called} and {first} have the same 'to'; keep one of them.")
        if scheme is None and (found := taken.get(Path(entry.to).absolute())):
            raise at.fault(f"{called}.to and {found} would both be {entry.to}; name another place.")
        if not (scheme in {None, "s3"} or is_lake(entry.to)):
            raise at.fault(
                f"{called}.to must be a folder or an address such as s3://bucket/folder, not {scheme}://."
            )
        if (example := right_lake(entry.to)) is not None:
            raise at.fault(f"{called}.to must be like {example}, but it is {entry.to!r}.")
        _check_serves(called, entry, entry.to, item)


def _check_serves(called: str, entry: Publish, to: str, item: Node) -> None:
    """Each setting of an entry applies to the entry's destination."""
    in_s3, tables = scheme_of(to) == "s3", is_lake(to)
    for name in ("properties", "label", "keep"):
        # Null is refused too, since it has a meaning for a table.
        if name in item.members and not tables:
            raise item.at(name).fault(
                f"{called}.{name} is for Iceberg and Delta tables, and 'to' is a Parquet dataset."
            )
    of_s3 = in_s3, f"is for S3, and 'to' is a {'table' if tables else 'folder'}."
    # Whether a setting applies there, and the message if it does not.
    serving = {
        "profile": (in_s3 or to.startswith((ICEBERG, DELTA_S3)), "is for S3, and 'to' is a folder."),
        "grace": (not tables, "is for Parquet datasets; how long a table's versions last is 'keep'."),
        "sse": of_s3,
        "kms_key_id": of_s3,
        "group": (not (in_s3 or tables or is_file(to)), "is for a dataset in a folder, and 'to' is not one."),
    }
    for name, (serves, sentence) in serving.items():
        if name in item.members and getattr(entry, name) is not None and not serves:
            raise item.at(name).fault(f"{called}.{name} {sentence}")
    if entry.kms_key_id is not None and not (entry.sse or "").startswith("aws:kms"):
        raise item.at("kms_key_id").fault(f"{called}.kms_key_id needs sse: aws:kms beside it.")


def _check_hints(config: Config, root: Node) -> None:
    """Hints have one source, or trust_image_time replaces them; a profile is allowed only for a queue."""
    hints, written = config.hints, root.members.get("hints", root)
    if hints.queue is not None and hints.folder is not None:
        raise written.at("folder").fault("hints has both queue and folder; keep one of them.")
    if hints.profile is not None and hints.queue is None:
        raise written.at("profile").fault("hints.profile is for a queue; name one, or remove it.")
    if hints.trust_image_time and (hints.queue is not None or hints.folder is not None):
        raise written.at("trust_image_time").fault(
            "hints.trust_image_time is only for use without hints; keep it, or the queue or folder."
        )


def _check_notify(config: Config, root: Node) -> None:
    """Each receiver is a command or an address, with a unique name. Messages never repeat the address, a secret."""
    seen: dict[str, str] = {}
    for index, (called, entry, item) in enumerate(_entries(config.notify, root, "notify")):
        if (entry.run is None) == (entry.webhook is None):
            raise item.place.fault(f"{called} needs one of the two: run with a command, or webhook.")
        if entry.webhook is not None:
            _check_webhook(f"{called}.webhook", entry.webhook, item.members["webhook"])
        name = entry.called(index)
        first = seen.setdefault(name, called)
        if first != called:
            raise item.at("name").fault(f"{called} and {first} are both called {name}.")


def _check_webhook(called: str, address: str, node: Node) -> None:
    try:
        parts = urlsplit(address)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise node.place.fault(f"{called} must be an address that begins with https://.")
    if parts.hostname in _LOOPBACK:
        return
    if parts.scheme != "https":
        raise node.place.fault(f"{called} must begin with https://: plain HTTP is for this machine.")
    if not node.filled:
        raise node.place.fault(f"{called} is a secret: put it into a variable, and write webhook: ${{NAME}}.")
