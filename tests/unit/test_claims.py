"""Each promise of the documents with "never" or "always" has a test, which is named here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = (ROOT / "README.md", ROOT / "deploy" / "README.md", *sorted((ROOT / "docs").glob("*.md")))
TESTS = {
    name
    for path in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
}
# The text of a promise, and the tests that fail if the promise is broken.
CLAIMS = {
    "0s: never continue": ("test_stale_run_keeps_its_rows_and_reads_unfinished_streams_from_their_start",),
    "Always required": ("test_every_setting_is_documented",),
    "debug log is never": ("test_no_secret_is_told_under_any_fault",),
    "never spliced": ("test_query_binds_parameters_and_splices_none",),
    "not ours is never touched": (
        "test_command_that_is_given_what_is_yours",
        "test_setting_that_names_what_is_yours",
    ),
    "never reach a": ("test_text_for_people_holds_no_control_character",),
    "regions and images, never bodies": ("test_no_secret_is_told_under_any_fault",),
    "rows never are": ("test_killed_syncs_in_a_row_end_with_the_undisturbed_table",),
    "did not name are never touched": ("test_upkeep_forgets_old_versions_and_sweeps_what_nobody_names",),
    "has passed never changes": ("test_diff_of_a_time_that_has_passed_never_changes",),
    "already there is never touched": ("test_init_never_overwrites",),
    "Never page a long table": ("test_table_is_printed_where_no_pager_is_wanted",),
    "without null always has a value": ("test_schema_as_json_says_type_null_and_key",),
    "always have a value": ("test_schema_as_json_says_type_null_and_key",),
    "never makes the exit code 8": ("test_scope_that_is_not_configured_is_never_stale",),
    "that never was synced does": ("test_configured_scope_that_never_was_synced_is_stale",),
    "| queries, telemetry | never": ("test_check_tells_what_the_verb_tells",),
    "| file mode | never": ("test_files_are_private_to_their_owner",),
    "was never read": ("test_image_that_never_was_read_makes_its_scope_stale",),
    "readers never knew of it": ("test_publication_with_a_fault_leaves_a_whole_dataset",),
    "never gets rows of two publications": ("test_reader_of_s3_never_sees_a_mixture",),
    "never the end of a list": ("test_malformed_success_is_never_an_end",),
    "The answer never changes": ("test_known_at_never_changes_its_answer",),
    "never changes its answer": ("test_known_at_never_changes_its_answer",),
    "a job that never starts": ("test_status_exits_with_8_when_a_scope_is_staler",),
    "The warehouse never forgets": ("test_events_are_only_ever_added",),
    "links are never followed": ("test_links_in_place_of_our_files_are_refused",),
    "that never were seen": ("test_numbers_that_were_gone_before_our_time_are_asked_for_once",),
    "A hint is never data": ("test_forged_hints_of_other_accounts_are_put_away",),
    "list of images is always": ("test_lost_hint_is_made_up_for_after_trust",),
}
WORD = re.compile(r"\b(?:never|always)\b", re.IGNORECASE)


def lines() -> Iterator[tuple[str, str]]:
    """Each line of the documents with such a word, and its place."""
    for path in DOCUMENTS:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if WORD.search(line):
                yield f"{path.relative_to(ROOT)}:{number}", line


def unheld(line: str) -> str:
    """The line if it has such a word outside the listed promises; otherwise an empty string."""
    left = line
    for claim in CLAIMS:
        left = left.replace(claim, "")
    return line if WORD.search(left) else ""


@pytest.mark.parametrize(("place", "line"), [*lines()], ids=lambda each: each if ":" in each[:60] else "")
def test_promise_of_a_document_is_held_by_a_test(place: str, line: str) -> None:
    """A document's line with "never" or "always" that no listed promise covers fails, with its place."""
    assert not unheld(line), place


def test_every_claim_is_made_and_held() -> None:
    """Every listed promise is in a document, and every test that is listed for it exists."""
    written = "\n".join(line for _, line in lines())
    assert [claim for claim in CLAIMS if claim not in written] == []
    assert [name for tests in CLAIMS.values() for name in tests if name not in TESTS] == []


def test_promise_that_is_held_by_nothing_is_found() -> None:
    """A new sentence with such a word is found, and needs a test of its own."""
    assert unheld("It never fails.")
