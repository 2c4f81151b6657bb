"""Chooses the one account and region for a single listing.

Must not know what is listed, nor make a call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from image_history.config import Account, Images, Organization
from image_history.errors import ConfigError
from image_history.extract.scopes import ALL, Target, targets
from image_history.listing.request import ImageFilter

NO_ORGANIZATION = Organization()
_NAMED_AT_MOST = 20


@dataclass(frozen=True, slots=True)
class Choice:
    """The user's options for the scope; None where none is given. At most one of profile and role is set."""

    profile: str | None = None
    role_arn: str | None = None
    region: str | None = None


def choose_target(
    accounts: Sequence[Account], choice: Choice, organization: Organization = NO_ORGANIZATION
) -> Target:
    """The only configured target that fits the choice.

    The profile need not be in the configuration. The role may be the organization's role in any account. The region
    may be one in which the account isn't read. Raises ConfigError if several targets fit, naming them, or if the
    role isn't configured; and the target's fault if it has one.
    """
    candidates = _candidates(accounts, choice, organization)
    if choice.region is not None:
        configured = [target for target in candidates if target.region == choice.region]
        candidates = configured or _moved(candidates, choice.region)
    if len(candidates) > 1:
        raise ConfigError(_ambiguous(candidates))
    candidates[0].require_sound()
    return candidates[0]


def _candidates(accounts: Sequence[Account], choice: Choice, organization: Organization) -> list[Target]:
    chosen = [account for account in accounts if _fits(account, choice)] or [_beside(choice, organization)]
    # If a region is named, neither the profile's own region nor the account's enabled regions are needed.
    region = None if choice.region is None else (choice.region,)
    # The image filters of a sync make no difference here.
    plain = (replace(account, regions=_regions(account, region), images=Images()) for account in chosen)
    return list(dict.fromkeys(targets(plain)))


def _beside(choice: Choice, organization: Organization) -> Account:
    """The account for a choice that is not among the configured accounts."""
    if choice.profile is not None:
        return Account(profile=choice.profile)
    role = choice.role_arn or ""
    if organization.role_name is None or not role.endswith(f":role/{organization.role_name}"):
        raise ConfigError(
            f"No account with the role {choice.role_arn} is configured: add one under accounts in the configuration, "
            "or name a role that is there."
        )
    return Account(
        role_arn=role,
        external_id=organization.external_id,
        source_profile=organization.profile,
        regions=organization.regions,
    )


def _regions(account: Account, chosen: tuple[str] | None) -> tuple[str, ...] | str | None:
    if chosen is not None and (account.regions is None or account.regions == ALL):
        return chosen
    return account.regions


def _fits(account: Account, choice: Choice) -> bool:
    if choice.profile is not None:
        return account.profile == choice.profile
    return choice.role_arn is None or account.role_arn == choice.role_arn


def _moved(candidates: Sequence[Target], region: str) -> list[Target]:
    accesses = dict.fromkeys(target.access for target in candidates)
    return [Target(access, region, ImageFilter()) for access in accesses]


def _ambiguous(candidates: Sequence[Target]) -> str:
    named = ", ".join(str(target) for target in candidates[:_NAMED_AT_MOST])
    rest = len(candidates) - _NAMED_AT_MOST
    more = f" and {rest} more" if rest > 0 else ""
    return (
        f"The configuration has {len(candidates):,} combinations of account and region; choose one with --profile "
        f"(or --role-arn) and --region: {named}{more}."
    )
