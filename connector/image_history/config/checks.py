"""Rules that concern several settings at once, checked on the finished configuration.

Must not know how or where values are written: a broken rule names the setting at fault.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

from image_history.addresses import DELTA_S3, ICEBERG, is_file, is_lake, right_lake, scheme_of
from image_history.config.model import Config, Hints, Organization, Publish
from image_history.config.tree import Node

# The name of a setting, and a sentence about it.
Fault: TypeAlias = tuple[str, str]

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def faults(config: Config, written: Mapping[str, Node]) -> Iterator[Fault]:
    """Every rule that the configuration breaks; `written` are its settings by name."""
    yield from _paths(config)
    yield from _accounts(config)
    yield from _organization(config.organization)
    yield from _publications(config, written)
    yield from _hints(config.hints)
    yield from _receivers(config, written)


def _paths(config: Config) -> Iterator[Fault]:
    """The warehouse's path must be possible for a file, and the landing folder must be another path."""
    if config.warehouse.name in {"", ".."}:
        yield "warehouse", "warehouse names a folder; it must be the path of a file."
    if config.landing_folder == config.warehouse:
        at_fault = "warehouse" if config.landing is None else "landing"
        both = f"the landing folder and the warehouse would both be {config.warehouse}"
        yield at_fault, f"{both}; name another one."


def _accounts(config: Config) -> Iterator[Fault]:
    """Each entry is of one kind, and no two entries read the same region with the same identity."""
    read: dict[str, list[tuple[str | None, str]]] = {}
    for index, account in enumerate(config.accounts):
        called, others = f"accounts[{index}]", read.setdefault(account.identity, [])
        if account.role_arn is not None and account.profile is not None:
            instead = "keep one, and name the profile that assumes the role as source_profile."
            yield f"{called}.profile", f"{called} has both profile and role_arn; {instead}"
        for name in ("external_id", "source_profile"):
            if getattr(account, name) is not None and account.role_arn is None:
                yield f"{called}.{name}", f"{called}.{name} needs a role_arn beside it."
        for region in account.regions if isinstance(account.regions, tuple) else (account.regions,):
            # `all` is every region, the default one too.
            first = next((by for other, by in others if other == region or "all" in {other, region}), None)
            if first is not None:
                where = {None: "the default region", "all": "every region"}.get(region, region)
                which = f"within {first}" if first == called else f"by {first} and {called}"
                twice = f"{where} with {account.identity} is covered twice, {which}"
                yield f"{called}.regions", f"{twice}; keep one, with all image patterns."
            others.append((region, called))


def _organization(organization: Organization) -> Iterator[Fault]:
    """No other setting without a role_name, and no account or unit both included and excluded."""
    if organization.role_name is None and organization != Organization():
        needed = "a role_name: the role that is assumed in each of its accounts"
        yield "organization", f"organization needs {needed}."
    include, exclude = organization.include, organization.exclude
    both = {*include.units, *include.accounts} & {*exclude.units, *exclude.accounts}
    if both:
        named = ", ".join(sorted(both))
        yield "organization.exclude", f"organization includes and excludes {named}; keep one of the two."


def _publications(config: Config, written: Mapping[str, Node]) -> Iterator[Fault]:
    """Each dataset and each lake has its own destination, and only settings that apply there."""
    # Publishing there would overwrite files that a sync works with.
    taken = {
        config.warehouse.absolute(): "the warehouse",
        config.landing_folder.absolute(): "the landing folder",
    }
    seen: dict[str, str] = {}
    for index, entry in enumerate(config.publish):
        called = f"publish[{index}]"
        if entry.to is None:
            yield called, f"{called} has no 'to'; name a folder, or an address such as s3://bucket/folder."
            continue
        first = seen.setdefault(entry.to.rstrip("/"), called)
        if first != called:
            yield f"{called}.to", f"{called} and {first} have the same 'to'; keep one of them."
        if scheme_of(entry.to) is None and (found := taken.get(Path(entry.to).absolute())):
            yield f"{called}.to", f"{called}.to and {found} would both be {entry.to}; name another place."
        for name, sentence in (*_address(entry.to), *_beside(entry, entry.to)):
            if f"{called}.{name}" in written:
                yield f"{called}.{name}", f"{called}.{name} {sentence}"


def _address(to: str) -> Iterator[Fault]:
    """The destination is a folder, a place in S3, or a lake with a valid address."""
    scheme = scheme_of(to)
    if not (scheme in {None, "s3"} or is_lake(to)):
        yield "to", f"must be a folder or an address such as s3://bucket/folder, not {scheme}://."
    if (example := right_lake(to)) is not None:
        yield "to", f"must be like {example}, but it is {to!r}."


def _beside(entry: Publish, to: str) -> Iterator[Fault]:
    """Each setting of an entry, if it is written, applies to the entry's destination."""
    in_s3, tables = scheme_of(to) == "s3", is_lake(to)
    of_tables = tables, "is for Iceberg and Delta tables, and 'to' is a Parquet dataset."
    of_s3 = in_s3, f"is for S3, and 'to' is a {'table' if tables else 'folder'}."
    # Whether a setting applies there, and the message if it does not.
    serving = {
        "properties": of_tables,
        "label": of_tables,
        "keep": of_tables,
        "profile": (in_s3 or to.startswith((ICEBERG, DELTA_S3)), "is for S3, and 'to' is a folder."),
        "grace": (not tables, "is for Parquet datasets; how long a table's versions last is 'keep'."),
        "sse": of_s3,
        "kms_key_id": of_s3,
        "group": (not (in_s3 or tables or is_file(to)), "is for a dataset in a folder, and 'to' is not one."),
    }
    for name, (serves, sentence) in serving.items():
        # Null is refused too in what tables alone have, since it has a meaning there.
        if not serves and (getattr(entry, name) is not None or name in {"properties", "label", "keep"}):
            yield name, sentence
    if entry.kms_key_id is not None and not (entry.sse or "").startswith("aws:kms"):
        yield "kms_key_id", "needs sse: aws:kms beside it."


def _hints(hints: Hints) -> Iterator[Fault]:
    """Hints have one source, or trust_image_time replaces them; a profile is allowed only for a queue."""
    if hints.queue is not None and hints.folder is not None:
        yield "hints.folder", "hints has both queue and folder; keep one of them."
    if hints.profile is not None and hints.queue is None:
        yield "hints.profile", "hints.profile is for a queue; name one, or remove it."
    if hints.trust_image_time and (hints.queue is not None or hints.folder is not None):
        alone = "hints.trust_image_time is only for use without hints"
        yield "hints.trust_image_time", f"{alone}; keep it, or the queue or folder."


def _receivers(config: Config, written: Mapping[str, Node]) -> Iterator[Fault]:
    """Each receiver is a command or an address, with a unique name."""
    seen: dict[str, str] = {}
    for index, entry in enumerate(config.notify):
        called, name = f"notify[{index}]", entry.called(index)
        if (entry.run is None) == (entry.webhook is None):
            yield called, f"{called} needs one of the two: run with a command, or webhook."
        if entry.webhook is not None:
            webhook = f"{called}.webhook"
            for sentence in _webhook(entry.webhook, filled=written[webhook].filled):
                yield webhook, f"{webhook} {sentence}"
        first = seen.setdefault(name, called)
        if first != called:
            yield f"{called}.name", f"{called} and {first} are both called {name}."


def _webhook(address: str, *, filled: bool) -> Iterator[str]:
    """An address is a secret, and must be of HTTPS and from a variable. Messages never repeat it."""
    try:
        parts = urlsplit(address)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        yield "must be an address that begins with https://."
    elif parts.hostname in _LOOPBACK:
        return
    elif parts.scheme != "https":
        yield "must begin with https://: plain HTTP is for this machine."
    elif not filled:
        yield "is a secret: put it into a variable, and write webhook: ${NAME}."
