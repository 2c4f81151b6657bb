"""Whole organizations over HTTP: moto's server lists accounts and grants roles, the simulator has the images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from image_history.config import Account, Config, Members, Organization, Retry
from image_history.errors import ConfigError, ConnectorError, CredentialsError, SourceError
from image_history.extract.expand import find_targets
from image_history.extract.scopes import Target, open_scope
from image_history.model import Stop
from image_history.simulator import generate
from tests.behaviour.cloud import MANAGEMENT, Cloud
from tests.behaviour.harness import ServeWorld
from tests.behaviour.scripted import Reply, Request, Scripted, answer, error, scripted

REGIONS = ("us-east-1", "eu-west-1")
ROLE = "audit/reader"
NOWHERE = "ou-ab12-cdef3456"
IDENTITY = Reply(
    body=b"<R><GetCallerIdentityResult><Account>123456789012</Account>"
    b"<Arn>arn:aws:iam::123456789012:user/me</Arn></GetCallerIdentityResult></R>",
    headers={"Content-Type": "text/xml"},
)
Serve = Callable[..., Scripted]


@pytest.fixture
def clouded(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """The cloud, with environment variables that point to it."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for name, value in cloud.environment.items():
        monkeypatch.setenv(name, value)
    return cloud


@pytest.fixture
def organizations(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Serve an identity, and for each operation of Organizations the given answers, of which the last is repeated."""
    with ExitStack() as stack:

        def serve(**answers: list[Reply]) -> Scripted:
            def answering(request: Request) -> Reply:
                replies = answers.get(request.headers.get("x-amz-target", "").rpartition(".")[2], [IDENTITY])
                return replies.pop(0) if len(replies) > 1 else replies[0]

            server = stack.enter_context(scripted(answering))
            for name, value in server.environment.items():
                monkeypatch.setenv(name, value)
            return server

        yield serve


def found(
    *, attempts: int = 1, accounts: tuple[Account, ...] = (Account(),), **members: object
) -> list[Target]:
    """The targets that are found in an organization."""
    organization = Organization(role_name=ROLE, **members)  # type: ignore[arg-type]  # a test's own members
    config = Config(accounts=accounts, organization=organization, retry=Retry(attempts=attempts))
    return list(find_targets(config, Stop()))


def accounts_of(targets: list[Target]) -> list[str]:
    """The accounts that are read with a role."""
    return [each.access.role_account for each in targets if each.access.role_account is not None]


def member(account_id: str, state: str = "ACTIVE") -> dict[str, str]:
    """An account as ListAccounts returns it."""
    return {"Id": account_id, "Status": state, "State": state}


def test_organization_is_synced_with_one_session_an_account(clouded: Cloud, served: ServeWorld) -> None:
    """Three accounts with a role and the management account without one: all are read, with one AssumeRole a role."""
    accounts = clouded.organization(3)
    world = generate(5, accounts=[MANAGEMENT, *accounts], regions=REGIONS, images=2, versions_per_image=3)
    site = served(world)
    site.environment = {**site.environment, **clouded.environment}
    text = f"organization: {{role_name: {ROLE}, regions: [{', '.join(REGIONS)}]}}\n"
    (site.folder / "config.yaml").write_text(text, encoding="utf-8")
    before = clouded.asked()
    outcome = site.run("sync")
    assert outcome.returncode == 0, outcome.stderr
    site.assert_true()
    assert site.ask("SELECT count(*) FROM image_versions GROUP BY account_id, region") == [(6,)] * 8
    asked = {name: count - before.get(name, 0) for name, count in clouded.asked().items()}
    assert {name: count for name, count in asked.items() if count} == {
        "AssumeRole": 3,
        "GetCallerIdentity": 4,
        "ListAccounts": 1,
    }


def test_accounts_are_those_of_units_and_ids_less_the_excluded(clouded: Cloud) -> None:
    """An included unit includes all units below it; excluded units and accounts are not read, wherever they are."""
    accounts = clouded.organization(4)
    client = clouded.client("organizations")
    root = client.list_roots()["Roots"][0]["Id"]

    def unit(parent: str, name: str) -> str:
        made = client.create_organizational_unit(ParentId=parent, Name=name)
        return str(made["OrganizationalUnit"]["Id"])

    outer = unit(root, "outer")
    units = [unit(outer, f"u{number}") for number in range(2)]
    for account, parent in zip(accounts[:3], (outer, units[-1], units[-1]), strict=True):
        client.move_account(AccountId=account, SourceParentId=root, DestinationParentId=parent)
    assert accounts_of(found(include=Members(units=(outer,)))) == accounts[:3]
    assert accounts_of(found(include=Members(units=(units[-1],), accounts=(accounts[3],)))) == accounts[1:]
    assert accounts_of(found(exclude=Members(units=(units[-1],)))) == [accounts[0], accounts[3]]
    chosen = found(include=Members(units=(root,)), exclude=Members(units=(outer,), accounts=(MANAGEMENT,)))
    assert accounts_of(chosen) == [accounts[3]]


def test_only_active_accounts_are_read(clouded: Cloud) -> None:
    """A suspended account is not read."""
    accounts = clouded.organization(2)
    clouded.client("organizations").close_account(AccountId=accounts[0])
    assert accounts_of(found()) == [accounts[1]]


def test_included_account_that_is_not_there_is_reported(clouded: Cloud) -> None:
    """If an account that is included by its ID is not active, its scope fails, and the others are read."""
    accounts = clouded.organization(1)
    present, absent = found(include=Members(accounts=(accounts[0], "999999999999")))
    assert accounts_of([present]) == accounts
    with pytest.raises(CredentialsError, match=r"999999999999:role/audit/reader .* is not active"):
        open_scope(absent, Config(), Stop())


def test_management_account_is_read_with_its_own_credentials(clouded: Cloud) -> None:
    """The management account does not have the members' role, and is read with the default credentials."""
    clouded.organization(1)
    # Targets are in the order of their account IDs, and the other account's ID is random.
    both = found(regions=("eu-west-1",), external_id="tenant-7")
    own, other = sorted(both, key=lambda each: each.access.role_account is not None)
    assert (str(own.access), own.region) == ("the default credentials", "eu-west-1")
    assert open_scope(own, Config(), Stop()).scope.account_id == MANAGEMENT
    assert other.access.external_id == "tenant-7"


def test_accounts_beside_an_organization_are_read_if_they_say_anything(clouded: Cloud) -> None:
    """Beside an organization, the default entry reads nothing, and an entry with settings is read first."""
    accounts = clouded.organization(1)
    assert len(found()) == 2
    mine = Account(role_arn="arn:aws:iam::210987654321:role/mine", regions=("eu-west-1",))
    assert accounts_of(found(accounts=(mine,))) == ["210987654321", *accounts]


def test_list_of_accounts_is_read_over_all_pages(organizations: Serve) -> None:
    """The list of accounts is read up to its last page, also after an empty page."""
    server = organizations(
        ListAccounts=[
            answer(Accounts=[member("111111111111")], NextToken="t1"),
            answer(Accounts=[], NextToken="t2"),
            answer(Accounts=[member("222222222222"), member("333333333333", "SUSPENDED")]),
        ]
    )
    assert accounts_of(found()) == ["111111111111", "222222222222"]
    assert [request.parameters for request in server.requests[1:]] == [
        {},
        {"NextToken": "t1"},
        {"NextToken": "t2"},
    ]


def test_throttled_list_of_accounts_is_asked_again(organizations: Serve) -> None:
    """A throttled call, and a successful answer without accounts, are retried."""
    organizations(
        ListAccounts=[error("TooManyRequestsException"), answer(), answer(Accounts=[member("111111111111")])]
    )
    assert accounts_of(found(attempts=3)) == ["111111111111"]


@pytest.mark.parametrize(
    ("reply", "kind", "part"),
    [
        (error("AccessDeniedException"), CredentialsError, "Allow organizations:ListAccounts"),
        (error("AWSOrganizationsNotInUseException"), ConfigError, "is in no organization"),
        (error("TooManyRequestsException"), SourceError, "run it again later"),
        (answer(Accounts=[]), SourceError, "names no account, not even its own"),
        (answer(), SourceError, "the answer has no Accounts"),
        (answer(Accounts=[], NextToken="same"), SourceError, "repeats a pagination token"),
        (answer(Accounts=[member("111111111111", "SUSPENDED")]), ConfigError, "leave no active account"),
    ],
)
def test_organization_that_cannot_be_read_ends_the_run(
    organizations: Serve, reply: Reply, kind: type[ConnectorError], part: str
) -> None:
    """If the accounts cannot be listed, no account is read, and the error says what to do."""
    organizations(ListAccounts=[reply])
    with pytest.raises(kind, match=part):
        found()


def test_denied_organization_exits_with_3(clouded: Cloud, organizations: Serve, served: ServeWorld) -> None:
    """A sync that may not list the accounts exits with 3, names the missing permission, and writes nothing."""
    site = served(generate(5, accounts=[MANAGEMENT]))
    server = organizations(ListAccounts=[error("AccessDeniedException")])
    site.environment = {
        **site.environment,
        **clouded.environment,
        "AWS_ENDPOINT_URL_ORGANIZATIONS": server.url,
    }
    (site.folder / "config.yaml").write_text(f"organization: {{role_name: {ROLE}}}\n", encoding="utf-8")
    outcome = site.run("sync")
    assert outcome.returncode == 3
    assert "Allow organizations:ListAccounts" in outcome.stderr
    assert not site.config.warehouse.exists()


@pytest.mark.parametrize(
    ("include", "exclude"), [(Members(units=(NOWHERE,)), Members()), (Members(), Members(units=(NOWHERE,)))]
)
def test_unit_that_is_not_there_is_refused(clouded: Cloud, include: Members, exclude: Members) -> None:
    """A unit that the organization does not have is a configuration error."""
    clouded.organization(1)
    with pytest.raises(ConfigError, match=f"no root or organizational unit {NOWHERE}"):
        found(include=include, exclude=exclude)
