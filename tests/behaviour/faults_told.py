"""Every place in the code that raises a ConnectorError: how `check` reports the error, or why it does not.

A place is a file and a function, or a whole file. Must not know how a test causes a fault.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from image_history import errors

ROOT = Path(errors.__file__).parent
# These errors report an answer of AWS, or that the user stopped the run: `check` cannot find them beforehand.
OF_THE_MOMENT = (errors.TransientError, errors.SkippableError, errors.InterruptedRunError)
NAMES = {
    name
    for name, kind in vars(errors).items()
    if isinstance(kind, type)
    and issubclass(kind, errors.ConnectorError)
    and kind is not errors.ConnectorError
    and not issubclass(kind, OF_THE_MOMENT)
} | {"refusal"}  # the function that makes the OutputError for a refused lake table

# What proves that `check` reports an error as the verb does: a row of BROKEN in test_check_tells.py, a row of
# test_check_and_sync_agree, or the name of a test.
MACHINE = "test_check_tells_the_fault_as_well"
TOLD = {
    "aws/clients.py:new_client": MACHINE,
    "aws/clients.py:open_session": MACHINE,
    "aws/clients.py:refuse_plain_http": "test_endpoint_that_nobody_answers_is_told",
    "aws/machine.py": MACHINE,
    "aws/queue.py:_region": "hints-region",
    "aws/sessions.py": MACHINE,
    "config/tree.py:fault": "setting",
    "config/durations.py:parse_duration": "duration",
    "config/loading.py:_read_bytes": "config-folder",
    "config/loading.py:_read_text": "config-bytes",
    "config/loading.py:config_path": "config-variable",
    "extract/accounts.py:_organization_unreadable": "test_accounts_and_regions_that_cannot_be_told_are_named",
    "extract/accounts.py:_regions_unknown": "test_accounts_and_regions_that_cannot_be_told_are_named",
    "extract/scopes.py:images": "test_unknown_credentials_are_told",
    "extract/scopes.py:open_scope": "test_unknown_credentials_are_told",
    "extract/scopes.py:require_distinct": "twice",
    "extract/scopes.py:require_same_account": "test_profile_that_leads_elsewhere_is_told",
    "formats/files.py:_unwritable": "report-folder",
    "landing/files.py:damaged": "landing-damaged",
    "landing/files.py:read_whole": "landing-unreadable",
    "landing/files.py:refused": "landing-file",
    "landing/mark.py:_not_a_mark": "landing-mark",
    "landing/mark.py:_require_adoptable": "landing-foreign",
    "landing/mark.py:_stranger": "landing-open",
    "landing/mark.py:foreign_run": "landing-foreign-run",
    "landing/mark.py:owner": "landing-of-another",
    "landing/runs.py:_require_format": "landing-version",
    "landing/runs.py:_take": "landing-busy",
    "notify/receivers.py:_run": "notify-command",
    "publish/delta.py": "test_check_says_what_keeps_a_lake_from_being_committed_to",
    "publish/folder.py:group_number": "publish-group",
    "publish/folder.py:require_dataset": "publish-foreign",
    "publish/iceberg.py": "test_check_says_what_keeps_a_lake_from_being_committed_to",
    "publish/lakes.py:require_extra": "lake-extra",
    "publish/manifest.py:_damaged": "publish-damaged",
    "publish/manifest.py:decoded": "publish-version",
    "publish/ownership.py": "test_check_and_publish_say_the_same",
    "publish/sqlite.py": "test_check_and_publish_say_the_same",
    "publish/publisher.py:require_same_warehouse": "publish-of-another",
    "publish/s3.py:require_key": "report-bucket",
    "warehouse/asking.py:spill_folder": "temporary-files",
    "warehouse/partitions.py:_require_known": "publish-table",
    "warehouse/saved.py:_listed": "queries-folder",
    "warehouse/saved.py:_only": "queries-name",
    "warehouse/saved.py:_read": "queries-header",
    "warehouse/saved.py:_text": "queries-bytes",
    "warehouse/unopened.py:unopened": "warehouse-log",
    "warehouse/unopened.py:unusable": "warehouse-pipe",
    "warehouse/warehouse.py:_failing": "warehouse-cut",
    "warehouse/warehouse.py:_newest_migration": "warehouse-newer",
    "warehouse/warehouse.py:_require_ours": "warehouse-of-another-program",
}

# Why `check` does not report an error.
COMMAND_LINE = "it is about what is typed on the command line, or written in Python"
QUESTION = "it is about a question and its answer"
MEANWHILE = "it comes up while the work is done; nothing shows it before"
OTHER_CHECKS = "check --probe and --emit-policy say it themselves"
SIMULATOR = "the simulator knows no warehouse"
SPARK = "a Spark job has no check; it is told before the first row"
UNTOLD = {
    "aws/lake_keys.py": MEANWHILE,
    "aws/translation.py": MEANWHILE,
    "checking": OTHER_CHECKS,
    "cli": COMMAND_LINE,
    "extract/accounts.py:identity": MEANWHILE,
    "extract/accounts.py:members": MEANWHILE,
    "extract/calls.py": MEANWHILE,
    "extract/choose.py": COMMAND_LINE,
    "extract/expand.py": MEANWHILE,
    "extract/extractor.py": MEANWHILE,
    "extract/scopes.py:_of_account": COMMAND_LINE,
    "extract/scopes.py:_require_partition": COMMAND_LINE,
    "formats/files.py:_keep": MEANWHILE,
    "formats/workbook.py": QUESTION,
    "formats/writing.py": COMMAND_LINE,
    "notify/receivers.py:_post": "nothing is sent to try an address; notify --test does",
    "notify/receivers.py:_posted": "nothing is sent to try an address; notify --test does",
    "publish/dataset.py": "it is said to who reads a dataset in Python",
    "publish/folder.py:_keep_name": MEANWHILE,
    "publish/folder.py:_refused": MEANWHILE,
    "publish/folder.py:_take": MEANWHILE,
    "publish/publisher.py:publish": "there is no sync yet, which is no fault",
    "publish/s3.py:_spool": MEANWHILE,
    "publish/s3.py:_upload": MEANWHILE,
    "publish/s3.py:commit": MEANWHILE,
    "publish/s3.py:parse": COMMAND_LINE,
    "publish/stage.py": COMMAND_LINE,
    "publish/tables.py": MEANWHILE,
    "publish/target.py": MEANWHILE,
    "report/content.py": "there is no sync yet, which is no fault, or nothing of what is asked for",
    "run/parts.py": COMMAND_LINE,
    "run/planning.py": COMMAND_LINE,
    "run/settle.py": MEANWHILE,
    "simulator": SIMULATOR,
    "spark": SPARK,
    "warehouse/answerers.py": QUESTION,
    "warehouse/answering.py": QUESTION,
    "warehouse/copying.py": MEANWHILE,
    "warehouse/history.py": QUESTION,
    "warehouse/loader.py": MEANWHILE,
    "warehouse/partitions.py:_unreadable": MEANWHILE,
    "warehouse/refusals.py": QUESTION,
    "warehouse/reports.py": MEANWHILE,
    "warehouse/saved.py:_require_fit": QUESTION,
    "warehouse/saved.py:question": QUESTION,
    "warehouse/saved.py:saved": QUESTION,
    "warehouse/spool.py": QUESTION,
    "warehouse/turns.py": MEANWHILE,
    "warehouse/warehouse.py:_reading": "there is no sync yet, or not of this version, which is no fault",
    "warehouse/warehouse.py:transaction": MEANWHILE,
}


def places() -> Iterator[str]:
    """Yield each place as FILE:FUNCTION, relative to the package."""
    for path in sorted(ROOT.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        for function in sorted(set(_raising(ast.parse(path.read_text(encoding="utf-8")), ""))):
            yield f"{name}:{function}"


def _raising(tree: ast.AST, function: str) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        inside = node.name if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else function
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in NAMES:
            yield inside
        yield from _raising(node, inside)


def names_of(place: str) -> tuple[str, str, str]:
    """The names under which the tables may list a place: the place, its file, and its top folder."""
    path = place.partition(":")[0]
    return place, path, path.partition("/")[0]
