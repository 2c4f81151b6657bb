"""`image-history check --probe`: it finds each switch of the simulated AWS from outside, with reading calls only."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from image_history.checking.choosing import choose
from image_history.checking.probe import NOT_TESTED, observe
from image_history.checking.subject import Subject
from image_history.checking.watching import Wait, watch
from image_history.config import Config
from image_history.model import Stop
from image_history.simulator import Behaviour, Exchange, Script, VersionRecord, VirtualClock, World
from image_history.warehouse.loader import Knowledge
from tests.behaviour.checking import Bench, MakeBench, denying
from tests.behaviour.checking import bench as bench  # noqa: PLC0414 - a fixture
from tests.behaviour.harness import FAST, ServeWorld
from tests.behaviour.test_plan_verb import contents

if TYPE_CHECKING:
    from aiohttp import web

pytestmark = pytest.mark.duckdb

NOON_MS = 1_790_000_000_000
HOUR_MS = 3_600_000
READING = {"ListImages", "ListImageVersions", "DescribeImage", "DescribeImageVersion", "GetCallerIdentity"}


def telling_world() -> World:
    """A world that answers every question: whole seconds, ties, a gap in the numbers, capitals in a name."""
    world = World(clock=VirtualClock(frozen_at=NOON_MS))
    world.create_image("Base-GPU")
    for number in range(1, 13):
        made_ms = NOON_MS - (100 - number // 3) * 60_000 + (0 if number < 6 else 123)
        world.put_version(
            "Base-GPU",
            VersionRecord(
                version=number, creation_ms=made_ms, last_modified_ms=made_ms + 2000, status="CREATED"
            ),
        )
    world.delete_version("Base-GPU", 7)
    world.create_image("other")
    world.create_version("other")
    return world


def subject_of(served: ServeWorld, behaviour: Behaviour, world: World | None = None) -> Subject:
    """The subject that the probe chooses in a simulated AWS with these switches."""
    served(world or telling_world(), behaviour)
    config = Config(rate=FAST)
    return choose(config, Knowledge(), image=None, scope=None, stop=Stop())


def told(served: ServeWorld, **switches: object) -> dict[str, str]:
    """The probe's answers, by question."""
    subject = subject_of(served, Behaviour(**switches))  # type: ignore[arg-type]  # switches of the simulator
    return {each.question: each.answer for each in observe(subject)}


IMAGE_TIME = "image's LastModifiedTime after a new version"
USUAL = {
    "version numbers": "1 missing between the first and the last",
    "default page size": "10 rows",
    "default order": "newest creation first",
    "filter and pages, LastModifiedTimeAfter": "filtered before paging",
    "filter and pages, CreationTimeAfter": "filtered before paging",
    "bound, LastModifiedTimeAfter": "inclusive",
    "bound, LastModifiedTimeBefore": "inclusive",
    "bound, CreationTimeAfter": "inclusive",
    "bound, CreationTimeBefore": "inclusive",
    "order within ties of LAST_MODIFIED_TIME": "stable, by ascending version",
    "order within ties of CREATION_TIME": "stable, by ascending version",
    "token": "624 characters",
    "token used twice": "accepted",
    "token with another MaxResults": "refused",
    "token with another SortOrder": "refused",
    "token with another SortBy": "refused",
    "token with another filter": "refused",
    "token with another image": "refused",
    "damaged token": "refused",
    "no such image, ListImageVersions": "refused",
    "no such image, DescribeImage": "refused",
    "no such version, DescribeImageVersion": "refused",
    "list behind Describe": "no",
    "case in ImageArn": "as in the name",
    "case in ImageVersionArn": "as in the name",
    "times of Describe and list": "the same",
    IMAGE_TIME: NOT_TESTED,
}
PAGED = {name: "filtered after paging" for name in USUAL if name.startswith("filter and pages")}
BOUNDS = [name for name in USUAL if name.startswith("bound")]
TIES = [name for name in USUAL if name.startswith("order within")]
IGNORED = dict.fromkeys([*PAGED, *BOUNDS], "the filter is ignored")
ARNS = ("case in ImageArn", "case in ImageVersionArn")

SWITCHES: dict[str, tuple[dict[str, object], dict[str, str]]] = {
    "as-usual": ({}, {}),
    "page-then-filter": ({"filtering": "page_then_filter"}, PAGED),
    "exclusive": ({"filters": "exclusive"}, dict.fromkeys(BOUNDS, "exclusive")),
    "exclusive-page-then-filter": (
        {"filters": "exclusive", "filtering": "page_then_filter"},
        {**PAGED, **dict.fromkeys(BOUNDS, "exclusive")},
    ),
    "filters-ignored": ({"filters": "ignored"}, IGNORED),
    "ties-descending": ({"tie_order": "descending"}, dict.fromkeys(TIES, "stable, by descending version")),
    "ties-shuffled": (
        {"tie_order": "shuffled", "tie_seed": 3},
        dict.fromkeys(TIES, "stable, in no order of versions"),
    ),
    "lowercase-arns": ({"lowercase_arns": True}, dict.fromkeys(ARNS, "lower case")),
    "arn-none": ({"arn_none": True}, {"case in ImageVersionArn": "the text None"}),
    "offset-tokens": ({"tokens": "offset"}, {}),
    "snapshot-tokens": ({"tokens": "snapshot"}, {}),
}


@pytest.mark.parametrize("name", SWITCHES)
def test_probe_tells_each_switch(served: ServeWorld, name: str) -> None:
    """The probe reports each switch that is set, and gives the usual answers to all other questions."""
    switches, different = SWITCHES[name]
    assert told(served, **switches) == {**USUAL, **different}


def test_probe_takes_some_40_calls_at_most(served: ServeWorld) -> None:
    """The probe of an image that answers all questions takes the most calls."""
    site = served(telling_world())
    subject = choose(Config(rate=FAST), Knowledge(), image="Base-GPU", scope=None, stop=Stop())
    observe(subject)
    assert site.simulator.counters.calls() <= 40


def test_probe_tells_what_one_image_cannot_tell(served: ServeWorld) -> None:
    """With one version, no capitals and no whole seconds, the questions that need more are not answered."""
    world = World(clock=VirtualClock(frozen_at=NOON_MS + 123))
    world.create_image("base")
    world.create_version("base")
    served(world)
    subject = choose(Config(rate=FAST), Knowledge(), image="base", scope=None, stop=Stop())
    found = {each.question: each for each in observe(subject)}
    missing = {question for question, each in found.items() if each.answer == NOT_TESTED}
    assert missing == {
        "default page size",
        "default order",
        *PAGED,
        *BOUNDS,
        *TIES,
        "tokens",
        "case in ARNs",
        IMAGE_TIME,
    }
    assert all(each.evidence for each in found.values() if each.answer == NOT_TESTED)


@pytest.mark.parametrize(("moves", "answer"), [(True, "moved"), (False, "as before")])
def test_probe_tells_whether_a_new_version_moves_the_image(
    served: ServeWorld, *, moves: bool, answer: str
) -> None:
    """The probe compares an image's time with its newest version; it gives no answer if the image changed since."""
    clock = VirtualClock(frozen_at=NOON_MS)
    world = World(clock=clock)
    served(world, Behaviour(versions_move_image=moves))
    world.create_image("base")
    clock.advance(HOUR_MS)
    world.create_version("base")
    clock.advance(HOUR_MS)
    subject = choose(Config(rate=FAST), Knowledge(), image=None, scope=None, stop=Stop())
    assert {each.question: each.answer for each in observe(subject)}[IMAGE_TIME] == answer
    world.update_image("base", description="changed since")
    subject = choose(Config(rate=FAST), Knowledge(), image=None, scope=None, stop=Stop())
    assert {each.question: each.answer for each in observe(subject)}[IMAGE_TIME] == NOT_TESTED


CREATED = b'[{"after_requests": 12, "action": {"do": "create_version", "image": "Base-GPU"}}]'
UPDATED = b'[{"after_requests": 12, "action": {"do": "update_version", "image": "Base-GPU", "version": 3}}]'


@pytest.mark.parametrize("change", [CREATED, UPDATED], ids=["created", "updated"])
@pytest.mark.parametrize(
    ("tokens", "answer"),
    [
        ("keyset", "knows its place (keyset)"),
        ("offset", "counts rows (offset)"),
        ("snapshot", "belongs to a copy (snapshot)"),
    ],
)
def test_watch_tells_the_kind_of_tokens(served: ServeWorld, change: bytes, tokens: str, answer: str) -> None:
    """A change while the probe waits shows where an older token continues, and so what kind of token it is."""
    site = served(telling_world(), Behaviour(tokens=tokens))  # type: ignore[arg-type]  # a switch of the simulator
    subject = choose(Config(rate=FAST), Knowledge(), image="Base-GPU", scope=None, stop=Stop())
    asked = site.simulator.counters.calls()
    site.simulator.play(Script.parse(change))
    kind, _ = watch(subject, Wait(600, Stop(), poll_seconds=0))
    assert kind.answer == answer
    assert site.simulator.counters.calls() - asked < 40


def test_watch_tells_how_far_lists_lag(served: ServeWorld) -> None:
    """If Describe has a version five seconds before the list, the probe reports a lag of about five seconds."""
    site = served(telling_world(), Behaviour(list_lag_ms=5000))
    site.simulator.clock.advance(60_000)
    subject = choose(Config(rate=FAST), Knowledge(), image="Base-GPU", scope=None, stop=Stop())

    async def time_goes_by(_: web.Request, exchange: Exchange) -> web.StreamResponse | None:
        if exchange.operation == "ListImageVersions":
            site.simulator.clock.advance(1000)
        return None

    site.simulator.fault = time_goes_by
    site.simulator.play(Script.parse(CREATED))
    _, lag = watch(subject, Wait(600, Stop(), poll_seconds=0))
    assert lag.answer in {"about 4 s", "about 5 s", "about 6 s"}


def test_watch_without_a_change_tells_nothing(served: ServeWorld) -> None:
    """If nothing changes while the probe waits, it gives no answer."""
    subject = subject_of(served, Behaviour())
    answers = {each.answer for each in watch(subject, Wait(0, Stop()))}
    assert answers == {NOT_TESTED}


@pytest.fixture
def desk(bench: MakeBench) -> Bench:
    """The site of `telling_world`, with its command line."""
    return bench(telling_world())


def test_probe_only_reads_and_names_nobody(desk: Bench) -> None:
    """The probe writes nothing at AWS or on disk, and its JSON contains neither the account nor the image."""
    world = desk.site.world
    before, files = world.truth(), contents(desk.site.folder)
    answered = desk("check", "--probe", "--json")
    assert answered.code == 0
    assert world.truth() == before
    assert contents(desk.site.folder) == files
    assert set(desk.site.simulator.counters.totals().calls) <= READING
    assert "111122223333" not in answered.out
    assert "Base-GPU" not in answered.out
    document = json.loads(answered.out)
    assert {each["question"]: each["answer"] for each in document["observations"]} == USUAL
    assert document["calls"]["throttles"] == 0
    assert document["calls"]["by_operation"]["ListImageVersions"] < 60


def test_probe_of_a_chosen_image_and_scope(desk: Bench) -> None:
    """--image and --scope choose, and the table names the image; an unknown image or scope is refused by name."""
    answered = desk("check", "--probe", "--image", "other", "--scope", "111122223333/us-east-1")
    assert answered.code == 0
    assert "Probed image other of 111122223333/us-east-1" in answered.out
    assert "0 throttled" in answered.out
    for wrong in (("--image", "nobody"), ("--scope", "111122223333/eu-west-1")):
        refused = desk("check", "--probe", *wrong)
        assert refused.code == 2
        assert wrong[1] in refused.err


def test_probe_of_what_may_not_be_listed_says_so(desk: Bench) -> None:
    """If ListImageVersions is denied, the probe exits with 4, prints AWS's error, and prints no answers."""
    desk.site.simulator.fault = denying("ListImageVersions")
    answered = desk("check", "--probe")
    assert (answered.code, answered.out) == (4, "")
    assert "AccessDeniedException" in answered.err
