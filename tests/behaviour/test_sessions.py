"""One session per account: how many requests to STS many regions cause, and what happens when credentials expire."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import botocore
import pytest
from botocore import configloader

from image_history.aws import clients
from image_history.aws.deadline import Callers
from image_history.aws.image_api import Access, ImageApi, Login, Timeouts
from image_history.aws.sessions import Identity, Logins
from image_history.config import Account, Config, Retry
from image_history.errors import CredentialsError
from image_history.extract.accounts import AccountCalls, Bounds
from image_history.extract.retry import RetryPolicy
from image_history.extract.scopes import Target, open_scope, targets
from image_history.model import Stop
from tests.behaviour.scripted import Reply, Request, Scripted, error, page_for, scripted

REGIONS = ("us-east-1", "eu-west-1", "us-west-2", "eu-central-1", "ap-south-1")
ROLE = "arn:aws:iam::111122223333:role/reader"
NEVER = datetime(2099, 1, 1, tzinfo=UTC)
XML = {"Content-Type": "text/xml"}


def identity(account_id: str) -> Reply:
    """An answer of GetCallerIdentity."""
    result = f"<Account>{account_id}</Account><Arn>arn:aws:sts::{account_id}:assumed-role/reader/x</Arn>"
    return Reply(
        body=f"<R><GetCallerIdentityResult>{result}</GetCallerIdentityResult></R>".encode(), headers=XML
    )


def lent(number: int, expires: datetime) -> Reply:
    """The answer to the AssumeRole request of that number."""
    body = (
        f"<R><AssumeRoleResult><Credentials><AccessKeyId>ASIALENT{number}</AccessKeyId><SecretAccessKey>s"
        f"</SecretAccessKey><SessionToken>t{number}</SessionToken><Expiration>{expires:%Y-%m-%dT%H:%M:%SZ}"
        "</Expiration></Credentials></AssumeRoleResult></R>"
    )
    return Reply(body=body.encode(), headers=XML)


class Lender:
    """An STS and a SageMaker. The first lent credentials expire at `expires`; the keys in `ended` have expired."""

    def __init__(
        self, expires: datetime = NEVER, who: tuple[Reply, ...] = (identity("111122223333"),)
    ) -> None:
        self.expires = expires
        self.ended: set[str] = set()
        self.asked: list[str] = []
        self._who = list(who)
        self._lent = 0

    def __call__(self, request: Request) -> Reply:
        operation = request.headers.get("x-amz-target", "").rpartition(".")[2]
        operation = operation or parse_qs(request.body.decode())["Action"][0]
        self.asked.append(operation)
        if operation == "AssumeRole":
            self._lent += 1
            return lent(self._lent, self.expires if self._lent == 1 else NEVER)
        if operation == "GetCallerIdentity":
            return self._who.pop(0) if len(self._who) > 1 else self._who[0]
        return error("ExpiredTokenException") if self.key_of(request) in self.ended else page_for(request)

    @staticmethod
    def key_of(request: Request) -> str:
        """The access key that signed the request."""
        return request.headers["authorization"].partition("Credential=")[2].partition("/")[0]


Serve = Callable[[Lender], Scripted]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Starts the server of a lender; the environment leads to it."""
    with ExitStack() as stack:

        def start(lender: Lender) -> Scripted:
            server = stack.enter_context(scripted(lender))
            for name, value in server.environment.items():
                monkeypatch.setenv(name, value)
            return server

        yield start


def in_all(apis: list[ImageApi]) -> None:
    """Make one call in each region, all at the same time."""
    start = threading.Barrier(len(apis))

    def call(api: ImageApi) -> None:
        start.wait()
        api.call("ListImageVersions", {"ImageName": "base"})

    with ThreadPoolExecutor(len(apis)) as pool:
        list(pool.map(call, apis))


def apis(login: Login) -> list[ImageApi]:
    """A client in each region."""
    callers = Callers(len(REGIONS))
    return [
        ImageApi(login.access, region, timeouts=Timeouts(5, 5), callers=callers, login=login)
        for region in REGIONS
    ]


def account_calls(login: Login, *, attempts: int = 1, call_seconds: float = 5) -> AccountCalls:
    """The calls of an account with these bounds."""
    policy = RetryPolicy(attempts, max_wait_seconds=0.01)
    return AccountCalls(login, Bounds(policy, Timeouts(5, 5, call_seconds), Callers(1), Stop()))


def test_account_of_many_regions_is_one_session(serve: Serve) -> None:
    """If all regions of an account open at the same time, there is one AssumeRole and one GetCallerIdentity."""
    lender = Lender()
    serve(lender)
    wanted = targets([Account(role_arn=ROLE, regions=REGIONS)])
    with ThreadPoolExecutor(len(wanted)) as pool:
        opened = list(pool.map(lambda target: open_scope(target, Config(), Stop()), wanted))
    assert [str(each.scope) for each in opened] == [f"111122223333/{region}" for region in REGIONS]
    assert sorted(lender.asked) == ["AssumeRole", "GetCallerIdentity"]


def test_credentials_that_end_are_renewed_once_for_all_regions(serve: Serve) -> None:
    """If credentials expire for all regions together, the role is assumed once more and every call succeeds."""
    lender = Lender()
    server = serve(lender)
    clients = apis(Login(Access(role_arn=ROLE), "us-east-1"))
    in_all(clients)
    for number in (1, 2):
        lender.ended.add(f"ASIALENT{number}")
        in_all(clients)
        assert lender.asked.count("AssumeRole") == number + 1
    signed = [lender.key_of(request) for request in server.requests if "x-amz-target" in request.headers]
    assert min(signed.count(f"ASIALENT{number}") for number in (1, 2, 3)) >= 5


def test_credentials_about_to_end_are_renewed_before(serve: Serve) -> None:
    """The role is assumed again some minutes before the credentials expire, so that no request is refused."""
    lender = Lender(expires=datetime.now(UTC) + timedelta(minutes=5))
    server = serve(lender)
    clients = apis(Login(Access(role_arn=ROLE), "us-east-1"))
    in_all(clients[:1])
    in_all(clients)
    assert lender.asked.count("AssumeRole") == 2
    assert {lender.key_of(request) for request in server.requests[-5:]} == {"ASIALENT2"}


def test_roles_share_the_session_of_their_source(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For all accounts the program that provides their source profile's credentials runs once."""
    lender = Lender()
    serve(lender)
    told = '{"Version": 1, "AccessKeyId": "AKIASOURCE", "SecretAccessKey": "s"}'
    program = tmp_path / "provide"
    program.write_text(f"#!/bin/sh\necho >> {tmp_path}/started\necho '{told}'\n", encoding="utf-8")
    program.chmod(0o700)
    (tmp_path / "config").write_text(f"[profile source]\ncredential_process = {program}\n", encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    roles = [f"arn:aws:iam::11112222333{number}:role/reader" for number in range(4)]
    wanted = targets(Account(role_arn=role, source_profile="source", regions=REGIONS) for role in roles)
    callers = Callers(4)
    in_all([api_of(target, callers) for target in wanted])
    assert lender.asked.count("AssumeRole") == len(roles)
    assert len((tmp_path / "started").read_text(encoding="utf-8").splitlines()) == 1


def api_of(target: Target, callers: Callers) -> ImageApi:
    """A client of the target's login."""
    return ImageApi(
        target.access, target.region, timeouts=Timeouts(5, 5), callers=callers, login=target.login
    )


def test_identity_is_asked_for_again_when_sts_fails(serve: Serve) -> None:
    """If STS fails once, the identity is requested again."""
    lender = Lender(who=(Reply(500, b"", XML), identity("111122223333")))
    serve(lender)
    told = account_calls(Login(Access(), "us-east-1"), attempts=3).identity()
    assert told == Identity("111122223333", "aws")
    assert lender.asked == ["GetCallerIdentity"] * 2


def test_identity_is_waited_for_as_long_as_a_call_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """If STS does not complete its answer within the time of a call, the identity is unknown."""
    done = threading.Event()

    def trickle(_: Request) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
        while not done.wait(0.05):
            yield b" "

    with scripted(trickle) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        assert account_calls(Login(Access(), "us-east-1"), call_seconds=0.2).identity() is None
        done.set()


def test_account_of_a_role_is_known_where_sts_denies_the_question(serve: Serve) -> None:
    """If STS denies the request, the account of a role is the one in its ARN."""
    denied = b"<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>"
    serve(Lender(who=(Reply(403, denied, XML),)))
    assert account_calls(Login(Access(role_arn=ROLE))).identity() == Identity("111122223333", "aws")


def test_role_that_leads_to_another_account_is_refused(serve: Serve) -> None:
    """If STS names another account than the role's ARN, the role is refused."""
    serve(Lender(who=(identity("999988887777"),)))
    with pytest.raises(CredentialsError, match="leads to account 999988887777 instead of its own"):
        account_calls(Login(Access(role_arn=ROLE))).identity()


def test_refused_credentials_are_asked_about_once(serve: Serve) -> None:
    """If STS does not know the credentials, five regions fail after one request."""
    unknown = b"<ErrorResponse><Error><Code>InvalidClientTokenId</Code></Error></ErrorResponse>"
    lender = Lender(who=(Reply(403, unknown, XML),))
    serve(lender)
    config = Config(retry=Retry(attempts=1))
    for target in targets([Account(regions=REGIONS)]):
        with pytest.raises(CredentialsError, match="InvalidClientTokenId"):
            open_scope(target, config, Stop())
    assert lender.asked == ["GetCallerIdentity"]


def test_profiles_share_clients_unless_their_settings_differ(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Profiles with other keys share a client, those with other settings do not; no model is read again."""
    keys = "aws_access_key_id = AKIA{0}\naws_secret_access_key = x\n"
    lines = {"one": "", "two": "", "fips": "use_fips_endpoint = true\n"}
    text = "".join(f"[profile {name}]\n{keys.format(name)}{line}" for name, line in lines.items())
    (tmp_path / "config").write_text(text)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    logins = Logins()
    one, two, fips = (
        logins.of(Access(name)).client("sagemaker", "us-east-1", timeouts=Timeouts()) for name in lines
    )
    assert one.api is two.api
    assert one.transport is not two.transport
    assert fips.api.meta.endpoint_url == "https://api-fips.sagemaker.us-east-1.amazonaws.com"
    assert fips.api.meta.service_model.metadata is one.api.meta.service_model.metadata


def counting(parsed: Counter[str], parse: Callable[[str], object]) -> Callable[[str], object]:
    """A parser of AWS's files that counts how often each file is parsed."""

    def counted(path: str) -> object:
        parsed[path] += 1
        return parse(path)

    return counted


@pytest.mark.parametrize("variable", ["AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"])
def test_profiles_are_parsed_once_however_many_accounts_there_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    """AWS's files are parsed once for all accounts, and once more after credentials are renewed."""
    names = [f"p{number}" for number in range(20)]
    section = "profile {0}" if variable == "AWS_CONFIG_FILE" else "{0}"
    text = f"[{section}]\naws_access_key_id = AKIA{{0}}\naws_secret_access_key = x\n"
    for each in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        path = tmp_path / each.lower()
        path.write_text("".join(text.format(name) for name in names) if each == variable else "")
        monkeypatch.setenv(each, str(path))
    parsed: Counter[str] = Counter()
    for name in ("load_config", "raw_config_parse"):
        monkeypatch.setattr(clients, name, counting(parsed, getattr(configloader, name)))
    logins = Logins()
    found = [logins.of(Access(name)).credentials() for name in names]
    assert [each.access_key for each in found] == [f"AKIA{name}" for name in names]
    assert parsed[str(tmp_path / variable.lower())] == 1
    path = tmp_path / variable.lower()
    path.write_text(path.read_text().replace("AKIAp7", "AKIAnew"))
    logins.of(Access("p7")).renew(0)
    assert logins.of(Access("p7")).credentials().access_key == "AKIAnew"
    assert parsed[str(path)] == 2


@pytest.mark.parametrize("shared", [True, False])
def test_regions_behind_one_address_share_a_connection(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, shared: bool
) -> None:
    """Regions share a connection if the user's proxy is the endpoint of all; AWS has one endpoint for each region."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAX")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    if shared:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    login = Logins().of(Access())
    one, two = (login.client("sagemaker", region, timeouts=Timeouts()) for region in REGIONS[:2])
    made = one.begin()
    with one.under_way(made):
        made.believed = True
    assert two.begin().has_connection is shared


@pytest.mark.parametrize("variable", ["AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"])
def test_keys_that_another_program_replaces_count_for_accounts_that_are_opened_later(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    """If another program replaces the keys in AWS's file, an account that opens later uses the new keys."""
    section = "profile {0}" if variable == "AWS_CONFIG_FILE" else "{0}"
    text = f"[{section}]\naws_access_key_id = AKIA{{1}}{{0}}\naws_secret_access_key = x\n"
    path = tmp_path / "file"
    monkeypatch.setenv(variable, str(path))
    logins = Logins()
    for number, name in enumerate(("one", "two")):
        replaced = tmp_path / "new"
        replaced.write_text("".join(text.format(each, number) for each in ("one", "two")))
        replaced.replace(path)
        assert logins.of(Access(name)).credentials().access_key == f"AKIA{number}{name}"


def test_replaced_profiles_with_a_role_count_for_accounts_that_are_opened_later(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, serve: Serve
) -> None:
    """Another program replaced the role and the keys of its source: the new role is assumed with the new keys."""
    server = serve(Lender())
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))

    def replace(name: str, text: str) -> None:
        replaced = tmp_path / "new"
        replaced.write_text(text)
        replaced.replace(tmp_path / name)

    logins = Logins()
    for number, name in enumerate(("one", "two")):
        role = f"[profile {{}}]\nrole_arn = {ROLE}{number}\nsource_profile = base\n"
        replace("config", role.format("one") + role.format("two"))
        replace("credentials", f"[base]\naws_access_key_id = AKIA{number}\naws_secret_access_key = x\n")
        assert logins.of(Access(name)).credentials().access_key.startswith("ASIA")
        (request,) = server.requests[number:]
        assert Lender.key_of(request) == f"AKIA{number}"
        assert parse_qs(request.body.decode())["RoleArn"] == [f"{ROLE}{number}"]


def test_handlers_of_an_initializer_run_as_often_with_many_accounts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A handler that an initializer registers for each session runs equally often for every account."""
    heard: list[str] = []

    def hear(**_: object) -> None:
        heard.append("a request")

    def prepare(session: Any) -> None:
        session.register("before-parameter-build.sagemaker.ListImageVersions", hear)
        session.get_component("credential_provider").remove("config-file")

    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    names = [f"p{number}" for number in range(5)]
    (tmp_path / "credentials").write_text(
        "".join(f"[{name}]\naws_access_key_id = AKIAX\naws_secret_access_key = x\n" for name in names)
    )
    botocore.register_initializer(prepare)
    try:
        logins, callers, counts = Logins(), Callers(1), []
        with scripted(page_for) as server:
            monkeypatch.setenv("AWS_ENDPOINT_URL", server.environment["AWS_ENDPOINT_URL"])
            for name in names:
                login = logins.of(Access(name))
                api = ImageApi(login.access, "us-east-1", timeouts=Timeouts(), callers=callers, login=login)
                before = len(heard)
                api.call("ListImageVersions", {"ImageName": "base", "NextToken": name})
                counts.append(len(heard) - before)
    finally:
        botocore.unregister_initializer(prepare)
    assert len(set(counts)) == 1
    assert counts[0] in {1, 2}


def test_accounts_that_share_a_client_sign_with_their_own_keys(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Calls of accounts that share a client are signed with the keys of their own account, in any order."""
    names = ("one", "two", "three")
    profile = "[profile {0}]\naws_access_key_id = AKIA{0}\naws_secret_access_key = x\n"
    (tmp_path / "config").write_text("".join(map(profile.format, names)))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    logins, callers = Logins(), Callers(6)
    asked = [{"ImageName": "base", "NextToken": name} for name in names * 20]
    with scripted(page_for) as server, ThreadPoolExecutor(6) as threads:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.environment["AWS_ENDPOINT_URL"])
        apis = {
            name: ImageApi(
                Access(name), "us-east-1", timeouts=Timeouts(), callers=callers, login=logins.of(Access(name))
            )
            for name in names
        }
        for call in [
            threads.submit(apis[each["NextToken"]].call, "ListImageVersions", each) for each in asked
        ]:
            call.result()
    keys = [request.headers["authorization"].split("/")[0] for request in server.requests]
    wanted = [f"AWS4-HMAC-SHA256 Credential=AKIA{each.parameters['NextToken']}" for each in server.requests]
    assert keys == wanted
    assert len(keys) == len(asked)
