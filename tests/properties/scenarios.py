"""The scenarios of the exhaustive model: which collection, which runs, and what may change how often.

Must not know how a schedule is played.
"""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

from tests.properties.collection import Filters, Habits, Tokens
from tests.properties.schedules import Scenario

_HOUR_MS = 3_600_000
_CORE = ("create", "touch", "delete", "recreate")
_ALL = (*_CORE, "drop", "kill", "expire")
# A lagging list hides a live row. Where Describe is denied as well, two readings that lag say what two readings
# after a deletion say: no rule can tell them apart, so that pair is left out.
_LAGGING = (*_ALL, "hide")
_FULL, _PLAIN = True, False
# What makes the next incremental listing long: all but one version changed, and a hole in the new numbers.
_BUSY = (("touch", 1), ("touch", 2), ("create", 0), ("create", 0), ("delete", 6))
_BUSY_SMALL = (("touch", 1), ("touch", 2), ("create", 0), ("create", 0), ("delete", 4))
_ANEW = (("recreate", 3), ("create", 0))
_IN_STEP = (0, 1)
_STABLE = ("create", "touch", "delete", "kill", "expire")
_QUICK_WINDOWS = {
    "first windows, snapshot tokens, Describe denied",
    "known windows, offset tokens",
    "three windows, offset tokens",
    "windows, exclusive, keyset tokens",
    "windows, after paging, offset tokens",
    "windows, ignored, snapshot tokens",
}
_EMPTIED = (("delete", 1), ("delete", 2))


def whole() -> list[Scenario]:
    """What `make soak` explores."""
    return [*pairs(), *triples()]


def quick() -> list[Scenario]:
    """What `make test` explores: every scenario with one change, and two in the listings that prove most.

    Of the many that are read in windows it takes one of each sort.
    """
    ones = [
        replace(scenario, depth=1)
        for scenario in pairs()
        if not scenario.readers or scenario.name in _QUICK_WINDOWS
    ]
    twos = [scenario for scenario in pairs() if scenario.name.startswith("first, offset")]
    return ones + twos


def pairs() -> list[Scenario]:
    """All scenarios, with every pair of changes."""
    found = [
        scenario
        for tokens in get_args(Tokens)
        for describes in (True, False)
        for scenario in _with(Habits(tokens=tokens, describes=describes))
    ]
    return [*found, *_oddities(), *windows()]


def _with(habits: Habits) -> list[Scenario]:
    suffix = f", {habits.tokens} tokens{'' if habits.describes else ', Describe denied'}"
    everything = _LAGGING if habits.describes else _ALL
    # Reading until two agree takes so many calls that two changes among them are left to the smaller image.
    longest = Scenario(
        f"longest{suffix}", habits, (_PLAIN,), _CORE, 2 if habits.describes else 1, before=_BUSY
    )
    return [
        longest,
        Scenario(f"first{suffix}", habits, (_PLAIN,), _CORE, 2, synced=False),
        Scenario(f"reconcile{suffix}", habits, (_FULL,), everything, 2),
        Scenario(f"overlap{suffix}", habits, (_PLAIN,), _ALL, 2, lookback_ms=_HOUR_MS),
        Scenario(f"long{suffix}", habits, (_PLAIN,), _CORE, 2, before=_BUSY_SMALL, versions=3),
        Scenario(f"made anew{suffix}", habits, (_FULL, _PLAIN), _CORE, 2, before=_ANEW),
        Scenario(f"emptied{suffix}", habits, (_FULL,), _CORE, 2, before=_EMPTIED, versions=2),
        Scenario(f"two runs{suffix}", habits, (_PLAIN, _FULL), _CORE, 2),
    ]


def _oddities() -> list[Scenario]:
    """Empty last pages, versions that are CREATING for a while, and calls within one second."""
    found = []
    for tokens in get_args(Tokens):
        odd = {
            "empty last page": Habits(tokens=tokens, eager=True),
            "slow creation": Habits(tokens=tokens, building=True),
            "within a second": Habits(tokens=tokens, step_ms=1),
        }
        for name, habits in odd.items():
            found += [
                Scenario(f"{name}, {tokens} tokens", habits, (_FULL,), _CORE, 2, versions=4),
                Scenario(f"{name}, long, {tokens} tokens", habits, (_PLAIN,), _CORE, 2, before=_BUSY),
            ]
    return found


def windows() -> list[Scenario]:
    """Listings in windows: of an image that is new, and of one that is known; readers in step, ahead and behind."""
    found = []
    for tokens in get_args(Tokens):
        for describes in (True, False):
            habits = Habits(tokens=tokens, describes=describes)
            name = f"windows, {tokens} tokens{'' if describes else ', Describe denied'}"
            kinds = _LAGGING if describes else _ALL
            found += [
                Scenario(f"first {name}", habits, (_FULL,), _CORE, 2, 10, synced=False, readers=_IN_STEP),
                Scenario(f"known {name}", habits, (_FULL,), kinds, 1, 10, readers=_IN_STEP),
                Scenario(f"three {name}", habits, (_FULL,), _STABLE, 1, 15, readers=(0, 1, 2)),
                Scenario(f"ahead {name}", habits, (_FULL,), _CORE, 1, 10, readers=(0, 1, 1, 1, 1)),
                Scenario(f"behind {name}", habits, (_FULL,), _STABLE, 1, 15, readers=(0, 0, 1)),
            ]
        found += [_filtering(filters, tokens) for filters in get_args(Filters)]
        eager = Habits(tokens=tokens, eager=True)
        found.append(
            Scenario(f"eager windows, {tokens} tokens", eager, (_FULL,), _CORE, 1, 10, readers=_IN_STEP)
        )
    return found


def _filtering(filters: Filters, tokens: Tokens) -> Scenario:
    habits = Habits(tokens=tokens, filters=filters, step_ms=1)
    return Scenario(
        f"windows, {filters}, {tokens} tokens", habits, (_FULL, _PLAIN), _ALL, 1, 10, readers=_IN_STEP
    )


def triples() -> list[Scenario]:
    """Every three changes while a listing is read in full, where tokens count rows."""
    return [
        Scenario("three changes, offset tokens", Habits(tokens="offset"), (_FULL,), _CORE[:3], 3),
    ]
