"""The admin interface and scripts: truth, counters, switches, clock, and changes to the world."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from image_history.errors import ConfigError
from image_history.simulator import Script, Simulator, World

Serve = Callable[..., Simulator]
Clients = Callable[..., Any]
Admin = Callable[..., Any]
Pages = Callable[..., list[list[int]]]


def test_truth_tells_every_member(world: World, serve: Serve, admin: Admin) -> None:
    """The truth over HTTP equals the world's truth, and can be filtered by account, region and image."""
    world.create_image("other")
    world.create_version("other", failure_reason="because", aliases=["a", "b"])
    simulator = serve(world)
    told = admin(simulator, "truth?image_name=other")
    row = world.truth(image_name="other")[0]
    assert told["versions"] == [
        {
            "account_id": "111122223333",
            "region": "us-east-1",
            "image_name": "other",
            "version": 1,
            "image_arn": "arn:aws:sagemaker:us-east-1:111122223333:image/other",
            "image_version_arn": "arn:aws:sagemaker:us-east-1:111122223333:image-version/other/1",
            "status": "CREATE_FAILED",
            "failure_reason": "because",
            "creation_ms": row.creation_ms,
            "last_modified_ms": row.last_modified_ms,
            "aliases": ["a", "b"],
            "details": {},
        }
    ]
    assert [image["version_count"] for image in told["images"]] == [1]
    assert len(admin(simulator, "truth")["versions"]) == 6
    assert admin(simulator, "truth?region=eu-west-1") == {"images": [], "versions": []}
    assert admin(simulator, "truth?account_id=111122223333&region=us-east-1&image_name=base")["versions"]


def test_counters_over_http(world: World, serve: Serve, admin: Admin, client: Clients) -> None:
    """The admin interface returns the counters and the log, and resets them on request."""
    simulator = serve(world)
    client(simulator).list_image_versions(ImageName="base")
    totals = admin(simulator, "counters")
    assert (totals["calls"], totals["rows"], totals["errors"]) == ({"ListImageVersions": 1}, 5, {})
    assert totals["calls_by_image"] == {"base": {"ListImageVersions": 1}}
    assert admin(simulator, "log")["requests"][0]["parameters"] == {"ImageName": "base"}
    assert admin(simulator, "counters/reset", method="POST")["requests"] == 1
    assert admin(simulator, "counters")["requests"] == 0


def test_behaviour_over_http(world: World, serve: Serve, admin: Admin) -> None:
    """Switches can be read and changed one by one; a wrong switch or value is refused with a hint."""
    simulator = serve(world, tie_seed=3)
    changed = admin(simulator, "behaviour", {"tokens": "offset", "lowercase_arns": True}, "PATCH")
    assert changed == admin(simulator, "behaviour")
    assert (changed["tokens"], changed["lowercase_arns"], changed["tie_seed"]) == ("offset", True, 3)
    assert (simulator.behaviour.tokens, world.rules.arns.lowercase) == ("offset", True)
    assert "there is no switch 'token'; the switches are" in admin(
        simulator, "behaviour", {"token": 1}, "PATCH"
    )
    assert "tokens" in admin(simulator, "behaviour", {"tokens": "page"}, "PATCH")
    assert "wrong value" in admin(simulator, "behaviour", {"latency_ms": "slow"}, "PATCH")
    assert "not what is expected" in admin(simulator, "behaviour", [], "PATCH")


def test_clock_over_http(world: World, serve: Serve, admin: Admin) -> None:
    """The clock can be read, advanced, set, frozen and resumed."""
    simulator = serve(world)
    now_ms = world.clock.now_ms()
    assert admin(simulator, "clock") == {"now_ms": now_ms, "frozen": True}
    assert admin(simulator, "clock", {"advance_ms": 5})["now_ms"] == now_ms + 5
    assert admin(simulator, "clock", {"set_ms": 1_000, "advance_ms": 1}) == {"now_ms": 1_001, "frozen": True}
    assert admin(simulator, "clock", {"frozen": False})["frozen"] is False
    assert admin(simulator, "clock", {"frozen": True})["frozen"] is True


def test_actions_over_http(world: World, serve: Serve, admin: Admin) -> None:
    """Every change that a program can make to the world can be made over HTTP."""
    simulator = serve(world)
    world.clock.advance(10)
    actions = [
        {"do": "create_image", "image": "n", "display_name": "N"},
        {"do": "update_image", "image": "n", "description": "text"},
        {
            "do": "create_version",
            "image": "n",
            "count": 3,
            "aliases": ["top"],
            "details": {"processor": "GPU"},
        },
        {"do": "create_version", "image": "n", "failure_reason": "why"},
        {"do": "update_version", "image": "n", "version": 1, "details": {"processor": "CPU"}},
        {
            "do": "set_status",
            "image": "n",
            "version": 2,
            "status": "DELETE_FAILED",
            "failure_reason": "in use",
        },
        {"do": "move_alias", "image": "n", "alias": "top", "version": 1},
        {"do": "move_alias", "image": "n", "alias": "other", "version": 1},
        {"do": "delete_alias", "image": "n", "alias": "other"},
        {"do": "delete_version", "image": "n", "version": 3},
        {"do": "put_version", "image": "n", "version": 9, "creation_ms": 1, "last_modified_ms": 2},
        {"do": "delete_image", "image": "base"},
        {"do": "advance_clock", "milliseconds": 7},
        {"do": "set_behaviour", "switches": {"filters": "exclusive"}},
        {"do": "create_image", "image": "far", "account_id": "999988887777", "region": "eu-west-1"},
    ]
    before_ms = world.clock.now_ms()
    assert admin(simulator, "actions", actions) == {"count": 15}
    assert [(row.version, row.status, row.failure_reason, row.aliases) for row in world.truth()] == [
        (1, "CREATED", None, ("top",)),
        (2, "DELETE_FAILED", "in use", ()),
        (4, "CREATE_FAILED", "why", ()),
        (9, "CREATED", None, ()),
    ]
    assert [row.details.processor for row in world.truth()] == ["CPU", "GPU", None, None]
    images = [
        (row.account_id, row.image_name, row.display_name, row.description) for row in world.image_truth()
    ]
    assert images == [("111122223333", "n", "N", "text"), ("999988887777", "far", None, None)]
    assert (world.clock.now_ms() - before_ms, simulator.behaviour.filters) == (7, "exclusive")
    assert admin(simulator, "actions", {"do": "create_version", "image": "n"}) == {"count": 1}


@pytest.mark.parametrize(
    ("action", "text"),
    [
        pytest.param({"do": "delete_image", "image": "nope"}, "no image nope", id="missing-image"),
        pytest.param({"do": "explode"}, "Invalid value 'explode'", id="unknown-action"),
        pytest.param({"do": "delete_image"}, "`image`", id="missing-member"),
        pytest.param(
            {"do": "delete_image", "image": "base", "when": 1}, "unknown field `when`", id="unknown-member"
        ),
    ],
)
def test_actions_mistake(world: World, serve: Serve, admin: Admin, action: object, text: str) -> None:
    """A wrong action is refused with a message that names the mistake, and changes nothing."""
    before = world.truth()
    assert text in admin(serve(world), "actions", action)
    assert world.truth() == before


def test_health_names_the_scopes(world: World, serve: Serve, admin: Admin) -> None:
    """Health returns the accounts with their keys, the regions and the number of images."""
    assert admin(serve(world), "health") == {
        "ok": True,
        "accounts": {"111122223333": "AKIASIMULATOR111122223333"},
        "regions": ["us-east-1"],
        "images": 1,
        "script_failures": [],
    }


def test_admin_other_host_name_is_refused(world: World, serve: Serve) -> None:
    """A request with another host name is refused, so that a web page cannot read the admin interface."""
    connection = http.client.HTTPConnection("127.0.0.1", serve(world).port)
    connection.request("GET", "/_admin/truth", headers={"Host": "evil.example"})
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())) == (
        403,
        {"error": "the admin interface answers only this machine"},
    )
    connection.close()


def script(*steps: dict[str, Any]) -> Script:
    """A script with these steps."""
    return Script.parse(json.dumps(steps).encode())


def test_script_step_after_requests(world: World, serve: Serve, client: Clients) -> None:
    """A step happens after the n-th matching response, so the next request sees its change."""
    simulator = serve(world)
    simulator.play(
        script(
            {
                "after_requests": 2,
                "operation": "ListImageVersions",
                "image": "base",
                "action": {"do": "delete_version", "image": "base", "version": 1},
            },
            {"after_requests": 4, "action": {"do": "create_image", "image": "fourth"}},
        )
    )
    sagemaker = client(simulator)
    world.create_image("other")
    sagemaker.list_images()
    sagemaker.list_image_versions(ImageName="other")
    assert len(sagemaker.list_image_versions(ImageName="base")["ImageVersions"]) == 5
    assert len(sagemaker.list_image_versions(ImageName="base")["ImageVersions"]) == 5
    assert len(sagemaker.list_image_versions(ImageName="base")["ImageVersions"]) == 4
    assert {image["ImageName"] for image in sagemaker.list_images()["Images"]} == {"base", "other", "fourth"}


def test_script_step_at_an_instant(world: World, serve: Serve, client: Clients, admin: Admin) -> None:
    """A step happens at its virtual instant, and its change has that time."""
    simulator = serve(world)
    due_ms = world.clock.now_ms() + 1_000
    steps = [{"at": due_ms, "action": {"do": "create_version", "image": "base"}}]
    assert admin(simulator, "script", steps) == {"count": 1}
    sagemaker = client(simulator)
    world.clock.advance(999)
    assert sagemaker.describe_image_version(ImageName="base")["Version"] == 5
    world.clock.advance(60_000)
    assert sagemaker.describe_image_version(ImageName="base")["Version"] == 6
    assert world.truth()[5].creation_ms == due_ms


def test_script_iso_instant(world: World, serve: Serve) -> None:
    """An instant may be written as ISO 8601 with an offset."""
    simulator = serve(world)
    simulator.play(
        script({"at": "2026-01-01T00:00:00+01:00", "action": {"do": "create_version", "image": "base"}})
    )
    assert [row.version for row in world.truth()][-1] == 6


def test_script_failing_step_is_told(world: World, serve: Serve, client: Clients, admin: Admin) -> None:
    """A step that fails breaks no request, and health reports the failure."""
    simulator = serve(world)
    simulator.play(script({"after_requests": 1, "action": {"do": "delete_image", "image": "nope"}}))
    client(simulator).list_images()
    assert simulator.failures == ["the simulated world has no image nope in 111122223333/us-east-1"]
    assert admin(simulator, "health")["ok"] is False


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param(
            '[{"action": {"do": "delete_image", "image": "a"}}]', "either after_requests or at", id="none"
        ),
        pytest.param(
            '[{"after_requests": 0, "action": {"do": "delete_image", "image": "a"}}]', "at least 1", id="zero"
        ),
        pytest.param('[{"after_requests": 1}]', "`action`", id="no-action"),
        pytest.param("[{", "truncated", id="no-json"),
    ],
)
def test_script_mistake(tmp_path: Path, text: str, complaint: str) -> None:
    """A wrong script names its file and the mistake."""
    path = tmp_path / "script.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=complaint) as caught:
        Script.read(path)
    assert str(path) in str(caught.value)


def test_script_missing_file(tmp_path: Path) -> None:
    """A missing script file is refused with the system's reason."""
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        Script.read(tmp_path / "none.json")
