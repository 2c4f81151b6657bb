"""Which versions' details are due, and in which order: sql/settle/pending_details.sql on hand-made rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from tests.behaviour.rows import (
    ACCOUNT,
    ELSEWHERE,
    OTHER_ACCOUNT,
    OTHER_REGION,
    REGION,
    Row,
    Rows,
    instant,
    rows,
)

__all__ = ["rows"]

pytestmark = pytest.mark.duckdb

DAY = 86_400
NOW = 100
DESCRIBED, ALIASES = {"etl_described_at": NOW - 1}, {"etl_aliases_at": NOW - 1}
FRESH: Row = {**DESCRIBED, **ALIASES}
SCOPES = [
    {"account_id": ACCOUNT, "region": REGION},
    {"account_id": ACCOUNT, "region": OTHER_REGION},
    {"account_id": OTHER_ACCOUNT, "region": REGION},
]


@dataclass(frozen=True)
class Run:
    """The inputs of the statement; by default they are those of a run that has listed the image `base`."""

    listed: Sequence[Row] = ({},)
    resting: Sequence[Row] = ()
    changed: Sequence[Row] = ()
    details: Sequence[Row] = ()
    proofs: Sequence[Row] = ()
    every: int = 50
    run_id: str = "run-1"
    now: int = NOW

    def asks(self, rows: Rows) -> list[dict[str, Any]]:
        """The rows of the versions whose details are due, in their order."""
        images = rows.images(*self.resting)
        rows.given("listed", *self.listed)
        rows.given("changed", *self.changed)
        rows.given("details", *self.details)
        rows.given("proofs", *self.proofs)
        rows.given("scopes_arrow", *({**scope, "t0": self.now} for scope in SCOPES))
        rows.connection.run("load/bounds_of")
        rows.connection.run("settle/present_bounds", images)
        due = {"every_ms": self.every * 1000, "run_id": self.run_id}
        return rows.asked("settle/pending_details", {**images, **due})

    def calls(self, rows: Rows) -> list[tuple[int, str]]:
        """The version and the calls that are due for it, in their order."""
        return [(row["version"], _calls(row)) for row in self.asks(rows)]

    def order(self, rows: Rows) -> list[tuple[str, int]]:
        """Image and version of the details that are due, in their order."""
        return [(row["image_name"], row["version"]) for row in self.asks(rows)]


def _calls(row: Row) -> str:
    wanted = {"describe": row["wants_description"], "aliases": row["wants_aliases"]}
    return " ".join(call for call, due in wanted.items() if due)


def test_version_that_was_never_answered_for_is_due(rows: Rows) -> None:
    """A version without an answer is due for both calls; the row has the times of its stored state."""
    rows.stored("image_versions", {"version": 7})
    assert Run().asks(rows) == [
        {
            "account_id": ACCOUNT,
            "region": REGION,
            "image_name": "base",
            "version": 7,
            "creation_ms": round(instant(10).timestamp() * 1000),
            "last_modified_ms": round(instant(20).timestamp() * 1000),
            "wants_description": True,
            "wants_aliases": True,
        }
    ]


@pytest.mark.parametrize(
    ("answered", "due"),
    [
        pytest.param({}, [(1, "describe aliases")], id="none"),
        pytest.param(DESCRIBED, [(1, "aliases")], id="described"),
        pytest.param(ALIASES, [(1, "describe")], id="aliases"),
        pytest.param(FRESH, [], id="both"),
    ],
)
def test_call_that_was_answered_lately_is_not_due(
    rows: Rows, answered: Row, due: list[tuple[int, str]]
) -> None:
    """A call with a recent answer is not due, whether the answer is stored or was landed by this run."""
    rows.stored("image_versions", answered)
    assert Run().calls(rows) == due
    rows.stored("image_versions", {"version": 2})
    landed = Run(details=[{"version": 2, **answered}])
    assert landed.calls(rows) == sorted([*due, *((2, calls) for _, calls in due)], reverse=True)


@pytest.mark.parametrize(
    ("call", "name"), [("describe", "etl_described_at"), ("aliases", "etl_aliases_at")], ids=["d", "a"]
)
def test_old_answer_is_due_again(rows: Rows, call: str, name: str) -> None:
    """An answer older than `every` is due again; if `every` is 0, each answer is, unless this run landed it."""
    rows.stored("image_versions", {**FRESH, name: 50})
    assert Run(every=51).calls(rows) == []
    assert Run(every=50).calls(rows) == []
    assert Run(every=49).calls(rows) == [(1, call)]
    assert Run(every=0, now=50).calls(rows) == [(1, "describe aliases")]
    assert Run(every=0, now=50, details=[{name: 50}]).calls(rows) == [
        (1, "aliases" if call == "describe" else "describe")
    ]


@pytest.mark.parametrize(
    ("status", "waits"),
    [
        ("CREATING", True),
        ("DELETING", True),
        ("CREATED", False),
        ("CREATE_FAILED", False),
        ("DELETE_FAILED", False),
    ],
)
def test_passing_status_is_waited_for(rows: Rows, status: str, waits: bool) -> None:
    """In a passing status neither call is due; the details wait until the version has left it."""
    rows.stored("image_versions", {"image_version_status": status})
    assert Run().calls(rows) == ([] if waits else [(1, "describe aliases")])


def test_new_state_is_due_whatever_was_answered_before(rows: Rows) -> None:
    """A version whose state changed is due once, for both calls, with the new state."""
    rows.stored("image_versions", {**FRESH, "version": 1}, {**FRESH, "version": 2})
    changed: Row = {"version": 2, "last_modified_time": 25}
    (row,) = Run(changed=[changed]).asks(rows)
    assert (row["version"], row["last_modified_ms"]) == (2, round(instant(25).timestamp() * 1000))
    assert _calls(row) == "describe aliases"


def test_new_state_is_no_version_that_had_an_alias(rows: Rows) -> None:
    """A version with a new state loses the priority of its stored alias: the new state's aliases are not known."""
    rows.stored("image_versions", {"version": 1, "aliases": ["prod"]}, {"version": 2}, {"version": 3})
    assert Run().order(rows) == [("base", 3), ("base", 1), ("base", 2)]
    changed: Row = {"version": 1, "last_modified_time": 25}
    assert Run(changed=[changed]).order(rows) == [("base", 3), ("base", 2), ("base", 1)]


@pytest.mark.parametrize(
    "differs", [{"creation_time": 11}, {"last_modified_time": 21}], ids=["life", "state"]
)
def test_answer_for_another_state_is_none(rows: Rows, differs: Row) -> None:
    """An answer for another life or state does not count, although this run has landed it."""
    rows.stored("image_versions", {})
    assert Run(details=[{**FRESH, **differs}]).calls(rows) == [(1, "describe aliases")]


def test_deleted_version_has_nothing_pending(rows: Rows) -> None:
    """A deleted version is not due, unless it is listed again."""
    rows.stored("image_versions", {"etl_deleted_at": 40})
    assert Run().calls(rows) == []
    assert Run(changed=[{}]).calls(rows) == [(1, "describe aliases")]


def test_image_at_rest_has_pending_details(rows: Rows) -> None:
    """A version of a resting image is due; one of an image that neither rests nor was listed is not."""
    for name in ("asleep", "base", "strange"):
        rows.stored("image_versions", {"image_name": name})
    assert sorted(Run(resting=[{"image_name": "asleep"}]).order(rows)) == [("asleep", 1), ("base", 1)]


@pytest.mark.parametrize("where", ELSEWHERE)
def test_streams_with_one_name_have_their_own_pending_details(rows: Rows, where: Row) -> None:
    """Changes, answers, absences and listings of another stream do not affect this one."""
    rows.stored("image_versions", {}, {**where, **FRESH})
    gone: Row = {**where, "first_version": 1, "last_version": 1, "created_until": 10}
    assert Run(details=[{**where, **FRESH}], proofs=[gone]).calls(rows) == [(1, "describe aliases")]
    assert Run(listed=[{}, where]).calls(rows) == [(1, "describe aliases")]
    assert Run(listed=[where]).calls(rows) == []


def test_scope_that_was_not_read_has_nothing_pending(rows: Rows) -> None:
    """A version of a scope that was not read is not due, because AWS's time there is not known."""
    rows.stored("image_versions", {"account_id": OTHER_ACCOUNT, "region": OTHER_REGION})
    assert Run(listed=[{"account_id": OTHER_ACCOUNT, "region": OTHER_REGION}]).calls(rows) == []


@pytest.mark.parametrize(
    ("proof", "due"),
    [
        ({"first_version": 1, "last_version": 2, "created_until": 10}, [3]),
        ({"first_version": 2, "last_version": 3, "created_until": 10}, [1]),
        ({"first_version": 2, "last_version": 2, "created_until": 10}, [1, 3]),
        ({"first_version": 1, "last_version": 3, "created_until": 9}, [1, 2, 3]),
        ({"first_version": 1, "last_version": 3, "created_until": None}, [1, 2, 3]),
    ],
    ids=["to", "from", "one", "older-life", "never-was"],
)
def test_what_the_run_proved_absent_has_nothing_pending(rows: Rows, proof: Row, due: list[int]) -> None:
    """A version is not due if the run proved its number absent in a life that includes its creation."""
    rows.stored("image_versions", *({"version": version} for version in (1, 2, 3)))
    assert sorted(version for version, _ in Run(proofs=[proof]).calls(rows)) == due


def has(version: int, said_at: int | None, **more: object) -> Row:
    """A version that was said at `said_at` to have the alias `prod`."""
    return {**FRESH, "version": version, "aliases": ["prod"], "etl_aliases_at": said_at, **more}


@pytest.mark.parametrize(
    ("first", "second", "due"),
    [
        pytest.param(60, 70, [(1, "aliases")], id="first-was-asked-first"),
        pytest.param(70, 60, [(2, "aliases")], id="second-was-asked-first"),
        pytest.param(60, 60, [(1, "aliases"), (2, "aliases")], id="at-once"),
        pytest.param(None, 60, [(1, "aliases")], id="state-is-new"),
    ],
)
def test_version_whose_alias_moved_is_looked_up_again(
    rows: Rows, first: int | None, second: int, due: list[tuple[int, str]]
) -> None:
    """A version is looked up again if another version, looked up no earlier, is said to have its alias."""
    rows.stored("image_versions", has(1, first), has(2, second))
    assert Run(every=DAY).calls(rows) == due
    landed = Run(every=DAY, details=[has(2, second)])
    assert landed.calls(rows) == due


def test_version_that_alone_has_an_alias_is_not_contradicted(rows: Rows) -> None:
    """A version is not looked up again if the other versions have other aliases or none."""
    others = [has(2, 70, aliases=["dev", "test"]), has(3, 70, aliases=[]), has(4, 70, aliases=None)]
    rows.stored("image_versions", has(1, 60), *others)
    assert Run(every=DAY).calls(rows) == []


def test_answer_of_this_run_counts_instead_of_the_stored_one(rows: Rows) -> None:
    """Aliases that this run landed replace the stored ones; a description without aliases does not."""
    rows.stored("image_versions", has(1, 60), has(2, 70))
    assert Run(every=DAY, details=[{"version": 2, **FRESH, "aliases": []}]).calls(rows) == []
    assert Run(every=DAY, details=[{"version": 2, **DESCRIBED}]).calls(rows) == [(1, "aliases")]


def test_alias_of_a_deleted_version_contradicts_nothing(rows: Rows) -> None:
    """The alias of a deleted version causes no lookup, neither of that version nor of another one."""
    rows.stored("image_versions", has(1, 60), has(2, 70, etl_deleted_at=80))
    assert Run(every=DAY).calls(rows) == []
    rows.stored("image_versions", has(3, 50, etl_deleted_at=80))
    assert Run(every=DAY).calls(rows) == []


@pytest.mark.parametrize("where", ELSEWHERE)
def test_alias_of_another_stream_contradicts_nothing(rows: Rows, where: Row) -> None:
    """The alias of another stream's version causes no lookup."""
    rows.stored("image_versions", has(1, 60), {**has(2, 70), **where})
    assert Run(every=DAY, listed=[{}, where]).calls(rows) == []
    assert Run(every=DAY, details=[{**has(2, 70), **where}]).calls(rows) == []


@pytest.mark.parametrize("said_at", [60, None], ids=["known", "of-an-older-state"])
def test_contradicted_version_is_looked_up_in_whatever_state(rows: Rows, said_at: int | None) -> None:
    """A version whose alias is contradicted is looked up even in a passing status, but only its aliases."""
    rows.stored("image_versions", has(1, said_at, image_version_status="DELETING"), has(2, 70))
    assert Run().calls(rows) == [(1, "aliases")]


def test_contradiction_is_settled_first(rows: Rows) -> None:
    """A contradicted version comes first, even before the newest version of an image without an answer."""
    rows.stored("image_versions", has(1, 60), has(2, 70), {"version": 3})
    assert Run(every=DAY).order(rows) == [("base", 1), ("base", 3)]


def test_order_of_what_was_never_answered_for(rows: Rows) -> None:
    """Each image's newest good version comes first, then aliased versions, then the newest; failed ones come last."""
    rows.stored(
        "image_versions",
        {"version": 1, "aliases": []},
        {"version": 2, "aliases": ["prod"]},
        {"version": 3},
        {"version": 4},
        {"version": 5, "image_version_status": "CREATE_FAILED"},
        {"image_name": "zoo", "version": 1, "image_version_status": "CREATE_FAILED"},
        {"image_name": "zoo", "version": 2},
    )
    order = Run(listed=[{}, {"image_name": "zoo"}]).order(rows)
    assert sorted(order[:2]) == [("base", 4), ("zoo", 2)]
    assert order[2:] == [("base", 2), ("base", 3), ("base", 1), ("zoo", 1), ("base", 5)]


def test_one_call_that_was_answered_does_not_change_the_order(rows: Rows) -> None:
    """A version with only one of the two answers is ordered like one without an answer, however old the answer is."""
    rows.stored(
        "image_versions",
        {"version": 1, "etl_described_at": 3 * DAY},
        {"version": 2, "etl_aliases_at": 2 * DAY},
        {"version": 3, "etl_described_at": DAY},
        {"version": 4},
    )
    assert Run(now=9 * DAY).order(rows) == [("base", version) for version in (4, 3, 2, 1)]


@pytest.mark.parametrize("half", ["etl_described_at", "etl_aliases_at"])
def test_what_was_answered_for_comes_last(rows: Rows, half: str) -> None:
    """A version with both answers comes after one with a single answer, however new the single answer is."""
    rows.stored(
        "image_versions",
        {"version": 1, half: 5 * DAY},
        {"version": 2, "etl_described_at": DAY, "etl_aliases_at": DAY},
    )
    assert Run(now=9 * DAY).order(rows) == [("base", 1), ("base", 2)]


def test_what_was_answered_for_comes_by_the_day_of_its_older_answer(rows: Rows) -> None:
    """Versions with both answers are ordered by the day of the older answer, whichever call it is of."""
    answered = {"a": (5, 2), "b": (3, 6), "c": (1, 4)}
    for name, (described, aliases) in answered.items():
        times = {"etl_described_at": described * DAY, "etl_aliases_at": aliases * DAY}
        rows.stored("image_versions", {"image_name": name, **times})
    listed = [{"image_name": name} for name in answered]
    assert Run(now=9 * DAY, listed=listed).order(rows) == [("c", 1), ("a", 1), ("b", 1)]


def answered_at(second: int) -> Row:
    """Both calls, answered at that second of the second day."""
    return {"etl_described_at": DAY + second, "etl_aliases_at": DAY + second}


def test_order_of_what_was_answered_for_on_one_day(rows: Rows) -> None:
    """On one day, newest and aliased versions come first, by image, then the others, and failed ones last."""
    rows.stored(
        "image_versions",
        {**answered_at(1), "version": 1, "image_version_status": "CREATE_FAILED"},
        {**answered_at(2), "version": 2},
        {**answered_at(3), "version": 3},
        {**answered_at(4), "version": 4, "aliases": ["prod"]},
        {**answered_at(5), "version": 5},
        {**answered_at(6), "image_name": "zoo", "version": 1},
    )
    order = Run(now=9 * DAY, listed=[{}, {"image_name": "zoo"}]).order(rows)
    first = [[("base", 4), ("base", 5)], [("zoo", 1)]]
    assert order[:3] in ([*first[0], *first[1]], [*first[1], *first[0]])
    assert order[3:] == [("base", 2), ("base", 3), ("base", 1)]


def test_images_come_in_another_order_each_run(rows: Rows) -> None:
    """Images change their order in each run, so that a failing image does not hold up others; scopes keep theirs."""
    images: list[Row] = [
        {"image_name": "a"},
        {"image_name": "b"},
        {"image_name": "a", "region": OTHER_REGION},
    ]
    rows.stored("image_versions", *images)
    orders = [Run(run_id=run_id, listed=images).order(rows) for run_id in ("run-0", "run-1")]
    assert orders == [[("b", 1), ("a", 1), ("a", 1)], [("a", 1), ("b", 1), ("a", 1)]]
