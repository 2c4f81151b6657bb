"""No output holds a credential, a signature or a pagination token, whatever fails."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from image_history.landing.runs import Landing
from image_history.simulator import KINDS, Behaviour, FaultRule
from tests.behaviour.harness import Site
from tests.behaviour.scripted import Reply, Request, scripted
from tests.faults.trial import LARGE, Trial

SECRET = "PLANTEDsecretKEYwJalrXUtnFEMIK7MDENGbPxRfiCY"
SESSION = "PLANTEDsessionTOKENFwoGZXIvYXdzEBYaDGVhc3RlcmVn"
# The prefix of every token of the simulator.
TOKEN = "c2ltdWxhdGVkLXRrbg"
QUIET = {"IMAGE_HISTORY_RETRY__MAX_WAIT": "1ms", "IMAGE_HISTORY_TIMEOUT__READ": "300ms"}
SLOW = {"stall", "stall_in_body", "drip"}


def planted(site: Site) -> dict[str, str]:
    """Variables that give a command the planted secrets."""
    return {"AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": SESSION, **QUIET}


def assert_nothing_told(site: Site, *texts: str) -> None:
    """Check that no text holds a secret, a part of a secret, a signature or a token."""
    key = site.environment["AWS_ACCESS_KEY_ID"]
    for text in texts:
        for secret in (key, SECRET, SECRET[:16], SESSION, SESSION[:16], TOKEN):
            assert secret not in text, f"{secret} in {text[:2000]}"
        assert re.search("Signature=[0-9a-f]", text) is None


def written(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file below a folder, with its content."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path, path.read_bytes()


def assert_only_landing_holds_tokens(site: Site) -> None:
    """Check that no file holds credentials, and that only private files of the landing hold tokens."""
    for path, content in written(site.folder):
        for secret in (SECRET, SESSION, site.environment["AWS_ACCESS_KEY_ID"]):
            assert secret.encode() not in content, path
        if TOKEN.encode() in content:
            assert site.config.landing_folder in path.parents
            assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_secret_is_told_under_any_fault(trial: Trial, log_format: str) -> None:
    """The logs and reports of syncs with -vv under every quick kind of fault hold no credential and no token."""
    site = trial.site
    told = ""
    for kinds in _groups([kind for kind in KINDS if kind not in SLOW], 2 if log_format == "text" else 1):
        site.simulator.faults = tuple(
            FaultRule(kind=kind, operation="ListImageVersions", nth=number, seconds=1)
            for number, kind in enumerate(kinds, start=1)
        )
        options = ("-vv", "--log-format", log_format)
        outcome = site.run(
            "sync",
            *options,
            "--json",
            **planted(site),
            IMAGE_HISTORY_CONCURRENCY="1",
            IMAGE_HISTORY_PAGE_SIZE="50",
        )
        told += outcome.stdout + outcome.stderr
        assert_only_landing_holds_tokens(site)
    assert "call_failed" in told
    assert_nothing_told(site, told)


def _groups(kinds: list[str], count: int) -> list[list[str]]:
    return [kinds[number::count] for number in range(count)]


@pytest.mark.parametrize(
    ("verb", "kind"),
    [
        (("sync",), "throttling"),
        (("sync",), "unknown_credentials"),
        (("list", LARGE), "token_expired"),
        (("list", LARGE), "html"),
    ],
)
def test_no_secret_and_no_traceback_is_told_by_errors(trial: Trial, verb: tuple[str, ...], kind: str) -> None:
    """A verb that fails prints no traceback, no key and no token."""
    site = trial.site
    site.simulator.faults = (FaultRule(kind=kind, operation="ListImageVersions", start=2),)
    outcome = site.run(*verb, **planted(site), IMAGE_HISTORY_RETRY__ATTEMPTS="2")
    assert outcome.returncode not in {0, 1}
    assert "Traceback" not in outcome.stderr
    assert_nothing_told(site, outcome.stdout, outcome.stderr)
    assert_only_landing_holds_tokens(site)


def test_unfinished_run_keeps_its_tokens_to_itself(trial: Trial) -> None:
    """The landing of an unfinished run holds tokens, in files that only their owner can read."""
    trial.set(page_size=50)
    trial.spoil(FaultRule(kind="throttling", operation="ListImageVersions", image=LARGE, start=3))
    assert trial.sync().code == 6
    (run,) = Landing(trial.config.landing_folder).runs()
    tokens = [mark.next_token for mark in run.checkpoints.values() if mark.next_token]
    assert [str(token)[: len(TOKEN)] for token in tokens] == [TOKEN]
    assert_only_landing_holds_tokens(trial.site)


def test_token_that_aws_quotes_is_told_by_nobody(trial: Trial) -> None:
    """If AWS's error quotes the beginning of a token, logs, reports and the warehouse do not."""
    site = trial.site
    variables = {
        **planted(site),
        "IMAGE_HISTORY_CONCURRENCY": "1",
        "IMAGE_HISTORY_PAGE_SIZE": "50",
        "IMAGE_HISTORY_CHECKPOINT_ROWS": "1",
    }
    site.simulator.faults = (FaultRule(kind="throttling", image=LARGE, start=3),)
    assert site.run("sync", **variables, IMAGE_HISTORY_RETRY__ATTEMPTS="1").returncode == 6
    site.simulator.faults = ()
    # From now on, AWS refuses every token.
    site.simulator.behaviour = Behaviour(token_lifetime_seconds=0)
    outcome = site.run("sync", "-vv", "--json", **variables)
    assert outcome.returncode == 4
    assert "Invalid pagination token because" in outcome.stdout
    assert_nothing_told(site, outcome.stdout, outcome.stderr)
    told = site.ask("SELECT error_message FROM coverage WHERE error_message IS NOT NULL")
    assert_nothing_told(site, *(str(row[0]) for row in told))


def test_answer_that_repeats_the_request_tells_nothing(trial: Trial) -> None:
    """If a proxy's response repeats the request's headers and body, messages, logs and reports do not hold them."""

    def echo(request: Request) -> Reply:
        told = json.dumps({**request.headers, "body": request.body.decode()}).encode()
        return Reply(403, b"<html>blocked: " + told + b"</html>", {"Content-Type": "text/html"})

    site = trial.site
    with scripted(echo) as server:
        outcome = site.run("sync", "-vv", **planted(site), AWS_ENDPOINT_URL=server.url)
    assert outcome.returncode == 3
    assert_nothing_told(site, outcome.stdout, outcome.stderr)
