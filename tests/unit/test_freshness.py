"""The freshness of a scope depends on what was read completely and on what the configuration reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from image_history.checking.freshness import ScopeState, StreamState, configured, freshness
from image_history.config import Account, Config, Images, Members, Organization
from image_history.model import Scope

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
EAST = Scope("111122223333", "us-east-1")
WEST = Scope("111122223333", "eu-west-1")
DEFAULT = (Account(),)


def stream(
    image: str | None, hours_ago: float | None, scope: Scope = EAST, outcome: str = "complete"
) -> StreamState:
    """An image, or the list of images, that was read `hours_ago` hours ago; None for never."""
    until = None if hours_ago is None else NOON - hours_ago * HOUR
    return StreamState(scope, image, until, outcome, None, "run", NOON, live_versions=3)


def only(*states: ScopeState) -> ScopeState:
    """The only state."""
    (state,) = states
    return state


def test_scope_is_as_fresh_as_its_stalest_stream() -> None:
    """The stalest stream, an image or the list of images, decides how fresh its scope is, and is named."""
    state = only(*freshness([stream(None, 1), stream("a", 1), stream("b", 30)], DEFAULT, {}))
    assert state.covered_until == NOON - 30 * HOUR
    assert state.behind is not None
    assert state.behind.image_name == "b"
    assert (state.is_stale(NOON, 29 * HOUR), state.is_stale(NOON, 30 * HOUR)) == (True, False)
    listed = only(*freshness([stream(None, 5), stream("a", 1)], DEFAULT, {}))
    assert listed.covered_until == NOON - 5 * HOUR


def test_image_that_never_was_read_makes_its_scope_stale() -> None:
    """A scope with an image that was never read is stale, however fresh its other streams are."""
    streams = [stream(None, 1), stream("a", 1), stream("b", None, outcome="denied")]
    state = only(*freshness(streams, DEFAULT, {}))
    assert state.covered_until is None
    assert state.is_stale(NOON, 1000 * HOUR)
    assert [one.image_name for one in state.streams if one.incomplete] == ["b"]


def test_excluded_image_does_not_count() -> None:
    """An image that the configuration now excludes does not make its scope stale."""
    wanted = (Account(images=Images(exclude=("scratch-*",))),)
    state = only(*freshness([stream(None, 1), stream("a", 1), stream("scratch-1", 900)], wanted, {}))
    assert state.covered_until == NOON - HOUR
    assert [image.image_name for image in state.images] == ["a"]


def test_named_entry_decides_for_the_scope_that_it_led_to() -> None:
    """If two profiles read one region, each scope uses the image patterns of the profile that found it."""
    other = Scope("444455556666", "us-east-1")
    accounts = (
        Account(profile="one", regions=("us-east-1",), images=Images(include=("a*",))),
        Account(profile="two", regions=("us-east-1",), images=Images(include=("b*",))),
    )
    led_to = {
        ("profile one", "us-east-1"): EAST.account_id,
        ("profile two", "us-east-1"): other.account_id,
    }
    streams = [
        stream(image, age, scope) for scope in (EAST, other) for image, age in ((None, 1), ("a", 2), ("b", 3))
    ]
    first, second = freshness(streams, accounts, led_to)
    assert (first.covered_until, second.covered_until) == (NOON - 2 * HOUR, NOON - 3 * HOUR)


def test_scope_that_is_not_configured_is_never_stale() -> None:
    """A region that is no longer configured is reported with its age, but is never stale."""
    streams = [stream(None, 1), stream(None, 900, WEST), stream("a", 900, WEST)]
    west, east = freshness(streams, (Account(regions=("us-east-1",)),), {})
    assert (west.name, west.wanted, east.wanted) == ("111122223333/eu-west-1", False, True)
    assert len(west.images) == 1
    assert not west.is_stale(NOON, HOUR)


@pytest.mark.parametrize(
    ("account", "led_to", "missing"),
    [
        (Account(), {}, ["the default credentials"]),
        (Account(regions=("us-east-1",)), {}, ["the default credentials in us-east-1"]),
        (Account(profile="p"), {}, ["profile p"]),
        (Account(profile="p"), {("profile p", "us-east-1"): "1"}, []),
        (Account(profile="p", regions="all"), {}, ["profile p"]),
        (Account(profile="p", regions="all"), {("profile p", "us-east-1"): "1"}, []),
        (
            Account(profile="p", regions=("us-east-1", "eu-west-1")),
            {("profile p", "us-east-1"): "1"},
            ["profile p in eu-west-1"],
        ),
        (
            Account(role_arn="arn:aws:iam::111122223333:role/r", regions=("eu-west-1",)),
            {("profile p", "eu-west-1"): "1"},
            ["role arn:aws:iam::111122223333:role/r in eu-west-1"],
        ),
    ],
    ids=["default", "region", "profile", "profile-was-synced", "all", "all-synced", "second-region", "role"],
)
def test_configured_scope_that_never_was_synced_is_stale(
    account: Account, led_to: dict[tuple[str, str], str], missing: list[str]
) -> None:
    """A scope that is configured and was never synced is stale, under the name of its configuration entry."""
    states = freshness([], (account,), led_to)
    assert [state.name for state in states] == missing
    assert all(state.is_stale(NOON, 1000 * HOUR) and state.newest is None for state in states)


def test_default_credentials_were_synced_once_their_region_is_stored() -> None:
    """The default credentials have no recorded name, so any stored scope in their region counts as synced by them."""
    states = freshness([stream(None, 1)], (Account(regions=("us-east-1", "eu-west-1")),), {})
    assert [state.name for state in states] == [
        "111122223333/us-east-1",
        "the default credentials in eu-west-1",
    ]


def test_account_that_is_read_in_all_regions_wants_each_of_its_scopes() -> None:
    """If an account is read in all regions, each of its stored scopes can be stale."""
    streams = [stream(None, 1), stream(None, 900, WEST)]
    led_to = {("profile p", scope.region): scope.account_id for scope in (EAST, WEST)}
    west, east = freshness(streams, (Account(profile="p", regions="all"),), led_to)
    assert (west.is_stale(NOON, HOUR), east.is_stale(NOON, HOUR)) == (True, False)


def test_accounts_of_an_organization_are_those_that_were_read_with_its_role() -> None:
    """The accounts of an organization are those read with its role and not excluded, and its own account if read."""
    organization = Organization(
        role_name="reader",
        profile="root",
        exclude=Members(accounts=("333333333333",)),
        regions=("us-east-1",),
    )
    config = Config(organization=organization)
    roles = ["111122223333:role/reader", "333333333333:role/reader", "444455556666:role/other"]
    led_to = {(f"role arn:aws:iam::{role}", "us-east-1"): role[:12] for role in roles}
    led_to["profile root", "us-east-1"] = "123456789012"
    found = configured(config, led_to)
    assert [account.identity for account in found] == [
        "profile root",
        "role arn:aws:iam::111122223333:role/reader",
    ]
    only = replace(organization, include=Members(accounts=("555555555555",)))
    assert roles[0] not in str(configured(replace(config, organization=only), led_to))
    never = freshness([stream(None, 1)], configured(config, {}), {})
    assert [state.name for state in never if state.wanted] == ["role arn:*:iam::*:role/reader"]
