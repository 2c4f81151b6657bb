from __future__ import annotations

from pathlib import Path

import pytest

from image_history.aws.image_api import Access
from image_history.config import Account, Images, Organization
from image_history.errors import ConfigError
from image_history.extract.choose import Choice, choose_target

ROLE = "arn:aws:iam::111122223333:role/reader"
OTHER = "arn:aws:iam::444455556666:role/reader"
ONE = (Account(profile="data", regions=("eu-west-1",)),)
SEVERAL = (
    Account(profile="data", regions=("us-east-1", "eu-west-1")),
    Account(role_arn=ROLE, external_id="x1", source_profile="data", regions=("us-east-1",)),
    Account(role_arn=OTHER, regions=("us-east-1",)),
)


@pytest.fixture(autouse=True)
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two profiles in AWS's own file, one of them with a region."""
    path = tmp_path / "aws-config"
    path.write_text("[profile data]\nregion = us-west-2\n[profile bare]\n", encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path))


def chosen(accounts: tuple[Account, ...], **choice: str) -> tuple[Access, str]:
    """Access and region of the chosen target."""
    target = choose_target(accounts, Choice(**choice))
    return target.access, target.region


def test_choice_is_not_needed_for_one_scope() -> None:
    """The only configured account and region is taken."""
    assert chosen(ONE) == (Access(profile="data"), "eu-west-1")


def test_choice_without_configuration_is_the_default_of_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a configuration, AWS's own default credentials and region are taken."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-southeast-2")
    assert chosen((Account(),)) == (Access(), "ap-southeast-2")


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"profile": "data", "region": "eu-west-1"}, (Access(profile="data"), "eu-west-1")),
        ({"region": "eu-west-1"}, (Access(profile="data"), "eu-west-1")),
        ({"profile": "data", "region": "sa-east-1"}, (Access(profile="data"), "sa-east-1")),
        ({"role_arn": ROLE}, (Access(None, ROLE, "x1", "data"), "us-east-1")),
        ({"role_arn": OTHER, "region": "eu-west-1"}, (Access(role_arn=OTHER), "eu-west-1")),
        ({"profile": "bare", "region": "eu-west-1"}, (Access(profile="bare"), "eu-west-1")),
    ],
)
def test_choice_picks_one_of_several(choice: dict[str, str], expected: tuple[Access, str]) -> None:
    """Profile, role and region narrow the configuration down; a region need not be configured."""
    assert chosen(SEVERAL, **choice) == expected


def test_choice_of_an_unconfigured_profile_takes_its_region() -> None:
    """A profile that only AWS's own file contains is used with the region given there."""
    assert chosen((Account(role_arn=ROLE, regions=("us-east-1",)),), profile="data")[1] == "us-west-2"


@pytest.mark.parametrize(
    "choice", [{}, {"profile": "data"}, {"region": "us-east-1"}, {"region": "sa-east-1"}]
)
def test_choice_that_leaves_several_names_them(choice: dict[str, str]) -> None:
    """An ambiguous choice is an error that lists the possible choices."""
    with pytest.raises(ConfigError, match="choose one with --profile") as refused:
        chosen(SEVERAL, **choice)
    assert "profile data in" in refused.value.message


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        ({"profile": "nobody"}, "nobody"),
        ({"profile": "bare"}, "No region is configured for profile bare"),
        (
            {"role_arn": "arn:aws:iam::1:role/x"},
            "No account with the role arn:aws:iam::1:role/x is configured: add one under accounts",
        ),
    ],
)
def test_choice_of_what_there_is_not(choice: dict[str, str], reason: str) -> None:
    """An unknown profile or role, or a missing region, is an error that names it."""
    with pytest.raises(ConfigError, match=reason):
        chosen(SEVERAL, **choice)


def test_choice_ignores_which_images_a_sync_would_read() -> None:
    """Two entries that differ only in their images are one scope, so no choice is needed."""
    entries = tuple(
        Account(profile="data", regions=("eu-west-1",), images=Images(include=(name,))) for name in ("a", "b")
    )
    assert chosen(entries) == (Access(profile="data"), "eu-west-1")


def test_choice_of_a_region_is_enough_where_all_are_read() -> None:
    """If an account is read in all regions, --region alone chooses; without it, the error asks for it."""
    everywhere = (Account(profile="data", regions="all"),)
    assert chosen(everywhere, region="eu-west-1") == (Access(profile="data"), "eu-west-1")
    with pytest.raises(ConfigError, match=r"profile data is read in all its regions: .* with --region"):
        chosen(everywhere)


def test_choice_of_a_role_of_the_organization() -> None:
    """An account of the organization is chosen by the role that a sync assumes in it; other roles are refused."""
    organization = Organization(role_name="reader", profile="data", external_id="x1")
    target = choose_target((Account(),), Choice(role_arn=ROLE, region="eu-west-1"), organization)
    assert (target.access, target.region) == (Access(None, ROLE, "x1", "data"), "eu-west-1")
    with pytest.raises(ConfigError, match="No account with the role"):
        choose_target((Account(),), Choice(role_arn=ROLE.replace("reader", "writer")), organization)
