"""The report of a real warehouse: it shows what the warehouse has, is private and complete, and can be published."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from image_history.cli import run
from image_history.durable.effects import Effect, File
from image_history.report import page
from tests.behaviour.asking import Desk, ask, built, rows_of
from tests.behaviour.commanding import Commanded, commanded, commanding
from tests.behaviour.hinting import installed
from tests.behaviour.test_publish_s3 import Bucket, bucket, stores
from tests.browser.facts import facts
from tests.browser.releases import released
from tests.cookbook import synced

__all__ = ["ask", "bucket", "built", "commanded", "commanding", "stores"]

pytestmark = pytest.mark.duckdb

DELETED = "SELECT image_name, version FROM image_versions WHERE etl_deleted_at IS NOT NULL"

NEWEST = """
SELECT etl_run_id, strftime(finished_at AT TIME ZONE 'UTC', '%Y-%m-%d %H:%M') FROM runs ORDER BY 1 DESC LIMIT 1
"""


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A warehouse with two regions, failures, deletions with their proof, and aliases of archived versions."""
    with synced(tmp_path_factory.mktemp("reported")) as path:
        yield path


def written(warehouse: Path, folder: Path, *options: str) -> str:
    """The page that the verb `report` writes."""
    output = folder / "page.html"
    assert run(["--warehouse", str(warehouse), "report", "--output", str(output), *options]) == 0
    return output.read_text(encoding="utf-8")


def section(html: str, name: str) -> list[list[str]]:
    """The cells of a section's table, row by row."""
    body = re.search(rf'<section id="{name}">.*?</section>', html, re.DOTALL)
    assert body is not None
    rows = body[0].split("<tbody>")[1].split("</tbody>")[0].split("<tr>")[1:] if "<tbody>" in body[0] else []
    return [re.findall(r"<td[^>]*>([^<\n]*)", row) for row in rows]


def test_report_tells_what_vanished_and_how_sure_that_is(warehouse: Path, tmp_path: Path) -> None:
    """Each deletion has the interval in which it happened, and its proof in words."""
    html = written(warehouse, tmp_path, "--since", "3650d")
    rows = section(html, "deleted")
    assert {(row[1], int(row[2])) for row in rows} == set(rows_of(warehouse, DELETED))
    assert {row[7] for row in rows} == {
        "confirmed: AWS was asked for this version, and does not find it",
        "confirmed: AWS does not find the whole image any more",
    }
    assert all(row[4] < row[5] and row[6] == "1 h 0 min" for row in rows), rows


def test_report_tells_which_image_has_no_good_version(ask: Desk, tmp_path: Path) -> None:
    """The one image of which every version failed is listed, with its newest reason."""
    html = written(ask.warehouse, tmp_path)
    (row,) = section(html, "no-good")
    assert "<b>1</b> <span>image without a good version</span>" in html
    (known,) = rows_of(ask.warehouse, "SELECT image_name FROM image_versions GROUP BY 1 HAVING NOT bool_or("
                       "image_version_status = 'CREATED' AND etl_deleted_at IS NULL)")  # fmt: skip
    assert (row[1], row[4], row[5]) == (known[0], "CREATE_FAILED", "no base image")


def test_report_of_a_real_release_history(tmp_path: Path) -> None:
    """Each major version of SageMaker Distribution is a row, the newest first, with the alias that moves."""
    html = released(tmp_path)
    assert [(row[1], row[2], row[7]) for row in section(html, "images")] == [
        ("sagemaker-distribution-4", "33", "latest 33"),
        ("sagemaker-distribution-3", "77", ""),
        ("sagemaker-distribution-2", "98", ""),
        ("sagemaker-distribution-1", "35", ""),
        ("sagemaker-distribution-0", "30", ""),
    ]
    assert "version 33: CREATED, created 2026-08-19 18:51" in html


def at_the_top(html: str) -> list[tuple[str, str]]:
    """The entries above all tables: each subject and its text."""
    (top,) = re.findall(r'<section class="brief".*?</section>', html, re.DOTALL)
    assert html.index(top) < html.index("<main>")
    return re.findall(r"<li><b>([^<]*)</b>: ([^<]*)</li>", top)


def test_report_names_at_its_top_what_vanished_and_how_sure_that_is(
    warehouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The latest deletions are named at the top with interval and proof; the others are counted and linked."""
    monkeypatch.setattr("image_history.report.brief.MOST_LINES", 1)
    html = written(warehouse, tmp_path, "--since", "3650d")
    told = [(subject, text) for subject, text in at_the_top(html) if ", version" in subject]
    rows = section(html, "deleted")
    latest = rows[0]
    assert told[0][0].startswith(f"{latest[0]}/{latest[1]}, version")
    assert told[0][1] == f"gone between {latest[4]} and {latest[5]} UTC; {latest[7]}"
    named = sum(len(subject.rpartition("version")[2].split(",")) for subject, _ in told)
    assert f'<a href="#deleted">And {len(rows) - named} more, in the table</a>' in html


def test_report_names_at_its_top_an_image_without_a_good_version(ask: Desk, tmp_path: Path) -> None:
    """The image is named with its newest version's status and reason; without deletions there is no such entry."""
    html = written(ask.warehouse, tmp_path)
    (row,) = section(html, "no-good")
    why = f"the newest, version {row[3]}, is CREATE_FAILED: no base image"
    assert at_the_top(html) == [(f"{row[0]}/{row[1]}", why)]
    assert '<a href="#no-good">In the table</a>' in html


def test_report_names_at_its_top_what_was_not_read() -> None:
    """The top counts the scopes that were not read whole, and names their lists of images and some images."""
    told = facts(7)
    nameless = [{**row, "image_name": None} for row in told.unread.rows[:2]]
    unread = replace(told.unread, rows=[*nameless, *told.unread.rows[2:]])
    html = page(replace(told, unread=unread))
    assert "⚠ 1 of 1 scope not read whole" in html
    assert "<b>111122223333/us-east-1</b>: 7 unread (its list of images; images " in html
    assert "image-0002, image-0004, image-0006 and 3 more)" in html
    assert "⚠" not in page(facts(0))


def test_report_counts_images_without_good_version_beyond_those_it_shows(
    ask: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The figure counts all images, even if the page lists only the latest ones."""
    monkeypatch.setattr("image_history.report.content.MOST_ROWS", 1)
    html = written(ask.warehouse, tmp_path)
    (first,) = section(html, "images")
    ((bad,),) = rows_of(
        ask.warehouse,
        "SELECT DISTINCT image_name FROM image_versions GROUP BY 1 HAVING NOT bool_or("
        "image_version_status = 'CREATED' AND etl_deleted_at IS NULL) ORDER BY 1",
    )
    assert first[1] != bad
    assert re.search(r"<b>1</b> <span>image without a good version", html)


def test_report_has_the_figures_of_the_warehouse(warehouse: Path, tmp_path: Path) -> None:
    """The figures are those of the warehouse; the page has the newest run and its time, and ignores the clock."""
    html = written(warehouse, tmp_path)
    (live, failed), *_ = rows_of(
        warehouse,
        "SELECT count(*), count(*) FILTER (image_version_status LIKE '%FAILED') FROM current_image_versions",
    )
    assert f"<b>{live}</b> <span>live versions" in html
    assert f"<b>{failed}</b> <span>failed or stuck" in html
    ((newest, at),) = rows_of(warehouse, NEWEST)
    assert f"State of <b>{at} UTC</b>, run {newest} (complete)" in html
    assert html == written(warehouse, tmp_path)


def test_report_of_a_part_holds_that_part(warehouse: Path, tmp_path: Path) -> None:
    """--scope and --image limit tables and figures alike, and the page names the limits."""
    html = written(warehouse, tmp_path, "--scope", "*/eu-west-1", "--image", "geo-*")
    assert "us-east-1" not in html
    assert [row[1] for row in section(html, "images")] == ["geo-training"]
    assert "Only scopes */eu-west-1, images geo-*." in html


def test_report_is_private(warehouse: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The file has mode 0600 whatever the umask; if the folder is missing, the verb exits with 2 and says so."""
    before = os.umask(0)
    try:
        written(warehouse, tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "page.html").stat().st_mode) == 0o600
    assert run(["--warehouse", str(warehouse), "report", "--output", str(tmp_path / "no" / "page.html")]) == 2
    assert "there is no folder" in capfd.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_report_replaces_an_older_one_whole_or_not_at_all(
    warehouse: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """If the disk is full, the older page stays as it is; else it is replaced, also for readers that have it open."""
    page_there, opened = tmp_path / "page.html", tmp_path / "opened.html"
    page_there.write_text("an older page", encoding="utf-8")
    page_there.chmod(0o644)
    # A second name stands for a browser that has the file open.
    opened.hardlink_to(page_there)

    def full(effect: Effect, subject: str) -> None:
        if (effect, subject) == (Effect.FSYNC, File.OUTPUT):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with installed(full):
        assert run(["--warehouse", str(warehouse), "report", "--output", str(page_there)]) == 2
    assert "No space left on device" in capfd.readouterr().err
    assert page_there.read_text(encoding="utf-8") == "an older page"
    assert written(warehouse, tmp_path).startswith("<!")
    assert stat.S_IMODE(page_there.stat().st_mode) == 0o600
    assert opened.read_text(encoding="utf-8") == "an older page"
    assert {path.name for path in tmp_path.iterdir()} == {"page.html", "opened.html"}


def test_report_on_stdout_is_the_page_alone(
    warehouse: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """With `--output -` stdout has the page and nothing else."""
    html = written(warehouse, tmp_path)
    capfd.readouterr()
    assert run(["--warehouse", str(warehouse), "report", "--output", "-"]) == 0
    assert capfd.readouterr().out == html


def test_publish_writes_a_report(warehouse: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """An entry of `publish` that ends in .html gets the page that the verb `report` writes."""
    config = tmp_path / "config.yaml"
    config.write_text(
        f"warehouse: {warehouse}\npublish: [{{to: wall.html}}, {{to: copy.duckdb}}]\n", encoding="utf-8"
    )
    assert run(["--config", str(config), "publish"]) == 0
    assert (tmp_path / "copy.duckdb").read_bytes() == warehouse.read_bytes()
    assert (tmp_path / "wall.html").read_text(encoding="utf-8") == written(warehouse, tmp_path)
    assert re.search(r"Published the report \S*wall.html: [\d,]+ bytes", capfd.readouterr().out)


def test_each_sync_keeps_a_published_report_in_step(commanded: Commanded) -> None:
    """After each sync, a published page is the one that the verb `report` writes then."""
    (commanded.folder / "config.yaml").write_text("publish: [{to: wall.html}]\n", encoding="utf-8")
    pages: list[str] = []
    for failed in (0, 1):
        for row in list(commanded.site.world.truth())[:failed]:
            commanded.site.world.set_status(
                row.image_name, row.version, "CREATE_FAILED", failure_reason="broken"
            )
        assert commanded("sync").code == 0
        pages.append((commanded.folder / "wall.html").read_text(encoding="utf-8"))
        assert pages[-1] == commanded("report", "--output", "-").out
    before, after = (re.findall(r"<b>(\d+)</b> <span>failed or stuck", html) for html in pages)
    assert (before, after) == (["1"], ["2"])


def test_report_in_s3_is_shown_by_a_browser(warehouse: Path, tmp_path: Path, bucket: Bucket) -> None:
    """The report in S3 is one object with the content type of an HTML page."""
    address = "s3://history/wall/report.html"
    assert run(["--warehouse", str(warehouse), "report", "--output", address]) == 0
    there = bucket.client.get_object(Bucket="history", Key="wall/report.html")
    assert there["ContentType"] == "text/html; charset=utf-8"
    assert there["Body"].read().decode() == written(warehouse, tmp_path)


def test_report_needs_a_sync(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Without a warehouse the verb exits with 2 and says to run sync first."""
    assert run(["--warehouse", str(tmp_path / "none.duckdb"), "report"]) == 2
    assert "run image-history sync first" in capfd.readouterr().err
