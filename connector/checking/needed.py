"""Which policies a configuration needs: reads it, and asks neither AWS nor the warehouse.

Must not know how a policy is written.
"""

from __future__ import annotations

from connector.checking.policy import Callers, Document, Reach, caller_policy, reader_policy
from connector.config import Account, Config
from connector.errors import ConfigError
from connector.extract.scopes import targets

_PARTITIONS = {
    "cn-": "aws-cn",
    "us-gov-": "aws-us-gov",
    "us-iso-": "aws-iso",
    "us-isob-": "aws-iso-b",
    "eusc-": "aws-eusc",
}


def policy_of_reader(config: Config) -> Document:
    """The policy of the credentials that read."""
    return reader_policy([reach for account in config.accounts for reach in _reaches(account)])


def policy_of_caller(config: Config) -> Document:
    """The policy of the credentials that assume the configured roles. ConfigError if there are none."""
    roles = tuple(account.role_arn for account in config.accounts if account.role_arn is not None)
    if not roles:
        raise ConfigError("No role is configured, so nobody assumes one: --emit-policy alone prints all.")
    return caller_policy(Callers(roles))


def assumes_roles(config: Config) -> bool:
    """Whether another identity than the one that reads needs a policy."""
    return any(account.role_arn is not None for account in config.accounts)


def _reaches(account: Account) -> list[Reach]:
    account_id = None if account.role_arn is None else account.role_arn.split(":")[4]
    role_partition = None if account.role_arn is None else account.role_arn.split(":")[1]
    return [
        Reach(role_partition or _partition(region), region, account_id, account.images.include)
        for region in _regions(account)
    ]


def _regions(account: Account) -> tuple[str | None, ...]:
    """The configured regions, else that of the profile; unknown if neither is there yet."""
    if account.regions is not None:
        return account.regions
    try:
        return tuple(target.region for target in targets([account]))
    except ConfigError:
        return (None,)


def _partition(region: str | None) -> str:
    name = region or ""
    return next((_PARTITIONS[prefix] for prefix in _PARTITIONS if name.startswith(prefix)), "aws")
