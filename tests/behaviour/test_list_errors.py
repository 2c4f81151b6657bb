from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from image_history.cli import run
from image_history.simulator import Exchange, Simulator, generate

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Simulator]:
    """A simulated AWS that the environment variables point to; a failed call is not retried."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IMAGE_HISTORY_RATE__LIST_PER_SECOND", "10000")
    monkeypatch.setenv("IMAGE_HISTORY_RETRY__ATTEMPTS", "1")
    with Simulator(generate(5, images=1, versions_per_image=12)) as simulator:
        for name, value in simulator.environment().items():
            monkeypatch.setenv(name, value)
        yield simulator


def image(simulator: Simulator) -> str:
    """The name of the only image."""
    return simulator.world.image_truth()[0].image_name


def refused(capsys: Capture, *arguments: str) -> tuple[int, str]:
    """The exit code of a command that must fail, and its last line on stderr; stdout must be empty."""
    code = run(["list", *arguments])
    said = capsys.readouterr()
    assert said.out == ""
    return code, said.err.splitlines()[-1]


def answering(simulator: Simulator, status: int, content: dict[str, Any]) -> None:
    """Let the simulator give this answer to every request."""

    async def answer(_: web.Request, exchange: Exchange) -> web.StreamResponse:
        return web.Response(status=status, headers=exchange.headers, body=json.dumps(content).encode())

    simulator.fault = answer


def test_list_of_an_unknown_image(simulator: Simulator, capsys: Capture) -> None:
    """With an unknown image, the command exits with 2 and names the images that exist."""
    code, line = refused(capsys, "nope")
    assert code == 2
    assert line == (
        "image-history: There is no image nope for the default credentials in us-east-1; there are: vision-training."
    )


def test_list_without_credentials(
    simulator: Simulator, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without credentials, the command exits with 3 and says what to do."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    code, line = refused(capsys, image(simulator))
    assert code == 3
    assert "Unable to locate credentials" in line
    assert "Set AWS_PROFILE" in line


def test_list_where_access_is_denied(simulator: Simulator, capsys: Capture) -> None:
    """If a call is denied, the command exits with 3 and names the action to allow."""
    answering(simulator, 400, {"__type": "AccessDeniedException", "message": "User: x is not authorized"})
    code, line = refused(capsys, image(simulator))
    assert code == 3
    assert line.endswith("User: x is not authorized (HTTP 400). Allow sagemaker:ListImageVersions.")


def test_list_of_images_where_access_is_denied(simulator: Simulator, capsys: Capture) -> None:
    """Without an image too, a denied call ends the command with 3, and the message names the action to allow."""
    answering(simulator, 400, {"__type": "AccessDeniedException", "message": "User: x is not authorized"})
    code, line = refused(capsys)
    assert code == 3
    assert line.endswith("User: x is not authorized (HTTP 400). Allow sagemaker:ListImages.")


def test_list_where_nobody_listens(
    simulator: Simulator, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the server cannot be reached, the command exits with 6."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed.getsockname()[1]}")
        code, line = refused(capsys, image(simulator))
    assert code == 6
    assert "Could not connect to the endpoint URL" in line


def test_list_of_malformed_answers(simulator: Simulator, capsys: Capture) -> None:
    """If a successful answer is invalid, the command exits with 6 and does not print an empty list."""
    answering(simulator, 200, {})
    code, line = refused(capsys, image(simulator))
    assert code == 6
    assert "no valid answer" in line


@pytest.mark.parametrize("length", [1, 2, 3])
def test_list_of_repeated_tokens(simulator: Simulator, capsys: Capture, length: int) -> None:
    """If tokens repeat in a cycle of any length, the command exits with 6 instead of listing without end."""

    async def cycle(_: web.Request, exchange: Exchange) -> web.StreamResponse:
        content = {"ImageVersions": [], "NextToken": f"token {exchange.number % length}"}
        return web.Response(headers=exchange.headers, body=json.dumps(content).encode())

    simulator.fault = cycle
    code, line = refused(capsys, image(simulator))
    assert code == 6
    assert "repeats a pagination token" in line
    assert simulator.counters.calls() <= length + 1


def test_list_with_a_token_that_aws_refuses(simulator: Simulator, capsys: Capture) -> None:
    """If AWS refuses a token, the command exits with 2 and says that a token needs its original options."""
    code, line = refused(capsys, image(simulator), "--starting-token", "stale")
    assert code == 2
    assert "A token goes on only with the options that it was made with" in line


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["a b"], "Member must satisfy regular expression pattern"),
        ([""], "Invalid length for parameter ImageName"),
        (["x", "--starting-token", ""], "The starting token has 0 characters"),
        (["x", "--page-size", "101"], "101 is not in the range 1<=x<=100"),
        (["x", "--max-items", "0"], "0 is not in the range x>=1"),
        (["x", "--sort-by", "SIZE"], "'SIZE' is not one of"),
        (
            ["x", "--creation-time-before", "2026-01-01T00:00:00.5"],
            "Invalid value for '--creation-time-before'",
        ),
        (["x", "--profile", "a", "--role-arn", "b"], "--profile and --role-arn exclude each other"),
        (["x", "--profile", "nobody"], "The config profile (nobody) could not be found"),
    ],
)
def test_list_with_wrong_arguments(
    simulator: Simulator, capsys: Capture, arguments: list[str], reason: str
) -> None:
    """With wrong arguments, the command exits with 2 and names the mistake."""
    code, line = refused(capsys, *arguments)
    assert code == 2
    assert reason in line


def test_list_with_several_scopes_asks_for_one(simulator: Simulator, capsys: Capture, tmp_path: Path) -> None:
    """With several configured scopes, the error lists them, and --region chooses one."""
    text = "accounts:\n  - regions: [us-east-1, eu-west-1]\n"
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    code, line = refused(capsys, image(simulator))
    assert code == 2
    assert "the default credentials in us-east-1, the default credentials in eu-west-1" in line
    assert run(["list", image(simulator), "--region", "us-east-1"]) == 0


def test_list_without_an_image_lists_images_alone(simulator: Simulator, capsys: Capture) -> None:
    """Without an image name, images are listed; an option about versions is refused with the reason."""
    assert run(["list"]) == 0
    assert "vision-training" in capsys.readouterr().out
    code, line = refused(capsys, "--max-items", "3")
    assert (code, "--max-items is about the versions of an image: name the image" in line) == (2, True)


def test_list_names_the_nearest_image(simulator: Simulator, capsys: Capture) -> None:
    """For a misspelt name, or one in another case, the error suggests the nearest image."""
    for name in ("vison-training", "VISION-TRAINING"):
        code, line = refused(capsys, name)
        assert (code, line.endswith("; the nearest: vision-training.")) == (2, True)
