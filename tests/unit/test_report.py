"""The report's page: its content, its limits, and its protection from hostile texts (`make report-check` too)."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from datetime import timedelta
from html.parser import HTMLParser

import pytest

from image_history.model import Evidence
from image_history.report import page
from image_history.report.lanes import shortened
from image_history.report.svg import COLOURS
from image_history.report.timeline import LEFT, Axis
from image_history.report.weeks import cap, weeks_picture
from image_history.report.words import length, proof, span
from tests.browser.facts import HOSTILE, NOW, facts


class Outline(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def hostile() -> str:
    """A page with markup in every text that AWS or a user may have written."""
    return page(facts(30, texts=HOSTILE))


def test_texts_of_aws_are_text(hostile: str) -> None:
    """A hostile text creates no element, event handler or link, and appears in the page's text as it was written."""
    outline = Outline(hostile)
    assert {tag for tag, _ in outline.elements} == {tag for tag, _ in Outline(page(facts(30))).elements}
    names = {name for _, attributes in outline.elements for name in attributes}
    assert not {name for name in names if name.startswith("on") or name in {"style", "srcdoc"}}
    for text in HOSTILE:
        assert text.replace("\x00", "\ufffd") in outline.text or text in outline.text
    assert all(not (link["href"] or "").startswith("javascript") for link in outline.all("a"))


def test_policy_allows_our_own_style_and_script_and_nothing_else(hostile: str) -> None:
    """The policy allows only the page's own style and script, by hashes that no data changes; nothing is loaded."""
    outline = Outline(hostile)
    (policy,) = [meta["content"] for meta in outline.all("meta") if meta.get("http-equiv")]
    assert policy is not None
    assert policy in page(facts(0)).replace("&#39;", "'")
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    for tag in ("style", "script"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", hostile, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert not [tag for tag, attributes in outline.elements if "src" in attributes or tag == "link"]
    assert re.findall(r"https?://[^\"' <]+", page(facts(3))) == ["http://www.w3.org/2000/svg"] * 2


def test_colours_do_not_need_a_style_sheet() -> None:
    """Every shape and text of a picture has its colour as an attribute, because some hosts forbid CSS."""
    shapes = [attributes for tag in ("rect", "text") for attributes in Outline(page(facts(3))).all(tag)]
    assert len(shapes) > 50
    assert {shape["fill"] for shape in shapes} <= set(COLOURS.values())


def test_what_was_not_read_comes_before_every_figure() -> None:
    """The time of the state comes first, then what was not read, then the tiles; each link stays in the page."""
    html = page(facts(3))
    places = [
        html.index(text) for text in ("State of <b>2026-07-01 12:00 UTC", 'role="alert"', 'class="tiles"')
    ]
    assert places == sorted(places)
    outline = Outline(html)
    targets = {attributes["id"] for _, attributes in outline.elements if "id" in attributes}
    assert {(link["href"] or "").removeprefix("#") for link in outline.all("a")} <= targets
    assert 'role="alert"' not in page(facts(0))


def test_what_is_left_out_is_said_with_how_to_ask_for_it() -> None:
    """A table with the first thousand of 45,000 rows says so, with the command for all rows."""
    text = Outline(page(facts(2_000, total=45_000))).text
    assert text.count("The first 1,000 of 45,000 rows are here. All of them: image-history ") >= 5
    assert "44,700 images" in text


def test_largest_report_is_below_two_megabytes() -> None:
    """However many rows there are, the page is smaller than two megabytes."""
    assert len(page(facts(2_000, total=1_000_000)).encode()) < 2_000_000


@pytest.mark.parametrize(
    ("totals", "shown"),
    [
        ([], 0),
        ([0, 0], 0),
        ([7], 7),
        ([5, 6, 7, 9], 9),
        ([5, 6, 7, 4_000], 18),
        ([1, 2, 9], 9),
        ([40, 50, 90], 90),
    ],
    ids=["none", "zeros", "one", "even", "giant", "few", "double"],
)
def test_week_that_towers_over_the_others_is_capped(totals: list[int], shown: int) -> None:
    """A week far above the others is capped, so that the others stay visible; other weeks are not."""
    assert cap(totals) == shown


def test_names_keep_their_beginning_and_their_end() -> None:
    """A long name keeps its beginning and its end, because names often differ only at the end."""
    assert shortened("short", 30) == "short"
    assert shortened("a" * 40 + "-training", 30) == "a" * 19 + "…" + "a-training"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (-5, "0 s"), (61, "1 min 1 s"), (7_260, "2 h 1 min"), (90_000, "1 d 1 h")],
)
def test_span_has_its_two_largest_units(seconds: int, text: str) -> None:
    """A span of time has its two largest units."""
    assert span(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("hours", "text"),
    [(24, "1 day"), (720, "30 days"), (26, "26 hours"), (1, "1 hour"), (0.5, "30 min 0 s")],
)
def test_length_is_in_words(hours: float, text: str) -> None:
    """A length of whole days or hours is in words; another length has its two largest units."""
    assert length(timedelta(hours=hours)) == text


@pytest.mark.parametrize("deleted", [1, 10])
def test_figures_beside_the_weeks_do_not_overlap(deleted: int) -> None:
    """The figures beside the weeks are at least one line apart, also with few deletions under many creations."""
    week = {"week": NOW.date(), "created": 190, "changed": 0, "failed": 0, "deleted": deleted}
    axis = Axis(NOW - timedelta(weeks=4), NOW, NOW - timedelta(weeks=3))
    drawn = weeks_picture([week], axis)
    at = sorted(float(y) for y in re.findall(rf' x="{LEFT - 8:g}" y="([0-9.]+)"', drawn))
    assert len(at) >= 2
    assert all(below - above >= 12 for above, below in itertools.pairwise(at))


@pytest.mark.parametrize("evidence", Evidence)
def test_every_proof_of_a_deletion_is_a_sentence(evidence: Evidence) -> None:
    """A reader of the report sees why a deletion is certain, not the stored word."""
    assert " " in proof(evidence)
    assert evidence not in proof(evidence)
