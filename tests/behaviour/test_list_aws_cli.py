from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from image_history.simulator import Simulator, generate
from tests.behaviour.listing import Tool, unmodified_client


@pytest.fixture
def tool(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[Tool]:
    """A simulated AWS that the environment variables point to."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IMAGE_HISTORY_RATE__LIST_PER_SECOND", "10000")
    with Simulator(generate(23, images=1, versions_per_image=27)) as simulator:
        for name, value in simulator.environment().items():
            monkeypatch.setenv(name, value)
        image = simulator.world.image_truth()[0].image_name
        yield Tool(simulator, image, unmodified_client(simulator), capsys)


def aws(tool: Tool, *arguments: str) -> tuple[list[object], str | None]:
    """The version numbers that the AWS CLI lists, and its token to continue with."""
    command = Path(sys.executable).with_name("aws")
    ran = subprocess.run(
        [
            command,
            "sagemaker",
            "list-image-versions",
            "--image-name",
            tool.image,
            "--output",
            "json",
            *arguments,
        ],
        env=os.environ.copy(),
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(ran.stdout)
    return [row["Version"] for row in found["ImageVersions"]], found.get("NextToken")


def test_list_continues_what_the_aws_cli_cut_and_the_other_way_round(tool: Tool) -> None:
    """`aws ... --max-items`, then `list --max-items`, then `aws` again give every version once, in order."""
    first, token = aws(tool, "--max-items", "13")
    assert token is not None
    second = tool.listed("--starting-token", token, "--max-items", "8")
    assert second.token is not None
    third, end = aws(tool, "--starting-token", second.token)
    assert [*first, *(row[1] for row in second.rows), *third] == list(range(27, 0, -1))
    assert end is None
