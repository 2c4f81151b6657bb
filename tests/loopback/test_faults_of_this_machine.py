"""A fault of this machine is reported at once, with the setting's name, and fails only its own account."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.looking import looking
from tests.loopback.configurations import (
    ENVIRONMENT,
    READER,
    REGION,
    SSO_LEGACY,
    SSO_PROFILE,
    SSO_SESSION,
    START,
    STATIC,
    TOKEN,
    WEB,
    Configuration,
    login,
    role,
)
from tests.loopback.stage import SECOND, Bench

DEVICE = "mfa_serial = arn:aws:iam::111122223333:mfa/me"
MFA = f"{role('source_profile = base', more=DEVICE)}\n[profile base]\n{STATIC}"


@dataclass(frozen=True, slots=True)
class Fault:
    """A configuration that cannot work, the words that must be reported, and the exit code without other accounts.

    `common` faults, such as a proxy or a bundle in the environment, affect every account.
    """

    configuration: Configuration
    said: tuple[str, ...]
    code: int = 3
    common: bool = False
    unsaid: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)


def keys(
    key: str = "AKIASTATIC", word: str = "static+secret/", token: str | None = None
) -> Mapping[str, str]:
    """The environment variables of an access key."""
    more = {} if token is None else {"AWS_SESSION_TOKEN": token}
    return {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": word, **more}


def work(
    lines: str, *, files: Mapping[str, str] | None = None, region: str = REGION, **changes: str
) -> Configuration:
    """A configuration whose profile `work` has the fault."""
    return Configuration(
        changes, config=f"[profile work]\n{region}{lines}", files=files or {}, profile="work"
    )


BUNDLES = {
    "missing": "cannot be read",
    "empty": "no certificate in PEM",
    "der": "no certificate in PEM",
    "folder": "folder",
}
FAULTS: Mapping[str, Fault] = {
    "key-line-break": Fault(
        Configuration(keys(key="AKIASTATIC\n")), ("access key id", "line break", "AWS_ACCESS_KEY_ID")
    ),
    "key-quotes": Fault(
        Configuration(keys(key="“AKIASTATIC”")), ("access key id", "\\u201c", "AWS_ACCESS_KEY_ID")
    ),
    "secret-quotes": Fault(
        Configuration(keys(word="\u2019static+secret/")), ("secret access key", "AWS_SECRET_ACCESS_KEY")
    ),
    "token-line-break": Fault(
        Configuration(keys("ASIASESSION", "session secret", "session+\ntoken/==")),
        ("session token", "line break", "AWS_SESSION_TOKEN"),
    ),
    "profile-key-quotes": Fault(
        work("aws_access_key_id = ”AKIASTATIC\naws_secret_access_key = s\n"),
        ("profile work", "access key id", "config file"),
    ),
    **{
        f"bundle-{kind}": Fault(
            Configuration({**ENVIRONMENT, "AWS_CA_BUNDLE": f"{{home}}/bundles/{kind}"}),
            ("AWS_CA_BUNDLE", f"bundles/{kind}", said),
            code=2,
            common=True,
        )
        for kind, said in BUNDLES.items()
    },
    "bundle-of-profile": Fault(
        Configuration(
            config=f"[profile work]\n{STATIC}ca_bundle = {{home}}/bundles/missing\n",
            profile="work",
            trusting=False,
            beside="ca_bundle = {ca}\n",
        ),
        ("ca_bundle of profile work", "bundles/missing"),
        code=2,
    ),
    "bundle-of-requests": Fault(
        Configuration({**ENVIRONMENT, "REQUESTS_CA_BUNDLE": "{home}/bundles/empty"}, trusting=False),
        ("REQUESTS_CA_BUNDLE", "bundles/empty"),
        code=2,
        common=True,
    ),
    "certificate-untrusted": Fault(
        Configuration(ENVIRONMENT, trusting=False),
        ("CERTIFICATE_VERIFY_FAILED", "AWS_CA_BUNDLE"),
        code=2,
        common=True,
    ),
    "certificate-of-another": Fault(
        work(f"{STATIC}endpoint_url = https://127.0.0.2:{{https_port}}\n"),
        ("for another host", "AWS_ENDPOINT_URL"),
        code=2,
    ),
    "certificate-of-another-through-proxy": Fault(
        work(
            f"{STATIC}endpoint_url = https://127.0.0.2:{{https_port}}\n",
            HTTPS_PROXY="http://127.0.0.1:{open}",
        ),
        ("for another host",),
        code=2,
    ),
    "proxy-407": Fault(
        Configuration({**ENVIRONMENT, "HTTPS_PROXY": "http://127.0.0.1:{guarded}"}),
        ("127.0.0.1:{guarded}", "HTTPS_PROXY", "407", "USER:PASSWORD"),
        code=2,
        common=True,
    ),
    "proxy-407-wrong-password": Fault(
        Configuration({**ENVIRONMENT, "HTTPS_PROXY": "http://me:wrong-word@127.0.0.1:{guarded}"}),
        ("127.0.0.1:{guarded}", "HTTPS_PROXY", "407"),
        code=2,
        common=True,
        unsaid=("wrong-word",),
    ),
    "proxy-403": Fault(
        Configuration({**ENVIRONMENT, "HTTPS_PROXY": "http://127.0.0.1:{blocking}"}),
        ("127.0.0.1:{blocking}", "HTTPS_PROXY", "403", "NO_PROXY"),
        code=2,
        common=True,
    ),
    "proxy-page": Fault(
        Configuration(
            {**ENVIRONMENT, "HTTP_PROXY": "http://127.0.0.1:{blocking}", "AWS_ENDPOINT_URL": "{http}"}
        ),
        ("not AWS", "HTTP_PROXY", "403"),
        code=2,
        common=True,
    ),
    "region-malformed": Fault(
        Configuration({**ENVIRONMENT, "AWS_DEFAULT_REGION": "us east 1"}, region=""),
        ("us east 1", "AWS_DEFAULT_REGION"),
        code=2,
    ),
    "region-misspelt": Fault(
        Configuration({**ENVIRONMENT, "AWS_DEFAULT_REGION": "us-esat-1"}, region=""),
        ("us-esat-1", "AWS_DEFAULT_REGION", "us-east-1"),
        code=2,
    ),
    "region-missing": Fault(Configuration(ENVIRONMENT, region=""), ("No region", "AWS_REGION"), code=2),
    "process-fails": Fault(
        work("credential_process = sh -c 'echo the vault is sealed >&2; exit 1'\n"),
        ("profile work", "the vault is sealed", "credential_process"),
    ),
    "process-missing": Fault(
        work("credential_process = /no/such/program\n"),
        ("profile work", "/no/such/program", "credential_process"),
    ),
    "process-prints-nonsense": Fault(
        work("credential_process = echo hello\n"), ("profile work", "credential_process")
    ),
    "web-token-missing": Fault(
        Configuration({**WEB, "AWS_DEFAULT_REGION": "eu-west-1"}),
        ("{home}/token", "AWS_WEB_IDENTITY_TOKEN_FILE"),
    ),
    "web-token-refused": Fault(
        Configuration({**WEB, "AWS_DEFAULT_REGION": "eu-west-1"}, files={"token": "expired"}),
        ("web identity token",),
    ),
    "web-token-of-profile": Fault(
        work(role("web_identity_token_file = {home}/token")),
        ("profile work", "{home}/token", "web_identity_token_file"),
    ),
    "container-refuses": Fault(
        Configuration({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/v2/credentials"}),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI",),
    ),
    "container-token-wrong": Fault(
        Configuration({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "{http}/v2/credentials/secured"}),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI",),
    ),
    "sso-not-logged-in": Fault(work(f"{SSO_PROFILE}{SSO_SESSION}"), ("aws sso login --profile work",)),
    "sso-legacy-not-logged-in": Fault(work(SSO_LEGACY), ("aws sso login --profile work",)),
    "sso-refused": Fault(work(SSO_LEGACY, files=login(START, "revoked")), ("aws sso login --profile work",)),
    "sso-refresh-used-up": Fault(
        work(
            f"{SSO_PROFILE}{SSO_SESSION}",
            files=login("corp", "stale", expires="2020-01-01T00:00:00Z", refresh="used"),
        ),
        ("aws sso login --profile work",),
    ),
    "sso-of-environment": Fault(
        Configuration({"AWS_PROFILE": "work"}, config=f"[profile work]\n{SSO_LEGACY}"),
        ("aws sso login --profile work",),
    ),
    "mfa-without-terminal": Fault(work(MFA), ("rofile work needs an MFA code and there is no terminal",)),
    "mfa-of-default-profile": Fault(
        Configuration(config=f"[default]\n{REGION}{MFA}"),
        ("rofile default needs an MFA code and there is no terminal",),
    ),
    "mfa-of-source": Fault(
        work(f"{role('source_profile = middle')}[profile middle]\n{REGION}{MFA}"),
        ("rofile middle needs an MFA code and there is no terminal",),
    ),
    "profile-unknown": Fault(Configuration(profile="nobody"), ("profile (nobody)",), code=2),
    "profile-of-environment-unknown": Fault(
        Configuration({"AWS_PROFILE": "nobody"}), ("profile (nobody)", "of the environment"), code=2
    ),
    "source-unknown": Fault(work(role("source_profile = nobody")), ('source_profile "nobody"',), code=2),
    "source-circle": Fault(
        work(f"{role('source_profile = other')}[profile other]\n{role('source_profile = work')}"),
        ("profile work", "Infinite loop"),
    ),
    "source-nonsense": Fault(work(role("credential_source = Moon")), ("Moon",), code=2),
    "setting-nested": Fault(
        work(f"{STATIC}services =\n  a = b\n"), ("profile work", "endpoint_url and services"), code=2
    ),
    "no-credentials": Fault(
        Configuration({"AWS_EC2_METADATA_DISABLED": "true"}), ("Unable to locate credentials",)
    ),
    "half-a-key": Fault(
        Configuration({"AWS_ACCESS_KEY_ID": "AKIASTATIC"}),
        ("Partial credentials", "missing: AWS_SECRET_ACCESS_KEY"),
    ),
    "role-refused": Fault(
        work(
            f"{role('source_profile = base', arn=READER, more='external_id = no')}\n[profile base]\n{STATIC}"
        ),
        ("AssumeRole",),
    ),
    "endpoint-plain": Fault(work(f"{STATIC}endpoint_url = http://aws.example\n"), ("plain http",), code=2),
    "endpoint-port": Fault(
        work(f"{STATIC}endpoint_url = https://aws.example:99999\n"), ("99999", "endpoint_url"), code=2
    ),
    "endpoint-none": Fault(work(f"{STATIC}endpoint_url = nowhere\n"), ("nowhere", "endpoint_url"), code=2),
}


def bundles(bench: Bench, home: Path) -> None:
    """Create CA bundles that are not valid."""
    folder = home / "bundles"
    (folder / "folder").mkdir(parents=True)
    (folder / "empty").write_bytes(b"")
    pem = bench.machine.stage.authority.bundle.read_bytes()
    (folder / "der").write_bytes(x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER))


def configured(home: Path, configuration: Configuration, *others: object) -> tuple[str, str]:
    """Write image-history's configuration file; return its option."""
    account = {"profile": configuration.profile} if configuration.profile else {}
    regions = {"regions": [configuration.region]} if configuration.region else {}
    settings = {"accounts": [{**account, **regions}, *others], "retry": {"attempts": 5, "max_wait": "10ms"}}
    path = home / "config.yaml"
    path.write_text(json.dumps(settings))
    return ("--config", str(path))


def settle(bench: Bench, name: str) -> Path:
    """Set up a machine with a fault; return its home folder."""
    fault = FAULTS[name]
    home = bench.become(name, fault.configuration.everything, fault.configuration.written)
    bundles(bench, home)
    return home


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_told_at_once_with_its_setting(bench: Bench, name: str) -> None:
    """A fault is reported with its setting and the expected exit code, without a retry or a traceback."""
    fault, home = FAULTS[name], settle(bench, name)
    answered = bench.run(*configured(home, fault.configuration), "sync" if fault.common else "plan")
    assert answered.code == fault.code, answered.err
    assert "Traceback" not in answered.err
    assert "call_failed" not in answered.err
    for words in fault.said:
        assert bench.filled(words, home) in answered.err
    for words in ("sagemaker:ListImages", "Interrupted", "outage", *fault.unsaid):
        assert words not in answered.err
    if fault.configuration.profile or "AWS_PROFILE" in fault.configuration.environment:
        assert "the default credentials" not in answered.err


# Botocore retries the request for a container's credentials for three seconds.
@pytest.mark.parametrize("name", [name for name in FAULTS if not name.startswith("container-")])
def test_check_tells_the_fault_as_well(bench: Bench, name: str) -> None:
    """`check` reports the fault with the sentence and the exit code of the other verbs, and says how to fix it."""
    fault, home = FAULTS[name], settle(bench, name)
    option = configured(home, fault.configuration)
    answered = bench.run(*option, "check", "--json")
    assert answered.code == fault.code, answered.out + answered.err
    fixes = {
        row["message"]: row["fix"] for row in json.loads(answered.out)["checks"] if row["level"] == "FAILED"
    }
    *_, sentence = bench.run(*option, "sync" if fault.common else "plan").err.strip().splitlines()
    assert fixes[sentence.removeprefix("image-history: ")]
    for words in fault.said:
        assert bench.filled(words, home) in sentence


@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if not fault.common])
def test_fault_of_one_account_leaves_the_others_alone(bench: Bench, name: str) -> None:
    """If one account has a fault, the sync reads the other account and exits with 4."""
    fault, home = FAULTS[name], settle(bench, name)
    second = {"profile": "second", "regions": ["eu-west-1"]}
    answered = bench.run(*configured(home, fault.configuration, second), "sync")
    assert answered.code == 4, answered.err
    with looking(home / "image-history.duckdb") as connection:
        found = connection.execute("SELECT DISTINCT account_id FROM image_versions").fetchall()
    assert found == [(SECOND,)]


def test_table_of_faults_can_fail() -> None:
    """Each fault has words that are expected of no other kind of fault, and web identity has no valid token."""
    kinds = {name: name.partition("-")[0] for name in FAULTS}
    for name, fault in FAULTS.items():
        others = {words for other in FAULTS if kinds[other] != kinds[name] for words in FAULTS[other].said}
        assert [words for words in fault.said if not any(words in each for each in others)], name
    web = [fault.configuration for name, fault in FAULTS.items() if kinds[name] == "web"]
    assert [configuration.files.get("token") for configuration in web] == [None, "expired", None]
    assert "expired" not in TOKEN.values()
