"""The least IAM policies for a configuration: of the reader, of the caller that assumes its roles, of the publisher.

Pure: computed from accounts, regions and images. Must not know a configuration file, or ask AWS.

SageMaker may lower-case names in ARNs, and IAM is case-sensitive: a pattern that has capitals is written in both
forms. ARNs have an account id only if there is one account, or if accounts have different patterns. Elsewhere
an id is not needed, since credentials cannot read another account's images. IAM limits a policy's length: in one that
would be too long, regions move from the ARNs to a condition, then accounts lose their ids, then patterns become `*`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

VERSION = "2012-10-17"
ANY = "*"
# IAM's wildcards are * and ?; a set of letters becomes one letter of any kind.
_MOST_PATTERNS = 10
# IAM's limit for a managed policy; spaces do not count.
_MOST_CHARACTERS = 6_144
# The actions that AWS's page on the REST endpoint of S3 Tables lists for the requests of a publication.
_BUCKET_OF_TABLES = [
    "s3tables:CreateNamespace",
    "s3tables:CreateTable",
    "s3tables:GetNamespace",
    "s3tables:GetTableBucket",
]
_TABLES_IN_BUCKET = [
    "s3tables:CreateTable",
    "s3tables:GetTableData",
    "s3tables:GetTableMetadataLocation",
    "s3tables:PutTableData",
    "s3tables:UpdateTableMetadataLocation",
]
_GLUE = ["glue:CreateDatabase", "glue:CreateTable", "glue:GetDatabase", "glue:GetTable", "glue:UpdateTable"]

Element: TypeAlias = "str | list[str] | dict[str, Element] | list[dict[str, Element]]"
Document: TypeAlias = "dict[str, Element]"


@dataclass(frozen=True, slots=True)
class Reach:
    """What one set of credentials is to read. `account_id` and `region` are None if they are unknown."""

    partition: str
    region: str | None
    account_id: str | None
    images: tuple[str, ...] = (ANY,)


@dataclass(frozen=True, slots=True)
class Callers:
    """What the identity that assumes roles needs: the roles, and actions on the organization."""

    roles: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()


def reader_policy(
    reaches: Sequence[Reach], *, regions_listed: bool = False, details: bool = False
) -> Document:
    """The policy of the identity that reads: the four calls of a sync, and nothing else, in IAM's limit of length.

    With `regions_listed` it may also list the regions that its account has enabled. With `details` it may also list
    aliases, which IAM requires to be allowed on the image and on its versions.
    """
    policies = [
        _reading(reaches, named, regions_listed=regions_listed, details=details)
        for named in _narrowest_first(reaches)
    ]
    return next((each for each in policies if _length(each) <= _MOST_CHARACTERS), policies[-1])


@dataclass(frozen=True, slots=True)
class _Named:
    """Reaches by the groups that share their ARNs, and a condition that limits them further."""

    groups: Sequence[Sequence[Reach]]
    condition: Document | None = None

    def arns(self, kind: str, tail: str = "") -> list[str]:
        """The ARNs of all groups."""
        return sorted({arn for group in self.groups for arn in _together(group, kind, tail)})


def _narrowest_first(reaches: Sequence[Reach]) -> Iterator[_Named]:
    """The ways to name the reaches, from the narrowest to the shortest."""
    regions = _condition(reaches)
    everywhere = [replace(reach, region=None) for reach in reaches]
    differ = len({frozenset(reach.images) for reach in reaches}) > 1
    if differ and all(reach.account_id for reach in reaches):
        yield _Named([[reach] for reach in reaches])
        yield _Named([[reach] for reach in everywhere], regions)
    yield _Named([reaches])
    yield _Named([everywhere], regions)
    yield _Named([[replace(reach, images=(ANY,)) for reach in everywhere]], regions)


def _reading(reaches: Sequence[Reach], named: _Named, *, regions_listed: bool, details: bool) -> Document:
    images, versions = named.arns("image"), named.arns("image-version", "/*")
    limit = named.condition
    of_images = ["sagemaker:DescribeImage", "sagemaker:ListImageVersions"]
    statements = [
        _statement("ListImages", ["sagemaker:ListImages"], [ANY], _condition(reaches)),
        _statement("ReadImages", of_images, images, limit),
        _statement("ReadVersions", ["sagemaker:DescribeImageVersion"], versions, limit),
    ]
    if details:
        statements.append(_statement("ReadAliases", ["sagemaker:ListAliases"], [*images, *versions], limit))
    if regions_listed:
        statements.append(_statement("ListRegions", ["account:ListRegions"], [ANY]))
    return {"Version": VERSION, "Statement": statements}


def _length(policy: Document) -> int:
    return len(json.dumps(policy, separators=(",", ":")))


def caller_policy(callers: Callers) -> Document:
    """The policy of the identity that assumes the roles."""
    statements = []
    if callers.roles:
        statements.append(_statement("AssumeRoles", ["sts:AssumeRole"], sorted(set(callers.roles))))
    if callers.actions:
        statements.append(_statement("ListAccounts", sorted(set(callers.actions)), [ANY]))
    return {"Version": VERSION, "Statement": statements}


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where a dataset is published in S3: a bucket, and a key without slashes at its ends, maybe empty."""

    partition: str
    bucket: str
    key: str


@dataclass(frozen=True, slots=True)
class Shop:
    """A database in Glue whose tables are published."""

    partition: str
    database: str


def publisher_policy(
    shelves: Sequence[Shelf],
    shops: Sequence[Shop] = (),
    keys: Iterable[str] = (),
    buckets: Iterable[str] = (),
) -> Document:
    """The policy of the identity that publishes: objects, the listing of their keys, and tables.

    `keys` are the KMS keys that encrypt the objects: ids, aliases or ARNs. `buckets` are ARNs of S3 Tables.
    """
    statements = [*_objects(shelves)] if shelves else []
    if shops:
        arns = {f"arn:{shop.partition}:glue:{ANY}:{ANY}:" for shop in shops}
        named = {
            f"arn:{shop.partition}:glue:{ANY}:{ANY}:{kind}"
            for shop in shops
            for kind in (f"database/{shop.database}", f"table/{shop.database}/{ANY}")
        }
        statements.append(_statement("Tables", _GLUE, sorted(named | {f"{arn}catalog" for arn in arns})))
    if named_buckets := sorted(set(buckets)):
        statements.append(_statement("TableBuckets", _BUCKET_OF_TABLES, named_buckets))
        inside = [f"{bucket}/table/{ANY}" for bucket in named_buckets]
        statements.append(_statement("TablesInBuckets", _TABLES_IN_BUCKET, inside))
    statements += [
        _encrypting(f"EncryptDataset{number}", shelves[0].partition, key)
        for number, key in enumerate(sorted(set(keys)), start=1)
    ]
    return {"Version": VERSION, "Statement": statements}


def _objects(shelves: Sequence[Shelf]) -> list[Document]:
    objects = [f"{_bucket(shelf)}/{shelf.key}/*" if shelf.key else f"{_bucket(shelf)}/*" for shelf in shelves]
    statements = [
        _statement("Datasets", ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"], sorted(set(objects)))
    ]
    statements += [
        _statement(f"ListDataset{number}", ["s3:ListBucket"], [_bucket(shelf)], _below(shelf))
        for number, shelf in enumerate(shelves, start=1)
    ]
    return statements


def _encrypting(sid: str, partition: str, key: str) -> Document:
    """Allow encryption, and decryption for reading the manifest. A policy can name an alias only as a condition."""
    actions = ["kms:Decrypt", "kms:GenerateDataKey"]
    whole = (
        key if key.startswith("arn:") else f"arn:{partition}:kms:*:*:{key if '/' in key else f'key/{key}'}"
    )
    place, _, alias = whole.partition(":alias/")
    if not alias:
        return _statement(sid, actions, [whole])
    has_alias: Document = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": [f"alias/{alias}"]}}
    return _statement(sid, actions, [f"{place}:key/*"], has_alias)


def _bucket(shelf: Shelf) -> str:
    return f"arn:{shelf.partition}:s3:::{shelf.bucket}"


def _below(shelf: Shelf) -> Document | None:
    return {"StringLike": {"s3:prefix": [f"{shelf.key}/*"]}} if shelf.key else None


def _statement(
    sid: str, actions: list[str], resources: list[str], condition: Document | None = None
) -> Document:
    statement: Document = {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources}
    return statement if condition is None else {**statement, "Condition": condition}


def _condition(reaches: Iterable[Reach]) -> Document | None:
    """Restrict ListImages, which takes no resource, to the regions; None if a region is unknown."""
    regions = {reach.region for reach in reaches}
    if None in regions or not regions:
        return None
    return {"StringEquals": {"aws:RequestedRegion": sorted(region for region in regions if region)}}


def _together(reaches: Sequence[Reach], kind: str, tail: str) -> list[str]:
    accounts = {reach.account_id for reach in reaches}
    account = next(iter(accounts)) if len(accounts) == 1 else None
    patterns = _patterns(glob for reach in reaches for glob in reach.images)
    places = {(reach.partition, reach.region or ANY) for reach in reaches}
    return sorted(
        f"arn:{partition}:sagemaker:{region}:{account or ANY}:{kind}/{pattern}{'' if pattern == ANY else tail}"
        for partition, region in places
        for pattern in patterns
    )


def _patterns(globs: Iterable[str]) -> list[str]:
    """The configured patterns as IAM wildcards, also in lower case; `*` if there are too many."""
    wanted = {_iam(glob) for glob in globs}
    both = wanted | {pattern.lower() for pattern in wanted}
    return [ANY] if ANY in wanted or len(both) > _MOST_PATTERNS else sorted(both)


def _iam(glob: str) -> str:
    """Translate a glob to an IAM wildcard that matches at least the same names."""
    pattern, inside = "", False
    for letter in glob:
        if letter == "[" and not inside:
            pattern, inside = f"{pattern}?", True
        elif letter == "]" and inside:
            inside = False
        elif not inside:
            pattern += letter
    return ANY if inside else pattern
