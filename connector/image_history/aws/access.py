"""How an account is accessed, and what is known about it before the first request.

Plain values: must not know botocore.
"""

from __future__ import annotations

import os
from dataclasses import dataclass


def named_profile() -> str | None:
    """The profile that AWS_PROFILE or AWS_DEFAULT_PROFILE names, if any."""
    return os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE") or None


@dataclass(frozen=True, slots=True)
class Access:
    """How to access one account: a profile, or a role assumed from a profile; neither means AWS's default chain."""

    profile: str | None = None
    role_arn: str | None = None
    external_id: str | None = None
    source_profile: str | None = None

    def __str__(self) -> str:
        if self.role_arn is not None:
            return f"role {self.role_arn}"
        if self.profile is not None:
            return f"profile {self.profile}"
        return (
            f"profile {named} of the environment" if (named := named_profile()) else "the default credentials"
        )

    @property
    def role_partition(self) -> str | None:
        """The partition of the role; None without a role."""
        return None if self.role_arn is None else self.role_arn.split(":")[1]

    @property
    def role_account(self) -> str | None:
        """The account of the role; None without a role."""
        return None if self.role_arn is None else self.role_arn.split(":")[4]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to connect, seconds between two reads of a socket, and seconds for one whole call."""

    connect_seconds: float = 5
    read_seconds: float = 30
    call_seconds: float = 120


@dataclass(frozen=True, slots=True)
class Identity:
    """The account and the partition of credentials, as STS reports them."""

    account_id: str
    partition: str
