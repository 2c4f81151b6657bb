from __future__ import annotations

import itertools
import json
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore import xform_name

from image_history.cli.browse import Browse, ResumeToken, browse
from image_history.config import Config, Rate
from image_history.extract.calls import ScopeCalls
from image_history.extract.choose import Choice, choose_target
from image_history.extract.scopes import scope_calls
from image_history.formats import NAMES
from image_history.model import Stop
from image_history.simulator import Behaviour, Simulator, VirtualClock, World, generate
from tests.behaviour.listing import COLUMNS, Row, Tool, boto_row, options, unmodified_client

SORTS = [
    pytest.param(by, order, id=f"{by}-{order}".lower())
    for by in ("CREATION_TIME", "LAST_MODIFIED_TIME", "VERSION")
    for order in ("ASCENDING", "DESCENDING")
]
FILTERS = ("CreationTimeAfter", "CreationTimeBefore", "LastModifiedTimeAfter", "LastModifiedTimeBefore")
SUBSETS = [subset for size in (0, 1, 4) for subset in itertools.combinations(FILTERS, size)]
MODES = {
    "keyset": Behaviour(),
    "offset": Behaviour(tokens="offset"),
    "snapshot": Behaviour(tokens="snapshot"),
    "page-then-filter": Behaviour(filtering="page_then_filter"),
    "page-then-filter-offset": Behaviour(filtering="page_then_filter", tokens="offset"),
}
FAST = Rate(list_per_second=10_000, describe_per_second=10_000)


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    """A simulated AWS with an image of 57 versions, and a second image."""
    with Simulator(generate(23, images=2, versions_per_image=57)) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def client(simulator: Simulator) -> Any:
    """An unmodified boto3 client."""
    return unmodified_client(simulator)


@pytest.fixture
def tool(
    simulator: Simulator,
    client: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Tool:
    """The command and boto3 in an empty folder, with the environment variables of the simulated AWS."""
    monkeypatch.chdir(tmp_path)
    for name, value in simulator.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("IMAGE_HISTORY_RATE__LIST_PER_SECOND", "10000")
    simulator.behaviour = Behaviour()
    return Tool(simulator, simulator.world.image_truth()[0].image_name, client, capsys)


@pytest.fixture(scope="module")
def calls(simulator: Simulator) -> ScopeCalls:
    """The connector's calls of the simulated scope, made once for the module."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in simulator.environment().items():
            patch.setenv(name, value)
        config = Config(rate=FAST)
        return scope_calls(choose_target(config.accounts, Choice()), config, Stop())


def bounds(simulator: Simulator, image: str, subset: tuple[str, ...]) -> dict[str, datetime]:
    """Filter times around the middle of the versions, in whole seconds, since no others can be sent."""
    truth = simulator.world.truth(image_name=image)
    creation = sorted(row.creation_ms // 1000 for row in truth)
    modified = sorted(row.last_modified_ms // 1000 for row in truth)
    moments = {
        "CreationTimeAfter": creation[8],
        "CreationTimeBefore": creation[45],
        "LastModifiedTimeAfter": modified[11],
        "LastModifiedTimeBefore": modified[51],
    }
    return {name: datetime.fromtimestamp(moments[name], tz=UTC) for name in subset}


def asked(image: str, parameters: dict[str, Any], page_size: int | None = None) -> Browse:
    """A Browse with boto3's parameters."""
    seconds = {name: int(value.timestamp()) for name, value in parameters.items() if name in FILTERS}
    return Browse(
        image_name=image,
        creation_time_after=seconds.get("CreationTimeAfter"),
        creation_time_before=seconds.get("CreationTimeBefore"),
        last_modified_time_after=seconds.get("LastModifiedTimeAfter"),
        last_modified_time_before=seconds.get("LastModifiedTimeBefore"),
        sort_by=parameters.get("SortBy"),
        sort_order=parameters.get("SortOrder"),
        page_size=page_size,
    )


def versions(rows: list[Row]) -> list[object]:
    """The version numbers of rows."""
    return [row[1] for row in rows]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("by", "order"), SORTS)
def test_browse_gives_the_rows_of_boto3_for_every_sort_and_filter(
    tool: Tool, calls: ScopeCalls, by: str, order: str, mode: str
) -> None:
    """Any combination of the four filters gives the versions that boto3 gives, in its order."""
    tool.simulator.behaviour = MODES[mode]
    for subset in SUBSETS:
        filters = bounds(tool.simulator, tool.image, subset)
        parameters = {"SortBy": by, "SortOrder": order, **filters}
        found = browse(calls, asked(tool.image, parameters, page_size=10))
        assert [row.Version for row in found.rows] == versions(tool.boto_rows(parameters, PageSize=10)), (
            subset
        )
        assert found.next_token is None
        assert found.rows, "a test without rows shows nothing"


@pytest.mark.parametrize(("by", "order"), SORTS)
def test_list_gives_the_rows_of_boto3(tool: Tool, by: str, order: str) -> None:
    """The command prints every member of every row that boto3 returns for the same parameters."""
    parameters = {"SortBy": by, "SortOrder": order, **bounds(tool.simulator, tool.image, FILTERS)}
    rows = tool.boto_rows(parameters)
    assert tool.listed(*options(parameters)).rows == rows
    assert 0 < len(rows) < 57


@pytest.mark.parametrize("name", FILTERS)
def test_list_passes_each_filter_on(tool: Tool, name: str) -> None:
    """One filter alone is sent to AWS as the whole second that the option gives."""
    parameters = bounds(tool.simulator, tool.image, (name,))
    assert tool.listed(*options(parameters)).rows == tool.boto_rows(parameters)
    ours, theirs = (record.parameters for record in tool.simulator.counters.log[-2:])
    assert ours[name] == theirs[name] == int(parameters[name].timestamp())


def test_list_without_options_is_the_aws_default_order(tool: Tool) -> None:
    """Without sorting options AWS chooses: newest creation first, in pages of 100."""
    assert tool.listed().rows == tool.boto_rows()
    assert tool.simulator.counters.log[-7].parameters == {"ImageName": tool.image, "MaxResults": 100}


@pytest.mark.parametrize("size", [1, 7, 56, 57, 58, 100])
def test_list_in_pages_of_any_size(tool: Tool, size: int) -> None:
    """The page size changes the number of calls and nothing else."""
    tool.simulator.counters.reset()
    assert tool.listed("--page-size", str(size)).rows == tool.boto_rows(PageSize=size)
    assert tool.simulator.counters.calls("ListImageVersions") == 2 * -(-57 // size)


@pytest.mark.parametrize("mode", MODES)
def test_listing_cut_anywhere_goes_on_in_both_tools(
    tool: Tool, calls: ScopeCalls, mode: str, rng: random.Random
) -> None:
    """A listing that is cut after any number of rows continues in boto3 or here, each with the other's token."""
    tool.simulator.behaviour = MODES[mode]
    filters = bounds(tool.simulator, tool.image, FILTERS[1:])
    parameters = {"SortBy": "LAST_MODIFIED_TIME", "SortOrder": "ASCENDING", **filters}
    whole = versions(tool.boto_rows(parameters))
    for _ in range(12):
        size, found, token = rng.randint(1, 12), [], None
        while True:
            count = rng.randint(1, 17)
            if rng.random() < 0.5:
                rows, token = tool.boto(parameters, PageSize=size, MaxItems=count, StartingToken=token)
                found += versions(rows)
            else:
                start = ResumeToken() if token is None else ResumeToken.decode(token)
                listing = browse(calls, asked(tool.image, parameters, size), start=start, max_items=count)
                found += [row.Version for row in listing.rows]
                token = listing.next_token
            if token is None:
                break
        assert found == whole


def test_list_continues_what_boto3_cut(tool: Tool) -> None:
    """The command continues where boto3's MaxItems ended, and boto3 continues where the command ended."""
    first, token = tool.boto(MaxItems=13, PageSize=10)
    assert token is not None
    second = tool.listed("--starting-token", token, "--max-items", "20", "--page-size", "10")
    assert second.token is not None
    third, end = tool.boto(PageSize=10, StartingToken=second.token)
    assert first + second.rows + third == tool.boto_rows()
    assert end is None


def test_list_continues_a_token_made_with_the_page_size_of_aws(tool: Tool) -> None:
    """A token of a listing without a page size continues without one, although 100 is the default here."""
    first, token = tool.boto(MaxItems=13)
    assert token is not None
    rest = tool.listed("--starting-token", token)
    assert first + rest.rows == tool.boto_rows()
    assert rest.token is None


def test_list_continues_a_token_of_larger_pages(tool: Tool) -> None:
    """A token that skips more rows than a page holds neither loses nor repeats rows."""
    first = tool.listed("--max-items", "30")
    assert first.token is not None
    rest = tool.listed("--starting-token", first.token, "--page-size", "7")
    assert first.rows + rest.rows == tool.boto_rows()


def test_token_of_a_cut_first_page_is_that_of_boto3(tool: Tool) -> None:
    """If a listing is cut within its first page, both tools print the same token."""
    assert tool.listed("--max-items", "4").token == tool.boto(MaxItems=4)[1]


@pytest.mark.parametrize("how", NAMES)
def test_token_is_printed_as_a_note(tool: Tool, tmp_path: Path, how: str) -> None:
    """In every format the token is alone on the last line of stderr, not among the rows; JSON has it beside them."""
    file = ("--output", f"rows.{how}") if NAMES[how].binary else ()
    ran = tool.command("list", tool.image, "--max-items", "2", "--format", how, *file)
    token = tool.boto(MaxItems=2)[1]
    assert (ran.code, ran.errors.splitlines()[-1]) == (0, f"next token: {token}")
    written = (tmp_path / f"rows.{how}").read_bytes() if file else ran.output.encode()
    assert token is not None
    assert written.count(token.encode()) == (1 if how == "json" else 0)
    if how == "json":
        assert (ran.token, len(ran.rows)) == (token, 2)


def test_token_is_absent_at_the_end(tool: Tool) -> None:
    """A listing that ends with its last row prints no token, even if the limit is that very row."""
    ran = tool.listed("--max-items", "57")
    assert (ran.token, ran.errors) == (None, "")


def test_list_in_the_fold_of_new_york(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """In the hour that occurs twice in New York, rows, order and filters are those of UTC."""
    fold_ms = int(datetime(2026, 11, 1, 4, 30, tzinfo=UTC).timestamp() * 1000)
    world = World(clock=VirtualClock(frozen_at=fold_ms))
    world.create_image("base")
    for _ in range(12):
        world.clock.advance(900_123)
        world.create_version("base")
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        with Simulator(world) as simulator:
            for name, value in simulator.environment().items():
                monkeypatch.setenv(name, value)
            monkeypatch.chdir(tmp_path)
            tool = Tool(simulator, "base", unmodified_client(simulator), capsys)
            ran = tool.listed(
                "--creation-time-after",
                "2026-11-01T05:30:00",
                "--creation-time-before",
                "2026-11-01T06:45:00Z",
            )
        truth = world.truth(image_name="base")
    finally:
        monkeypatch.undo()
        time.tzset()
    start_ms, end_ms = fold_ms + 3_600_000, fold_ms + 8_100_000
    expected = [(row.version, row.creation_ms) for row in truth if start_ms <= row.creation_ms <= end_ms]
    assert [(row[1], row[4]) for row in ran.rows] == sorted(expected, reverse=True)
    assert len(expected) == 5


def test_row_has_every_member_of_an_image_version(tool: Tool) -> None:
    """A printed row, and the comparison with boto3, have every member that an image version has in AWS's model."""
    members = tool.client.meta.service_model.shape_for("ImageVersion").members
    row = json.loads(tool.listed("--max-items", "1").output)["ImageVersions"][0]
    assert set(row) == {"image_name", *map(xform_name, members)}
    assert set(row) == set(COLUMNS)
    assert len(boto_row("", dict.fromkeys(members, datetime.now(UTC)))) == len(row)
