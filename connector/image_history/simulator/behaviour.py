"""The switches of a simulated service: everything about AWS that is not documented, as one frozen value.

Knows nothing of how any switch is carried out.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args, get_type_hints

from image_history.errors import ConfigError
from image_history.simulator.model import ArnStyle

TokenKind = Literal["keyset", "offset", "snapshot"]
Filtering = Literal["filter_then_page", "page_then_filter"]
FilterBounds = Literal["inclusive", "exclusive", "ignored"]
TieOrder = Literal["ascending", "descending", "shuffled"]
# A list may lag by this much at most: the world keeps its journal of changes for so long.
MAX_LIST_LAG_MS = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The switches that the world itself applies; durations in virtual milliseconds."""

    create_ms: int = 0
    delete_ms: int = 0
    alias_bumps_last_modified: bool = False
    versions_move_image: bool = False
    arns: ArnStyle = field(default_factory=ArnStyle)


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How the service behaves where AWS does not specify it. ConfigError for a value that a switch cannot have.

    tokens: what a NextToken holds: the last key, the number of rows to skip, or a stored copy of the result.
    token_lifetime_seconds: virtual seconds until a token is refused; None for never.
    filtering: page_then_filter takes MaxResults rows first, so pages may be short or empty and still go on.
    filters: inclusive as documented, exclusive, or ignored (all four time filters).
    tie_order: order of equal sort values, by version (or image name), or shuffled by tie_seed.
    list_lag_ms: lists show the state of so many virtual milliseconds ago; Describe is always current.
    versions_move_image: creating a version moves its image's LastModifiedTime.
    latency_ms: real milliseconds before each answer.
    list_per_second, describe_per_second: real-time rate per account and region; None for no limit.
    create_ms, delete_ms: virtual milliseconds that versions and images spend CREATING and DELETING; 0: none.
    partition: forced partition of all ARNs; None takes the region's own.
    """

    tokens: TokenKind = "keyset"
    token_lifetime_seconds: int | None = 86_400
    filtering: Filtering = "filter_then_page"
    filters: FilterBounds = "inclusive"
    tie_order: TieOrder = "ascending"
    tie_seed: int = 0
    lowercase_arns: bool = False
    arn_none: bool = False
    partition: str | None = None
    alias_bumps_last_modified: bool = False
    versions_move_image: bool = False
    create_ms: int = 0
    delete_ms: int = 0
    list_lag_ms: int = 0
    latency_ms: float = 0
    list_per_second: float | None = None
    describe_per_second: float | None = None

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for switch in fields(self):
            _check(switch.name, getattr(self, switch.name), hints[switch.name])
        if self.list_lag_ms > MAX_LIST_LAG_MS:
            raise ConfigError(f"list_lag_ms is {self.list_lag_ms}; at most {MAX_LIST_LAG_MS} is kept")

    def rules(self) -> Rules:
        """The switches that the world itself applies."""
        return Rules(
            create_ms=self.create_ms,
            delete_ms=self.delete_ms,
            alias_bumps_last_modified=self.alias_bumps_last_modified,
            versions_move_image=self.versions_move_image,
            arns=ArnStyle(
                partition=self.partition, lowercase=self.lowercase_arns, version_arn_none=self.arn_none
            ),
        )


def _check(name: str, value: Any, kind: Any) -> None:
    choices = get_args(kind)
    if choices and all(isinstance(choice, str) for choice in choices):
        if value not in choices:
            raise ConfigError(f"{name} is {value!r}; it can be {', '.join(choices)}")
    elif isinstance(value, (int, float)) and name != "tie_seed" and value < 0:
        raise ConfigError(f"{name} is {value}; it cannot be negative")
