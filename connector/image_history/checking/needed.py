"""The policies that a configuration needs, from the configuration alone: without AWS and the warehouse.

Must not know how a policy is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from image_history.aws.catalog import partition_of
from image_history.checking.policy import (
    ANY,
    Callers,
    Document,
    Reach,
    Shelf,
    Shop,
    caller_policy,
    publisher_policy,
    reader_policy,
)
from image_history.config import Account, Config, Organization, Publish
from image_history.errors import ConfigError
from image_history.extract.scopes import ALL, access_of, targets
from image_history.publish.lakes import folder_in_s3, glue_database, table_bucket
from image_history.publish.s3 import Address

_DEFAULT_PARTITION = "aws"


def policy_of_reader(config: Config) -> Document:
    """The policy of the credentials that read."""
    accounts = list(_accounts(config))
    listed = any(account.regions == ALL for account in accounts)
    return reader_policy(
        [reach for account in accounts for reach in _reaches(account)],
        regions_listed=listed,
        details=config.details,
    )


def policy_of_caller(config: Config) -> Document:
    """The policy of the credentials that assume the configured roles. ConfigError if there are none."""
    roles = tuple(account.role_arn for account in _accounts(config) if account.role_arn is not None)
    if not roles:
        raise ConfigError("No role is configured, so there is no caller: --emit-policy alone prints all.")
    return caller_policy(Callers(roles, tuple(_organization_actions(config.organization))))


def policy_of_publisher(config: Config) -> Document:
    """The policy of the credentials that publish to S3, Glue and S3 Tables. ConfigError if there are none."""
    places = [Address.parse(place) for place in _in_s3(config)]
    databases, buckets = _of_each(config, glue_database), _of_each(config, table_bucket)
    if not places and not databases and not buckets:
        raise ConfigError("No dataset or lake in AWS is configured under publish, so there is no publisher.")
    partition = _reaches(next(iter(_accounts(config))))[0].partition
    keys = [each.kms_key_id for each in config.publish if each.kms_key_id is not None]
    shelves = [Shelf(partition, place.bucket, place.key) for place in places]
    return publisher_policy(shelves, [Shop(partition, name) for name in databases], keys, buckets)


def others(config: Config) -> tuple[str, ...]:
    """The identities that need a policy besides the reader: `caller`, `publisher`."""
    assumes = any(account.role_arn is not None for account in _accounts(config))
    publishes = _in_s3(config) or _of_each(config, glue_database) or _of_each(config, table_bucket)
    return (*(["caller"] if assumes else []), *(["publisher"] if publishes else []))


def _in_s3(config: Config) -> list[str]:
    datasets = [str(each.to) for each in config.publish if str(each.to).startswith("s3://")]
    return [*datasets, *_of_each(config, folder_in_s3)]


def _of_each(config: Config, found: Callable[[Publish], str | None]) -> list[str]:
    return [name for each in config.publish if (name := found(each)) is not None]


def _accounts(config: Config) -> Iterable[Account]:
    """The configured accounts, and one that stands for all accounts of the organization."""
    yield from config.own_accounts
    wanted = config.organization
    if wanted.role_name is not None:
        region = wanted.regions[0] if isinstance(wanted.regions, tuple) else None
        yield Account(
            role_arn=f"arn:{_partition(region)}:iam::{ANY}:role/{wanted.role_name}",
            regions=wanted.regions,
            images=wanted.images,
        )


def _organization_actions(wanted: Organization) -> Iterable[str]:
    """The actions that read the organization: its accounts, and the content of its units if units are named."""
    if wanted.role_name is None:
        return
    if wanted.include.accounts or not wanted.include.units:
        yield "organizations:ListAccounts"
    if wanted.include.units or wanted.exclude.units:
        yield "organizations:ListAccountsForParent"
        yield "organizations:ListOrganizationalUnitsForParent"


def _reaches(account: Account) -> list[Reach]:
    access = access_of(account)
    account_id = None if access.role_account == ANY else access.role_account
    return [
        Reach(access.role_partition or _partition(region), region, account_id, account.images.include)
        for region in _regions(account)
    ]


def _regions(account: Account) -> tuple[str | None, ...]:
    """The configured regions, else that of the profile; None stands for all regions, or for an unknown one."""
    if isinstance(account.regions, tuple):
        return account.regions
    if account.regions == ALL or account.role_arn is not None:
        return (None,)
    try:
        found = targets([account])
    except ConfigError:
        return (None,)
    return tuple(target.region if target.fault is None else None for target in found)


def _partition(region: str | None) -> str:
    found = None if region is None else partition_of(region)
    return found or _DEFAULT_PARTITION
