"""The scenarios of the exhaustive model: which collection, which runs, which changes, and how many of them.

Must not know how a schedule is played.
"""

from __future__ import annotations

from typing import get_args

from tests.properties.collection import Habits, Tokens
from tests.properties.schedules import FULL, PLAIN, Backup, Changes, Lost, Restore, Run, Scenario, shapes

_HOUR_MS = 3_600_000
_CORE = ("create", "touch", "delete", "recreate")
_ALL = (*_CORE, "drop", "kill", "expire")
# A lagging list hides a live row. With Describe denied, two lagging readings show the same as two readings after a
# deletion: no rule can tell them apart, so that pair is left out.
_LAGGING = (*_ALL, "hide")
# These changes make the next incremental listing long: all versions but one changed, and the new numbers have a gap.
_BUSY = Changes((("touch", 1), ("touch", 2), ("create", 0), ("create", 0), ("delete", 6)))
_BUSY_SMALL = Changes((("touch", 1), ("touch", 2), ("create", 0), ("create", 0), ("delete", 4)))
_LIVES = ("create", "touch", "delete", "drop", "recreate")
_GONE, _MADE = Changes((("drop", 0),)), Changes((("create", 0),) * 5)
_NEXT = Changes((("recreate", 3),))
_ANEW = Changes((("recreate", 3), ("create", 0)))
_STABLE = ("create", "touch", "delete", "kill", "expire")
_DELETED = Changes((("delete", 2),))
_EMPTIED = Changes((("delete", 1), ("delete", 2)))


def whole() -> list[list[Scenario]]:
    """What `make soak` explores, grouped by shape."""
    return shapes([*pairs(), *triples()])


def pairs() -> list[Scenario]:
    """All scenarios, with every pair of changes."""
    found = [
        scenario
        for tokens in get_args(Tokens)
        for describes in (True, False)
        for scenario in _with(Habits(tokens=tokens, describes=describes))
    ]
    return [*found, *_oddities(), *mishaps()]


def _with(habits: Habits) -> list[Scenario]:
    suffix = f", {habits.tokens} tokens{'' if habits.describes else ', Describe denied'}"
    everything = _LAGGING if habits.describes else _ALL
    # Reading until two lists agree takes many calls, so only the smaller image gets two changes among them.
    longest = Scenario(f"longest{suffix}", habits, (_BUSY, PLAIN), _CORE, 2 if habits.describes else 1)
    return [
        longest,
        Scenario(f"first{suffix}", habits, (PLAIN,), _CORE, 2, synced=False),
        Scenario(f"reconcile{suffix}", habits, (FULL,), everything, 2),
        Scenario(f"overlap{suffix}", habits, (PLAIN,), _ALL, 2, lookback_ms=_HOUR_MS),
        Scenario(f"long{suffix}", habits, (_BUSY_SMALL, PLAIN), _CORE, 2, versions=3),
        Scenario(f"made anew{suffix}", habits, (_ANEW, FULL, PLAIN), _CORE, 2),
        Scenario(f"emptied{suffix}", habits, (_EMPTIED, FULL), _CORE, 2, versions=2),
        Scenario(f"two runs{suffix}", habits, (PLAIN, FULL), _CORE, 2),
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
                Scenario(f"{name}, {tokens} tokens", habits, (FULL,), _CORE, 2, versions=4),
                Scenario(f"{name}, long, {tokens} tokens", habits, (_BUSY, PLAIN), _CORE, 2),
            ]
    return found


def mishaps() -> list[Scenario]:
    """Mishaps around runs: two pending runs, restored copies, runs that do not resume, held-back deletions."""
    return [scenario for tokens in get_args(Tokens) for scenario in _around(Habits(tokens=tokens))]


def _around(habits: Habits) -> list[Scenario]:
    suffix = f", {habits.tokens} tokens"
    ahead = 3 * _HOUR_MS // 2
    changed = Changes((("touch", 2), ("create", 0), ("delete", 4)))
    holed = Changes((*((("create", 0),) * 5), ("delete", 6)))
    emptied = Changes(tuple(("delete", number) for number in range(2, 14)))
    return [
        Scenario(
            f"out of order{suffix}", habits, (Run(waits=True, clock_ms=ahead), Run(blind=True)), _LIVES, 2
        ),
        Scenario(
            f"full out of order{suffix}",
            habits,
            (Run(full=True, waits=True, clock_ms=ahead), Run(full=True, blind=True)),
            _LIVES,
            2,
        ),
        Scenario(
            f"out of order, the later one left{suffix}",
            habits,
            (_DELETED, Run(full=True, waits=True, clock_ms=ahead), Run(full=True, blind=True, left=True)),
            (*_CORE, "kill"),
            2,
        ),
        Scenario(
            f"first out of order{suffix}",
            habits,
            (Run(waits=True, clock_ms=ahead), Run(blind=True)),
            _CORE,
            1,
            synced=False,
        ),
        Scenario(
            f"in memory{suffix}", habits, (Backup(), changed, PLAIN, Restore(), Run(blind=True)), _CORE, 1
        ),
        Scenario(
            f"put back under a waiting run{suffix}",
            habits,
            (Backup(), changed, PLAIN, Run(waits=True), Restore(), PLAIN),
            _CORE,
            1,
        ),
        Scenario(
            f"put back under a run that was left{suffix}",
            habits,
            (Backup(), changed, PLAIN, Run(waits=True, left=True), Restore(), PLAIN),
            ("touch", "kill"),
            2,
        ),
        Scenario(
            f"put back under a later life{suffix}",
            habits,
            (PLAIN, Backup(), PLAIN, Run(full=True, waits=True), Restore(), PLAIN),
            _CORE,
            1,
        ),
        Scenario(f"put back{suffix}", habits, (Backup(), changed, FULL, Restore(), PLAIN), _CORE, 1),
        Scenario(f"lost{suffix}", habits, (Run(waits=True), Lost(), PLAIN), _CORE, 1),
        Scenario(f"left{suffix}", habits, (holed, Run(waits=True, left=True), PLAIN), (*_CORE, "kill"), 2),
        Scenario(f"first left{suffix}", habits, (Run(left=True), FULL), (*_CORE, "kill"), 2, synced=False),
        Scenario(f"first late{suffix}", habits, (Run(late=True),), ("delete", "kill"), 2, synced=False),
        Scenario(f"first expired{suffix}", habits, (PLAIN,), ("delete", "expire"), 2, synced=False),
        Scenario(f"late{suffix}", habits, (Run(full=True, late=True),), (*_CORE, "kill"), 2),
        Scenario(f"next life{suffix}", habits, (_GONE, FULL, _MADE, FULL), _CORE, 1),
        Scenario(f"another life{suffix}", habits, (_NEXT, PLAIN), _CORE, 1),
        Scenario(f"long lives{suffix}", habits, (_NEXT, PLAIN, PLAIN), _CORE, 1, versions=14, page_size=20),
        Scenario(f"held back, all gone{suffix}", habits, (_GONE, PLAIN, PLAIN, FULL), _CORE, 1, versions=14),
        Scenario(f"held back{suffix}", habits, (emptied, FULL, PLAIN, FULL), _CORE, 1, versions=14),
        Scenario(f"lagging{suffix}", habits, (PLAIN, PLAIN), ("lag", "touch"), 2, lookback_ms=_HOUR_MS),
    ]


def triples() -> list[Scenario]:
    """Every three changes during a full listing, with tokens that count rows."""
    return [
        Scenario("three changes, offset tokens", Habits(tokens="offset"), (FULL,), _CORE[:3], 3),
    ]
