"""What Spark's tasks read, without Spark: packs of whole scopes, whole streams or none, with the calls of a sync."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
import pytest

from image_history.config import Account, Images
from image_history.errors import ConfigError, ConnectorError, CredentialsError, SourceError
from image_history.landing.rows import VERSIONS_SCHEMA
from image_history.model import Scope, Stop
from image_history.simulator import Behaviour, Exchange, FaultRule, VirtualClock, World, generate
from image_history.spark.options import MEANINGS, Wanted, wanted
from image_history.spark.packs import packed, packs
from image_history.spark.reading import tables
from tests.behaviour.cloud import key_of
from tests.behaviour.harness import Row, ServeWorld, Site, true_rows

if TYPE_CHECKING:
    from aiohttp import web

NOON_MS = 1_790_000_000_000
ACCOUNTS = tuple(f"{200_000_000_000 + number:012d}" for number in range(3))
REGIONS = ("us-east-1", "eu-west-1")
PAGE = Path(__file__).parents[2] / "docs" / "spark.md"
COLUMNS = (
    *("account_id", "region", "image_name", "version", "image_arn", "image_version_arn"),
    *("image_version_status", "failure_reason", "creation_time", "last_modified_time"),
)


@pytest.fixture
def site(served: ServeWorld, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Three accounts in two regions, with a profile for each account; one image of each scope has several pages."""
    clock = VirtualClock(frozen_at=NOON_MS)
    world = generate(
        11, accounts=ACCOUNTS, regions=REGIONS, images=4, versions_per_image=3, largest=23, clock=clock
    )
    return with_profiles(served(world), monkeypatch)


def with_profiles(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Add a profile for each account, and pages of ten rows."""
    profiles = "".join(
        f"[profile p{each}]\naws_access_key_id={key_of(each)}\naws_secret_access_key=x\n" for each in ACCOUNTS
    )
    (site.folder / "aws").write_text(profiles, encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(site.folder / "aws"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    accounts = tuple(Account(profile=f"p{each}", regions=REGIONS) for each in ACCOUNTS)
    site.config = msgspec.structs.replace(site.config, accounts=accounts, page_size=10)
    return site


def one_image(served: ServeWorld, *, versions: int, behaviour: Behaviour | None = None) -> Site:
    """A site with one image of `versions` versions, in pages of ten."""
    world = World(accounts=["111122223333"], regions=["us-east-1"], clock=VirtualClock(frozen_at=NOON_MS))
    world.create_image("base")
    for _ in range(versions):
        world.create_version("base")
    site = served(world, behaviour)
    site.config = msgspec.structs.replace(site.config, page_size=10)
    return site


def rows(read: Iterable[pa.Table]) -> list[Row]:
    """The rows of tables, with instants as AWS's milliseconds, comparable to the truth."""
    table = pa.concat_tables([VERSIONS_SCHEMA.empty_table(), *read]).select(COLUMNS)
    instants = [index for index, name in enumerate(COLUMNS) if name.endswith("_time")]
    for index in instants:
        table = table.set_column(index, COLUMNS[index], table[COLUMNS[index]].cast(pa.int64()))
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def all_rows(asked: Wanted) -> list[Row]:
    """The rows of all packs."""
    return [row for pack in packs(asked, Stop()) for row in rows(tables(pack, asked, Stop()))]


def counted(site: Site) -> Counter[str]:
    """The calls since the counters were reset."""
    names = ("ListImages", "ListImageVersions", "DescribeImage", "DescribeImageVersion", "GetCallerIdentity")
    return Counter({name: site.calls(name) for name in names if site.calls(name)})


@pytest.mark.parametrize("partitions", [1, 4, 100])
def test_rows_are_the_truth_at_the_calls_of_a_first_sync(site: Site, partitions: int) -> None:
    """However the scopes are packed, rows and calls are a first sync's; each pack also calls GetCallerIdentity."""
    site.sync()
    first = counted(site)
    site.simulator.counters.reset()
    asked = Wanted(site.config, partitions=partitions)
    read = all_rows(asked)
    assert len(read) == len(set(read))
    assert set(read) == true_rows(site.world)
    calls = counted(site)
    by_pack = [{planned.scope.account_id for planned in pack.scopes} for pack in packs(asked, Stop())]
    assert calls.pop("GetCallerIdentity") == first.pop("GetCallerIdentity") + sum(map(len, by_pack))
    assert calls == first


def test_packs_are_whole_scopes_and_planning_lists_nothing(site: Site) -> None:
    """Each scope is in one pack, packs differ by one scope at most, and planning calls GetCallerIdentity only."""
    site.simulator.counters.reset()
    made = packs(Wanted(site.config, partitions=4), Stop())
    assert sorted(len(pack.scopes) for pack in made) == [1, 1, 2, 2]
    assert [planned.scope for pack in made for planned in pack.scopes] == sorted(
        Scope(account, region) for account in ACCOUNTS for region in REGIONS
    )
    assert set(counted(site)) == {"GetCallerIdentity"}
    assert packed([], 8) == []


def test_a_part_of_it_can_be_asked_for(site: Site) -> None:
    """Scopes are chosen by name and images by pattern; a scope that is not configured raises ConfigError."""
    some = {row for row in true_rows(site.world) if row[0] == ACCOUNTS[1] and row[1] == "eu-west-1"}
    name = str(min(str(row[2]) for row in some))
    asked = Wanted(site.config, images=(name,), scopes=(f"{ACCOUNTS[1]}/eu-west-1",))
    assert set(all_rows(asked)) == {row for row in some if row[2] == name}
    with pytest.raises(ConfigError, match="No scope 1/us-east-1 is configured; there are"):
        packs(Wanted(site.config, scopes=("1/us-east-1",)), Stop())


@pytest.mark.parametrize("tokens", ["keyset", "offset", "snapshot"])
def test_row_that_a_deletion_pushed_off_its_page_is_not_lost(served: ServeWorld, tokens: str) -> None:
    """If a version is deleted between two pages, no other row is lost, even with tokens that count rows."""
    site = one_image(served, versions=35, behaviour=Behaviour(tokens=tokens))  # type: ignore[arg-type]  # one of three
    reached = [0]

    async def delete(_: web.Request, exchange: Exchange) -> None:
        reached[0] += exchange.operation == "ListImageVersions"
        if reached[0] == 2:
            reached[0] += 1
            site.world.delete_version("base", 4)

    site.simulator.fault = delete
    read = all_rows(Wanted(site.config))
    assert len(read) == len(set(read))
    assert true_rows(site.world) <= set(read)
    assert {row[3] for row in set(read) - true_rows(site.world)} <= {4}


@pytest.mark.parametrize(("gone", "again", "described"), [(2, 0, 2), (9, 1, 0)], ids=["few", "many"])
def test_missing_numbers_are_explained_as_a_first_sync_does(
    served: ServeWorld, gone: int, again: int, described: int
) -> None:
    """A few missing numbers are looked up; if they outnumber the pages, the image is listed once more instead."""
    site = one_image(served, versions=35)
    for number in range(5, 5 + gone):
        site.world.delete_version("base", number)
    site.sync()
    first = counted(site)
    site.simulator.counters.reset()
    assert set(all_rows(Wanted(site.config))) == true_rows(site.world)
    calls = counted(site)
    pages = (35 - gone + 9) // 10
    assert (calls["ListImageVersions"], calls["DescribeImageVersion"]) == (pages * (1 + again), described)
    assert calls - first == Counter({"GetCallerIdentity": 1})


@pytest.mark.parametrize("kind", ["access_denied", "close"])
def test_stream_that_was_not_read_whole_gives_no_row(site: Site, kind: str) -> None:
    """A stream that was not read whole ends the read; if such streams are skipped, none of its rows is given."""
    name, scope = largest(site.world)
    site.simulator.faults = (
        FaultRule(
            kind=kind,
            operation="ListImageVersions",
            image=name,
            account_id=scope[0],
            region=scope[1],
            start=2,
        ),
    )
    with pytest.raises(SourceError, match=f"{scope[0]}/{scope[1]}/{name} was not read whole"):
        all_rows(Wanted(site.config))
    site.simulator.faults = site.simulator.faults
    read = set(all_rows(Wanted(site.config, skip=True)))
    assert read == {row for row in true_rows(site.world) if row[:3] != (*scope, name)}


def largest(world: World) -> tuple[str, tuple[str, str]]:
    """The image with the most versions, and its scope."""
    count = Counter((row.account_id, row.region, row.image_name) for row in world.truth())
    [((account_id, region, name), _)] = count.most_common(1)
    return name, (account_id, region)


def test_scope_that_cannot_be_read_is_named_or_skipped(site: Site) -> None:
    """A scope whose list of images is denied is named in the error; if it is skipped, the other scopes are read."""
    site.simulator.faults = (FaultRule(kind="access_denied", account_id=ACCOUNTS[2], region="us-east-1"),)
    with pytest.raises(SourceError, match=f"{ACCOUNTS[2]}/us-east-1 was not read whole"):
        all_rows(Wanted(site.config))
    read = set(all_rows(Wanted(site.config, skip=True)))
    assert read == {row for row in true_rows(site.world) if row[:2] != (ACCOUNTS[2], "us-east-1")}


@pytest.mark.parametrize("skip", [True, False], ids=["skip", "fail"])
def test_scope_that_is_lost_after_whole_images_is_told_as_it_is(
    served: ServeWorld, caplog: pytest.LogCaptureFixture, *, skip: bool
) -> None:
    """If credentials expire after a whole image, the log counts the given rows and names the images left out."""
    site = one_image(served, versions=3)
    for name in ("long", "longer"):
        site.world.create_image(name)
        for _ in range(12):
            site.world.create_version(name)
    site.simulator.faults = (
        FaultRule(kind="unknown_credentials", operation="ListImageVersions", image="long", start=1),
        FaultRule(kind="unknown_credentials", operation="ListImageVersions", image="longer", start=1),
    )
    config = msgspec.structs.replace(site.config, concurrency=1)
    if not skip:
        with pytest.raises(SourceError, match="111122223333/us-east-1 was not read whole"):
            all_rows(Wanted(config))
        return
    read = all_rows(Wanted(config, skip=True))
    assert {row[2] for row in read} == {"base"}
    [line] = [each.getMessage() for each in caplog.records if "Left out" in each.getMessage()]
    assert line.startswith(
        "111122223333/us-east-1 was not read to its end. Left out: long, longer. Given, because they were read whole "
        "before: 1 image with 3 rows. "
    )


def test_image_that_goes_before_it_is_listed_has_no_row(served: ServeWorld) -> None:
    """An image that is deleted before its listing has no row and is no error, after DescribeImage confirms it."""
    site = one_image(served, versions=3)
    site.world.create_image("other")
    site.world.create_version("other")

    async def delete(_: web.Request, exchange: Exchange) -> None:
        there = any(row.image_name == "base" for row in site.world.truth())
        if there and exchange.operation == "ListImages":
            for number in (1, 2, 3):
                site.world.delete_version("base", number)
            site.world.delete_image("base")

    site.simulator.fault = delete
    read = all_rows(Wanted(site.config))
    assert {row[2] for row in read} == {"other"}
    assert site.calls("DescribeImage") == 1


def test_credentials_that_lead_elsewhere_on_a_machine_are_refused(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A profile on the executor's machine that belongs to another account than on the driver's is refused."""
    asked = Wanted(site.config, partitions=6)
    first = packs(asked, Stop())[0]
    text = (site.folder / "aws").read_text(encoding="utf-8")
    (site.folder / "aws").write_text(text.replace(key_of(ACCOUNTS[0]), key_of(ACCOUNTS[1])), encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(site.folder / "aws"))
    with pytest.raises(SourceError, match="on this machine") as caught:
        list(tables(first, asked, Stop()))
    assert isinstance(caught.value.__cause__, CredentialsError)


def test_two_ways_into_one_scope_are_refused(site: Site) -> None:
    """Two entries for one scope are refused, because its rows would be given twice."""
    twice = msgspec.structs.replace(site.config, accounts=(*site.config.accounts, site.config.accounts[0]))
    with pytest.raises(ConfigError, match="are both account"):
        packs(Wanted(twice), Stop())


def test_nothing_to_read_is_no_error(served: ServeWorld) -> None:
    """A scope without an image gives no rows and no error."""
    site = served(World(accounts=["111122223333"], regions=["us-east-1"]))
    assert all_rows(Wanted(site.config)) == []


def test_reader_that_is_left_makes_no_more_calls(site: Site) -> None:
    """A reader that is stopped early, as by `LIMIT`, makes no more calls."""
    stop = Stop()
    asked = Wanted(
        msgspec.structs.replace(
            site.config, rate=msgspec.structs.replace(site.config.rate, list_per_second=20.0)
        )
    )
    [pack] = packs(Wanted(asked.config, partitions=1), Stop())
    site.simulator.counters.reset()
    reading = tables(pack, asked, stop)
    next(reading)
    stop.request(15)
    with pytest.raises(ConnectorError):
        list(reading)
    assert site.calls("ListImageVersions") < len({row[:3] for row in true_rows(site.world)})


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"region": "us-east-1"}, r"has no option region; did you mean regions\?"),
        ({"aws_secret_access_key": "x"}, "is refused: credentials"),
        ({"regions": "us-east-1,"}, "Option regions of sagemaker_image_versions has an empty item"),
        (
            {"regions": "Ohio"},
            "Option regions of sagemaker_image_versions: .* must be the name of one AWS region",
        ),
        ({"roles": "me"}, "Option roles .* must be the ARN of an IAM role"),
        ({"external_id": "abc"}, "external_id"),
        ({"list_per_second": "fast"}, "Option list_per_second .* must be a number above 0"),
        ({"page_size": "500"}, "Option page_size .* must be a whole number from 1 to 100"),
        (
            {"partitions": "0"},
            "Option partitions .* must be a whole number from 1 to 1000, but it is the text '0'",
        ),
        ({"failures": "ignore"}, "must be fail or skip, but it is the text 'ignore'"),
        ({"config": "c.yaml", "regions": "us-east-1"}, "both say what is read"),
        ({"config": "no/such.yaml"}, "there is no such file"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_wrong_option_is_one_sentence(options: dict[str, str], told: str) -> None:
    """The error of a wrong option names the option and the allowed values."""
    with pytest.raises(ConfigError, match=told):
        wanted(options)


def test_options_come_to_a_configuration() -> None:
    """Options become a configuration: each role in each region, the rates, and the chosen images and scopes."""
    role = "arn:aws:iam::{}:role/reader"
    found = wanted(
        {
            "roles": f"{role.format(ACCOUNTS[0])}, {role.format(ACCOUNTS[1])}",
            "external_id": "me-too",
            "regions": "us-east-1, eu-west-1",
            "list_per_second": "5",
            "describe_per_second": "7.5",
            "page_size": "50",
            "concurrency": "4",
            "images": "team-*,base",
            "scopes": f"{ACCOUNTS[0]}/us-east-1",
            "partitions": "3",
            "failures": "skip",
        }
    )
    assert found.config.accounts == tuple(
        Account(role_arn=role.format(each), external_id="me-too", regions=REGIONS) for each in ACCOUNTS[:2]
    )
    assert (found.config.rate.list_per_second, found.config.rate.describe_per_second) == (5.0, 7.5)
    assert (found.config.page_size, found.config.concurrency) == (50, 4)
    assert (found.images, found.scopes) == (("team-*", "base"), (f"{ACCOUNTS[0]}/us-east-1",))
    assert (found.partitions, found.skip) == (3, True)
    assert wanted({"regions": "all"}).config.accounts == (Account(regions="all"),)
    assert wanted({}).config.accounts == (Account(),)


def test_configuration_file_says_what_is_read(tmp_path: Path) -> None:
    """The configuration file says what is read; a rate or a size given as an option replaces the file's."""
    path = tmp_path / "config.yaml"
    path.write_text(
        "accounts: [{profile: a, images: {include: [x]}}]\n"
        "rate: {list_per_second: 9, describe_per_second: 7}\npage_size: 30\nconcurrency: 5\n",
        encoding="utf-8",
    )
    found = wanted({"config": str(path), "describe_per_second": "3", "concurrency": "8"})
    assert found.config.accounts == (Account(profile="a", images=Images(include=("x",))),)
    assert (found.config.rate.list_per_second, found.config.rate.describe_per_second) == (9.0, 3.0)
    assert (found.config.page_size, found.config.concurrency) == (30, 8)
    alone = wanted({"config": str(path)}).config
    assert (alone.rate.describe_per_second, alone.concurrency) == (7.0, 5)


def test_page_tells_every_option() -> None:
    """The table in docs/spark.md has every option with its meaning, word for word."""
    text = PAGE.read_text(encoding="utf-8")
    for name, meaning in MEANINGS.items():
        assert f"| `{name}` | {meaning} |" in text


def test_missing_extra_names_the_pip_line() -> None:
    """Without PySpark, `register` raises an error with the pip command, and nothing else imports the module."""
    program = """
import sys
sys.modules["pyspark"] = None
import image_history, image_history.cli
assert not [name for name in sys.modules if name.startswith("image_history.spark")]
import image_history.spark
try:
    image_history.spark.register
except ModuleNotFoundError as error:
    print(error)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install 'sagemaker-image-history[spark]'" in ended.stdout


def test_packs_and_options_travel(site: Site) -> None:
    """What is read and its packs can be pickled, as Spark sends them to its executors, and then read as before."""
    import pickle

    asked = Wanted(site.config, images=("*",), partitions=4)
    planned = packs(asked, Stop())
    there, sent = pickle.loads(pickle.dumps((asked, planned)))  # noqa: S301 - ours
    assert (there, sent) == (asked, planned)
    read = [row for pack in sent for row in rows(tables(pack, there, Stop()))]
    assert len(read) == len(set(read))
    assert set(read) == true_rows(site.world)
