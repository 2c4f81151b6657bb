"""Rules that decide which exchanges get a fault, as values and as JSON.

Knows nothing of what a fault does. An example of a list of rules in JSON:

    [{"kind": "reset", "operation": "ListImageVersions", "image": "base", "nth": 3},
     {"kind": "throttling", "rate": 0.05, "seed": 7}]
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from image_history.errors import ConfigError
from image_history.simulator.faults.kinds import KINDS

if TYPE_CHECKING:
    from image_history.simulator.server import Exchange

STS_OPERATION = "GetCallerIdentity"
_TRIGGERS = ("nth", "start", "every", "rate")

_Count = Annotated[int, Meta(ge=1)]


class FaultRule(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename={"start": "from"},
):
    """One kind of fault and the exchanges that get it.

    `operation`, `image`, `account_id` and `region` select exchanges; without an operation, all of SageMaker's.
    Of the selected ones, only the `nth` gets the fault, or all from the `start`-th on (in JSON: `from`), or each
    `every`-th, or each with probability `rate`, drawn with `seed`; without any of these four, all of them get it.
    At most `times` faults are made. An exchange that the kind cannot damage (an empty page has no row to spoil) is
    counted but not changed.

    `seconds` and `rows` (version numbers or image names) are for kinds that need them.
    """

    kind: str
    operation: str | None = None
    image: str | None = None
    account_id: str | None = None
    region: str | None = None
    nth: _Count | None = None
    start: _Count | None = None
    every: _Count | None = None
    rate: Annotated[float, Meta(ge=0, le=1)] | None = None
    seed: int = 0
    times: _Count | None = None
    seconds: Annotated[float, Meta(ge=0)] | None = None
    rows: tuple[int | str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"there is no fault {self.kind!r}; the faults are {', '.join(sorted(KINDS))}")
        if sum(getattr(self, name) is not None for name in _TRIGGERS) > 1:
            raise ValueError("a fault takes at most one of nth, from, every and rate")

    def concerns(self, exchange: Exchange) -> bool:
        """Whether the rule selects an exchange."""
        if self.operation is None and exchange.operation == STS_OPERATION:
            return False
        account_id, region = exchange.scope or (None, None)
        actual = (exchange.operation, exchange.image_name, account_id, region)
        wanted = (self.operation, self.image, self.account_id, self.region)
        return all(want in (None, found) for want, found in zip(wanted, actual, strict=True))


def parse_faults(text: bytes, *, source: str = "the list of faults") -> tuple[FaultRule, ...]:
    """Read rules from JSON. ConfigError naming the source and the place of the mistake."""
    try:
        return msgspec.json.decode(text, type=tuple[FaultRule, ...])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source} is not a valid list of faults: {error}") from error


def read_faults(path: Path) -> tuple[FaultRule, ...]:
    """Read rules from a file."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"the faults {path} cannot be read: {error.strerror}") from error
    return parse_faults(text, source=str(path))


def storm(
    rate: float, seed: int, kinds: Iterable[str] = tuple(KINDS), *, seconds: float | None = None
) -> tuple[FaultRule, ...]:
    """A rule for each kind, all equally likely: together they spoil the share `rate` of the exchanges.

    The first rule that is due wins, so each later rule sees fewer exchanges and gets a slightly higher rate.
    """
    names = tuple(kinds)
    share = rate / len(names)
    return tuple(
        FaultRule(
            kind=name, rate=share / (1 - number * share), seed=seed * len(names) + number, seconds=seconds
        )
        for number, name in enumerate(names)
    )
