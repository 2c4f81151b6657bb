"""`check` and `sync` exit with the same code, whatever is denied or broken; each row breaks one thing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from image_history.simulator import generate
from tests.behaviour.checking import Bench, MakeBench, denying
from tests.behaviour.checking import bench as bench  # noqa: PLC0414 - a fixture

pytestmark = pytest.mark.duckdb

ICEBERG = """
publish:
  - to: iceberg://local/inventory
    properties: {{type: sql, uri: "sqlite:///{to}", warehouse: lake}}
"""
PUBLISH = "page_size: 100\npublish:\n  - to: {to}\n"


def deny(*operations: str) -> Callable[[Bench], None]:
    """Make AWS deny these operations."""

    def broken(desk: Bench) -> None:
        desk.site.simulator.fault = denying(*operations)

    return broken


def file_there(name: str) -> Callable[[Bench], None]:
    """Put a file of this name into the site's folder."""

    def broken(desk: Bench) -> None:
        (desk.site.folder / name).write_text("mine", encoding="utf-8")

    return broken


def folder_there(name: str, inside: str | None = None) -> Callable[[Bench], None]:
    """Put a folder of this name into the site's folder, empty or with one file."""

    def broken(desk: Bench) -> None:
        folder = Path(desk.site.folder / name)
        folder.mkdir()
        if inside is not None:
            (folder / inside).write_text("mine", encoding="utf-8")

    return broken


def open_folder(name: str) -> Callable[[Bench], None]:
    """Put a folder that every user may write to into the site's folder."""

    def broken(desk: Bench) -> None:
        folder = Path(desk.site.folder / name)
        folder.mkdir()
        folder.chmod(0o777)

    return broken


def nothing(_: Bench) -> None:
    """Break nothing."""


DETAILS = "page_size: 100\ndetails: true\n"


@pytest.mark.parametrize(
    ("config", "broken", "code"),
    [
        pytest.param("page_size: 100\n", nothing, 0, id="nothing"),
        pytest.param("page_size: 100\n", deny("ListImages"), 3, id="list-images"),
        pytest.param("page_size: 100\n", deny("ListImageVersions"), 3, id="list-versions"),
        pytest.param("page_size: 100\n", deny("DescribeImage"), 0, id="describe-image"),
        pytest.param("page_size: 100\n", deny("DescribeImageVersion"), 0, id="describe-version"),
        pytest.param(DETAILS, nothing, 0, id="details"),
        pytest.param(DETAILS, deny("DescribeImageVersion"), 0, id="describe-version-for-details"),
        pytest.param(DETAILS, deny("ListAliases"), 0, id="list-aliases"),
        pytest.param(PUBLISH.format(to="there"), nothing, 0, id="publish"),
        pytest.param(PUBLISH.format(to="not/there"), nothing, 4, id="publish-no-folder"),
        pytest.param(PUBLISH.format(to="there"), file_there("there"), 4, id="publish-file"),
        pytest.param(PUBLISH.format(to="there"), folder_there("there"), 0, id="publish-empty-folder"),
        pytest.param(PUBLISH.format(to="there"), folder_there("there", "a"), 4, id="publish-foreign"),
        pytest.param(PUBLISH.format(to="there"), open_folder("there"), 4, id="publish-open"),
        pytest.param(
            PUBLISH.format(to="there") + "    tables: [image_version]\n", nothing, 4, id="publish-table"
        ),
        pytest.param(PUBLISH.format(to="not/there.html"), nothing, 4, id="report-no-folder"),
        pytest.param(PUBLISH.format(to="there.html"), folder_there("there.html"), 4, id="report-folder"),
        pytest.param(PUBLISH.format(to="delta+file:./lake/deep"), nothing, 0, id="delta"),
        pytest.param(PUBLISH.format(to="delta+file:./there"), file_there("there"), 4, id="delta-file"),
        pytest.param(
            PUBLISH.format(to="delta+file:./there"), folder_there("there", "images"), 4, id="delta-a-table"
        ),
        pytest.param(ICEBERG.format(to="here.db"), nothing, 0, id="iceberg"),
        pytest.param(ICEBERG.format(to="not/there.db"), nothing, 4, id="iceberg-no-folder"),
        pytest.param(ICEBERG.format(to="here.db"), file_there("here.db"), 4, id="iceberg-no-catalog"),
        pytest.param(ICEBERG.format(to="here.db"), file_there("lake"), 4, id="iceberg-file"),
        pytest.param("landing: mine\n", folder_there("mine", "a"), 2, id="landing-foreign"),
        pytest.param("landing: mine\n", file_there("mine"), 2, id="landing-file"),
        pytest.param("landing: mine\n", open_folder("mine"), 2, id="landing-open"),
        pytest.param("landing: not/there\n", nothing, 2, id="landing-no-folder"),
        pytest.param("warehouse: mine\n", file_there("mine"), 2, id="warehouse-file"),
        pytest.param("warehouse: mine\n", folder_there("mine"), 2, id="warehouse-folder"),
        pytest.param("warehouse: not/there\n", nothing, 2, id="warehouse-no-folder"),
        pytest.param("accounts: [{regions: [us-east-1, nowhere]}]\n", nothing, 2, id="region"),
        pytest.param("accounts: [{profile: nobody, regions: [us-east-1]}]\n", nothing, 2, id="profile"),
        pytest.param("queries: mine\n", file_there("mine"), 0, id="queries-file"),
        pytest.param("pages: 1\n", nothing, 2, id="setting"),
    ],
)
def test_check_and_sync_agree(
    bench: MakeBench, config: str, broken: Callable[[Bench], None], code: int
) -> None:
    """`check` exits with the same code as the sync after it, before the first sync and after it."""
    desk = bench(generate(23, images=1, versions_per_image=2), config=config)
    broken(desk)
    for time in ("first", "second"):
        said = desk("check")
        done = desk("sync", "--quiet")
        assert (time, said.code, done.code) == (time, code, code), said.out + said.err + done.out + done.err
    warned = "warning" in desk("check", "--json").out
    assert desk("check", "--strict").code == (4 if warned and not code else code)
