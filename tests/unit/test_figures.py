"""Every figure in the prose of the documents is backed by the code, a test, an example or a named measurement."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from image_history.aws import queue
from image_history.checking import policy, remote
from image_history.cli import delivery, metrics, report
from image_history.config import Config, Hints, Notify, Publish, Rate
from image_history.durable import disk
from image_history.formats.parquet import ROW_GROUP_ROWS
from image_history.hints.resting import LAG_MS
from image_history.listing.breaker import LIMIT
from image_history.notify import message
from image_history.publish import manifest, s3, tables
from image_history.report.content import MOST_ROWS
from image_history.run.visible import Rhythm
from image_history.spark.options import DEFAULT_PARTITIONS
from image_history.warehouse import answering, spool
from image_history.warehouse.limits import Limits
from image_history.warehouse.messages import GRACE_SECONDS
from image_history.warehouse.statements import statement
from tests.documents import error_tree
from tests.unit.test_claims import TESTS

ROOT = Path(__file__).parents[2]
DOCUMENTS = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}

RELEASES = (ROOT / "tests" / "browser" / "releases.csv").read_text(encoding="utf-8").splitlines()[1:]
MAIL = (ROOT / "deploy" / "notify" / "mail_news.py").read_text(encoding="utf-8")
PACKAGES = (ROOT / "pyproject.toml").read_text(encoding="utf-8")

SPELLED = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
FIGURE = re.compile(
    r"(?<!\w)\d[\d.,]*|\b(?:two|three|four|five|six|seven|eight|nine|ten|twelve|twenty|half an?) "
    r"(?:[km]?s|milliseconds?|seconds?|minutes?|hours?|days?|weeks?|months?|(?:list |describe )?calls|times|MB)\b",
    re.IGNORECASE,
)
# These have a digit and are no figure: names, versions that pyproject.toml or a lock sets, dates, item numbers.
NAME = re.compile(
    r"\bS3\b|UTF-8|ISO 8601|SHA-256|Apache-2\.0|`[^`]*`|\]\([^)]*\)|https?://\S+|\b\d{4}-\d\d-\d\d\b|^\s*\d+\. |"
    r"\b(?:DuckDB|Python|Spark|PySpark|Java) v?[\d.]*\d|\blocal\[[\d,]+\]|\b[vV]ersion 1\b"
)
CODES = {"0", "1", "8", "130", "141", "143", *(str(error.exit_code) for _, error in error_tree())}
EXIT = re.compile(
    r"(?:exit code|exits? (?:at once )?with(?: exit code)?|counts as) (\d+)\b|\| (\d+(?:, \d+)*) (?=\|)"
)

config = Config()
rate = Rate()
limits = Limits()


def hours(span: timedelta | None) -> str:
    """A duration in hours, such as 24, as the documents print it."""
    assert span is not None
    return f"{span / timedelta(hours=1):.0f}"


def days(span: timedelta | None) -> str:
    """A duration in days."""
    assert span is not None
    return f"{span / timedelta(days=1):.0f}"


def at_pace(calls: float) -> float:
    """The seconds that this many list calls of one scope take."""
    return calls / rate.list_per_second


def found(pattern: str, text: str) -> str:
    """The text that the pattern's group matches."""
    match = re.search(pattern, text)
    assert match is not None, pattern
    return match[1]


PART, SLICES = round(Rhythm().part), f"{SPELLED[round(Rhythm().slices / 60)]} minutes"
SINCE = str(next(each.default for each in report.command.params if each.name == "since"))
LISTED, DESCRIBES = int(rate.list_per_second), int(rate.describe_per_second)
LISTS = SPELLED[LISTED]
MIB, GIB = 1 << 20, 1 << 30
MINUTES = f"{limits.timeout / timedelta(minutes=1):.0f}"
MEMORY, SPILL = f"{limits.memory_bytes // GIB} GiB", f"{limits.spill_bytes // GIB} GiB"
OLDEST, BROKEN = found("duckdb>=([0-9.]+),", PACKAGES), found("duckdb>=.*!=([0-9.]+)", PACKAGES)
RELEASED = sorted(datetime.fromisoformat(line.split(",")[2]) for line in RELEASES)
EIGHT_MINUTES = f"{SPELLED[round(at_pace(100_000 / config.page_size) / 60)]} minutes"
MODES = {
    name: f"{getattr(disk, name):04o}" for name in vars(disk) if re.match(r"_(PRIVATE|GROUPS|SHARED)_", name)
}
# These texts are computed from the code: if a default changes, the document no longer contains the text.
COMPUTED: Mapping[str, Sequence[str]] = {
    "README.md": (
        f"AWS accepts about {LISTS} list calls a second",
        f"40 such images take {math.ceil(at_pace(41))} s, 1,000 about {at_pace(1_010) / 60:.0f} minutes",
        f"`page_size` ({config.page_size})",
        f"`reconcile_every` ({hours(config.reconcile_every)} h)",
    ),
    "docs/asking.md": (
        f"has {MINUTES} minutes (`--timeout`), {MEMORY} of memory, {SPILL} for DuckDB's",
        f"shows {delivery._MOST_SHOWN:,} rows",
        f"has {2 * limits.memory_bytes // GIB} GiB more",
        f"vanished in the last {SINCE.removesuffix('d')} days",
        f"the first {MOST_ROWS:,} rows",
        f"all {len(RELEASES)} releases",
        f"from {RELEASED[0]:%B %Y} to {RELEASED[-1]:%B %Y}",
        "half a second to end"
        if limits.courtesy_seconds == 0.5
        else f"{limits.courtesy_seconds} seconds to end",
        f"{SPELLED[limits.attempts]} times",
        f"is ended {GRACE_SECONDS:.0f} seconds after",
        f"{SPELLED[round(answering._IDLE_SECONDS / 60)]} minutes without a query",
        f"larger by {answering._MOST_GROWN_BYTES // MIB} MiB",
    ),
    "docs/checking.md": (
        f"more than {remote._FAIL_SECONDS // 60} minutes off",
        f"longer than IAM accepts ({policy._MOST_CHARACTERS:,} characters)",
    ),
    "docs/command-line.md": (f"beyond {spool._MEMORY_BYTES // MIB} MiB",),
    "docs/datasets.md": (
        f"({MODES['_PRIVATE_FOLDER']}, files {MODES['_PRIVATE_FILE']})",
        f"({MODES['_SHARED_FOLDER']}, files {MODES['_SHARED_FILE']})",
        f"at most {s3._LARGEST_BYTES // GIB} GiB",
        f"row groups of {ROW_GROUP_ROWS:,} rows",
        f"`grace` ({hours(Publish().grace)}h)",
        f"`image-history-dataset`, {manifest.VERSION};",
    ),
    "docs/details.md": (
        f"`details_every` ({days(config.details_every)} days)",
        f"with 10,000 versions in a region, at {DESCRIBES} describes and {LISTED} lists a second",
        f"`details_budget` of them ({config.details_budget:,})",
        f"longer than {SPELLED[PART]} seconds, the versions",
        f"the details follow every {SLICES}",
    ),
    "docs/hints.md": (
        f"about {LISTS} list calls a second",
        f"5,000 quiet images take {at_pace(5_050) / 60:.0f} minutes",
        f"{5_000 // config.page_size} calls (the list of images)",
        f"({days(Hints().trust)} day by default)",
        f"at least {LAG_MS // 1000} s after",
        f"after {SPELLED[queue._LENT_SECONDS // 60]} minutes",
        f"must lie {LAG_MS // 1000} s or more",
    ),
    "docs/guarantees.md": (
        f"and {OLDEST.rpartition('.')[0]} (from {OLDEST}), without {BROKEN},",
        f"run in progress are {PART} seconds apart",
    ),
    "docs/how-it-works.md": (
        f"every {config.checkpoint_rows:,} rows or {config.checkpoint_seconds:.0f} seconds",
        LIMIT,
        f"longer than {PART} seconds is loaded",
        f"follow every {SLICES}",
        f"Loads are {PART} seconds apart",
    ),
    "docs/machines.md": (
        f"{LISTS} list calls a second",
        f"100,000 versions takes {EIGHT_MINUTES}",
    ),
    "docs/notifications.md": (
        f"up to {message._MOST_LINES} lines",
        f"up to {message._MOST_ITEMS}, each",
        f"`stuck_after` ({hours(Notify().stuck_after)}h)",
        f"`stale_after` ({hours(Notify().stale_after)}h)",
        f"| `version` | {message.VERSION} |",
        f"(localhost, {found('SMTP_PORT., .([0-9]+)', MAIL)})",
    ),
    "docs/operations.md": (
        f"100,000 versions of one scope take {EIGHT_MINUTES}",
        f"{config.concurrency} is enough",
        f"every {PART} seconds at most",
        f"hundred scopes at {LISTS} calls a second with answers of 0.2 seconds have {40 * LISTED}",
        f"(from {OLDEST}) works as well; {BROKEN} is excluded",
        f"works in {found('([0-9]+)MiB', statement('session/small_memory'))} MiB",
        f"({MODES['_GROUPS_FILE']}, folders {MODES['_GROUPS_FOLDER']})",
    ),
    "docs/security.md": (
        f"({MINUTES} minutes by default)",
        f"memory ({MEMORY})",
        f"files ({SPILL})",
        f"(files {MODES['_PRIVATE_FILE']}, folders {MODES['_PRIVATE_FOLDER']})",
        f"(files {MODES['_SHARED_FILE']}, folders {MODES['_SHARED_FOLDER']})",
        f"({metrics._READABLE_BY_ALL:04o})",
    ),
    "docs/spark.md": (
        f"region, {LISTED} by default",
        f"region, {DESCRIBES} by default",
        f"asks for, {config.page_size} by default",
        f"same time, {config.concurrency} by default",
        f"at most, {DEFAULT_PARTITIONS} by default",
    ),
    "docs/tables.md": (
        f"more than {tables._MOST_FILES} files",
        f"at most {SPELLED[tables._ATTEMPTS]} times",
        f"`keep` ({days(Publish().keep)}d)",
    ),
}
# A test fails if one of these figures is wrong.
TESTED: Mapping[str, Mapping[str, str]] = {
    "README.md": {"Python 3.11 to 3.13": "test_readme_names_the_systems_that_the_project_is_for"},
    "docs/asking.md": {
        "`json_structure` of 100,000 brackets": "test_program_survives_what_duckdb_does_not",
        "(draft 2020-12)": "test_every_verb_that_reports_has_a_schema",
    },
    "docs/checking.md": {
        "3 where nothing can be listed, else 4": "test_region_where_images_may_not_be_listed_is_named",
        "the address of a queue is wrong (2)": "test_check_tells_what_the_verb_tells",
        "newer (2), or another process holds it (5)": "test_warehouse_that_another_process_holds_names_it",
        "some 40 calls": "test_probe_takes_some_40_calls_at_most",
        "| 1 |": "test_stream_takes_the_calls_that_its_facts_allow",
        "| 1;": "test_stream_takes_the_calls_that_its_facts_allow",
        "| 1, and a DescribeImage": "test_stream_that_vanished_takes_a_list_and_a_confirmation",
    },
    "docs/comparison.md": {
        "533 resource types": "test_comparison_says_of_aws_config_what_botocore_names",
        "botocore 1.44.8": "test_comparison_says_of_aws_config_what_botocore_names",
        "16 are SageMaker's": "test_comparison_says_of_aws_config_what_botocore_names",
    },
    "docs/cookbook.md": {"synced three times": "test_cookbook_shows_what_is_answered"},
    "docs/datasets.md": {"copy each file three times": "test_copy_of_what_current_leads_to_is_the_dataset"},
    "docs/operations.md": {
        "Alert for 8, and for 1, 2, 3 and 9": "test_every_exit_code_is_documented_and_no_other",
        "0 and 7 need no action. After 4, 5, 6, 130 and 143": "test_every_exit_code_is_documented_and_no_other",
        "at most, then they exit with 5": "test_every_exit_code_is_documented_and_no_other",
    },
    "docs/security.md": {"under 1 MB": "test_wheel_is_small_and_pure"},
}
# These figures stand for any number, or are names that others chose.
EXAMPLES: Mapping[str, Sequence[str]] = {
    "README.md": ("on 3 March", "version 16 vanish"),
    "docs/comparison.md": ("pull request 1818",),
    "docs/machines.md": ("24 for three", "counts from 0"),
    "docs/operations.md": ("changing users with group 0",),
    "docs/tables.md": ("Iceberg's format 3",),
}
# Sections and paragraphs with measurements: each names the command that repeats it or its page, and has a date.
MEASURED: Mapping[str, Sequence[str]] = {
    "docs/asking.md": ("A history of a million versions",),
    "docs/datasets.md": ("## Figures",),
    "docs/guarantees.md": ("## What was tried",),
    "docs/machines.md": ("## Where one machine ends",),
    "docs/operations.md": (
        "`python -m tests.soak.scopes` measures it",
        "| dataset |",
        "| memory of a sync |",
    ),
    "docs/spark.md": ("## How it was tried",),
    "docs/tables.md": ("## What it costs",),
}


def paragraphs(text: str) -> Iterator[tuple[str, str]]:
    """Each paragraph, list item and table row with its heading, without code and generated parts."""
    heading, gathered, fenced, made = "", list[str](), False, False
    for line in [*text.splitlines(), ""]:
        if line.lstrip().startswith("```"):
            fenced = not fenced
        made = (made or "[[[cog" in line) and "[[[end]]]" not in line
        if fenced or made or line.lstrip().startswith("```") or (line.startswith("    ") and not gathered):
            continue
        if gathered and (not line.strip() or re.match(r"\s*(?:[-*] |\d+\. |\||#)", line)):
            yield heading, " ".join(gathered)
            gathered = []
        if line.startswith("#"):
            heading = line.strip()
        elif line.startswith("|"):
            yield heading, line
        elif line.strip():
            gathered.append(line.strip())


def held(document: str) -> list[str]:
    """The fragments of a document that are backed, the longest first."""
    fragments = (*COMPUTED.get(document, ()), *TESTED.get(document, {}), *EXAMPLES.get(document, ()))
    return sorted(fragments, key=len, reverse=True)


def is_measured(document: str, heading: str, paragraph: str) -> bool:
    """Whether a paragraph describes a named measurement."""
    return any(heading == each or paragraph.startswith(each) for each in MEASURED.get(document, ()))


def is_code(match: re.Match[str]) -> str:
    """A space if all numbers of the match are exit codes; otherwise the match."""
    codes = (match[1] or match[2]).split(", ")
    return " " if set(codes) <= CODES else match[0]


def untied(document: str, heading: str, paragraph: str) -> list[str]:
    """The figures of a paragraph that nothing backs."""
    left = " ".join(paragraph.split())
    if is_measured(document, heading, left):
        return []
    for fragment in held(document):
        left = left.replace(fragment, "~")
    return FIGURE.findall(NAME.sub("~", EXIT.sub(is_code, left)))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_figures_of_a_document_are_held(document: str) -> None:
    """A figure that no code, test, example or measurement backs fails, with its paragraph."""
    loose = {
        paragraph: figures
        for heading, paragraph in paragraphs(DOCUMENTS[document])
        if (figures := untied(document, heading, paragraph))
    }
    assert loose == {}


@pytest.mark.parametrize("document", sorted({*COMPUTED, *TESTED, *EXAMPLES}))
def test_held_figures_are_written(document: str) -> None:
    """The document has every text that the code or a test sets, and every test that is named exists."""
    text = " ".join(DOCUMENTS[document].split())
    assert [fragment for fragment in held(document) if fragment not in text] == []
    assert [name for name in TESTED.get(document, {}).values() if name not in TESTS] == []


@pytest.mark.parametrize("document", MEASURED)
def test_measured_figures_say_how_and_when(document: str) -> None:
    """Each measured section names a command that repeats it or links to a page, and its document has a date."""
    text = DOCUMENTS[document]
    parts = [*paragraphs(text)]
    for each in MEASURED[document]:
        told = [line for heading, line in parts if heading == each or " ".join(line.split()).startswith(each)]
        said = "\n".join(told)
        assert told, each
        assert re.search(r"`make \w|`python -m tests\.|\]\(", said), each
        assert re.search(r"\b20\d\d-\d\d-\d\d\b", text), document


def test_figure_that_is_held_by_nothing_is_found() -> None:
    """A new figure is found, also a figure in words and an exit code that does not exist."""
    assert untied("README.md", "", "It takes 7 seconds and three minutes, and exits with 77.") == [
        "7",
        "three minutes",
        "77.",
    ]
    assert untied("README.md", "", "DuckDB 1.5 on S3 exits with 4.") == []
