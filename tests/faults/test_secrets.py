"""No output holds a credential, a signature or a pagination token, whatever fails."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from image_history.landing.runs import Landing
from image_history.simulator import KINDS, REPEATED, Behaviour, FaultRule
from tests.behaviour.harness import Site
from tests.behaviour.scripted import Reply, Request, scripted
from tests.faults.trial import LARGE, SMALL, Trial

SECRET = "PLANTEDsecretKEYwJalrXUtnFEMIK7MDENGbPxRfiCY"
SESSION = "PLANTEDsessionTOKENFwoGZXIvYXdzEBYaDGVhc3RlcmVn"
# The prefix of every token of the simulator.
TOKEN = "c2ltdWxhdGVkLXRrbg"
QUIET = {"IMAGE_HISTORY_RETRY__MAX_WAIT": "1ms", "IMAGE_HISTORY_TIMEOUT__READ": "300ms"}
LIST = "ListImageVersions"
OF_TOKENS = ("same_token", "token_cycle", "token_none", "token_expired", "token_too_long")
# How many seconds a kind takes, if not one.
WAITS = {"retry_after": 0}
ENDING = ("expired_credentials", "unknown_credentials", "request_expired")


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


def rounds() -> list[tuple[FaultRule, ...]]:
    """Rules that together make every kind of fault, each tuple for one sync: at first all that are retried."""
    retried = [kind for kind in REPEATED if kind not in OF_TOKENS]
    others = [kind for kind in KINDS if kind not in {*retried, *OF_TOKENS, *ENDING}]
    made = [
        tuple(
            # Every seventh request is answered, so that faults are made on pages with a token too.
            FaultRule(kind=kind, operation=LIST, nth=1 + number + number // 6, seconds=WAITS.get(kind, 1))
            for number, kind in enumerate(retried)
        )
    ]
    for number, of_tokens in enumerate(OF_TOKENS):
        beside = zip(others[number :: len(OF_TOKENS)], SMALL, strict=False)
        spoiled = (FaultRule(kind=kind, operation=LIST, image=image) for kind, image in beside)
        made.append((FaultRule(kind=of_tokens, operation=LIST, image=LARGE, times=4), *spoiled))
    return [*made, *((FaultRule(kind=kind, operation=LIST, start=2),) for kind in ENDING)]


def test_rounds_have_every_kind_of_fault() -> None:
    """The rounds of the next test have every kind of fault that the simulator can make."""
    assert sorted(rule.kind for rules in rounds() for rule in rules) == sorted(KINDS)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_secret_is_told_under_any_fault(trial: Trial, log_format: str) -> None:
    """The logs and reports of syncs with -vv under every kind of fault hold no credential and no token.

    Faults that are retried are made with both formats of the log, every other one with one of them.
    """
    site = trial.site
    told, first, *others = "", *rounds()
    bounds = {"IMAGE_HISTORY_CONCURRENCY": "1", "IMAGE_HISTORY_RETRY__ATTEMPTS": str(len(KINDS))}
    for rules in (first, *others[log_format == "json" :: 2]):
        site.simulator.faults = rules
        site.simulator.counters.reset()
        options = ("-vv", "--log-format", log_format, "--json", "--full", "--fresh")
        outcome = site.run("sync", *options, **planted(site), **bounds, IMAGE_HISTORY_PAGE_SIZE="50")
        told += outcome.stdout + outcome.stderr
        assert trial.injected().keys() == {rule.kind for rule in rules}
        assert_only_landing_holds_tokens(site)
    assert told.count("call_failed") >= len(first)
    assert_nothing_told(site, told)


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
    """A verb that fails prints one sentence below its warnings, without a traceback, a key or a token."""
    site = trial.site
    site.simulator.faults = (FaultRule(kind=kind, operation="ListImageVersions", start=2),)
    outcome = site.run(*verb, **planted(site), IMAGE_HISTORY_RETRY__ATTEMPTS="2")
    assert outcome.returncode not in {0, 1}
    *warnings, sentence = outcome.stderr.splitlines()
    assert [
        line for line in warnings if not re.match(r"[\d-]+T[\d:.]+\+00:00 WARNING call_failed ", line)
    ] == []
    assert re.fullmatch(r"image-history: [A-Z][^\n]*\.", sentence)
    assert (outcome.stdout, "Traceback" in sentence) == ("", False)
    assert_nothing_told(site, outcome.stderr)
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
