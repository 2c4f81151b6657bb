"""`simulate` on the command line, with the AWS CLI as its client."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from image_history.cli.simulate import command
from image_history.errors import ConfigError
from image_history.simulator import Simulator, generate

ROOT = Path(__file__).parents[2]
AWS = Path(sys.executable).parent / "aws"
START = "from image_history.cli.simulate import command; command()"


@contextmanager
def simulate(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run the command in a process of its own, and kill it if the test did not end it."""
    process = subprocess.Popen(
        [sys.executable, "-c", START, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def aws(environment: dict[str, str], *arguments: str) -> Any:
    """The decoded output of the AWS CLI."""
    result = subprocess.run(
        [sys.executable, AWS, "sagemaker", *arguments, "--output", "json"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    """A server for the AWS CLI."""
    with Simulator(generate(9, images=12, versions_per_image=23)) as simulator:
        yield simulator


def test_aws_cli_lists_versions_page_by_page(simulator: Simulator) -> None:
    """--max-items and --starting-token stop and resume a listing; --page-size sets a request's page size."""
    image = simulator.world.image_truth()[0].image_name
    order = ("--image-name", image, "--sort-by", "VERSION", "--sort-order", "ASCENDING")
    simulator.counters.reset()
    first = aws(
        simulator.environment(), "list-image-versions", *order, "--max-items", "13", "--page-size", "5"
    )
    assert [entry.parameters["MaxResults"] for entry in simulator.counters.log] == [5, 5, 5]
    rest = aws(
        simulator.environment(),
        *("list-image-versions", *order, "--page-size", "5", "--starting-token", first["NextToken"]),
    )
    rows = first["ImageVersions"] + rest["ImageVersions"]
    assert [row["Version"] for row in rows] == list(range(1, 24))
    assert len(first["ImageVersions"]) == 13


def test_aws_cli_other_operations(simulator: Simulator) -> None:
    """list-images, describe-image-version and list-aliases of the AWS CLI work unchanged."""
    environment = simulator.environment()
    images = aws(
        environment, "list-images", "--page-size", "5", "--sort-by", "IMAGE_NAME", "--sort-order", "ASCENDING"
    )
    assert [image["ImageName"] for image in images["Images"]] == [
        image.image_name for image in simulator.world.image_truth()
    ]
    name = images["Images"][0]["ImageName"]
    version = aws(environment, "describe-image-version", "--image-name", name, "--version-number", "7")
    assert (version["Version"], version["ImageVersionStatus"][:6]) == (7, "CREATE")
    assert aws(environment, "list-aliases", "--image-name", name) == {
        "SageMakerImageVersionAliases": ["latest", "stable"]
    }


def test_print_env_until_terminated() -> None:
    """--print-env prints the variables for clients; the server answers until SIGTERM, then exits with 0."""
    with simulate("--print-env", "--images", "3", "--versions", "2", "--largest", "2") as process:
        assert process.stdout is not None
        environment = dict(process.stdout.readline().strip().split("=", 1) for _ in range(5))
        assert set(environment) == {
            "AWS_ENDPOINT_URL",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_DEFAULT_REGION",
            "AWS_EC2_METADATA_DISABLED",
        }
        with urllib.request.urlopen(f"{environment['AWS_ENDPOINT_URL']}/_admin/health") as answer:
            assert json.load(answer)["images"] == 3
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_simulate_tells_how_to_use_it(tmp_path: Path) -> None:
    """The printed text names the endpoint, the variables of each account, and the admin pages; switches apply."""
    script = tmp_path / "script.json"
    script.write_text("[]")
    arguments = ["--account", "111122223333", "--account", "444455556666", "--region", "eu-west-1"]
    switches = [
        "--tokens",
        "offset",
        "--page-then-filter",
        "--rate",
        "2",
        "--script",
        str(script),
        "--seed",
        "3",
    ]
    with simulate(*arguments, *switches) as process:
        assert process.stdout is not None
        lines: list[str] = []
        while not lines or not lines[-1].startswith("Ctrl-C"):
            lines.append(process.stdout.readline())
        url = lines[0].split()[-1]
        assert lines.count(f"export AWS_ENDPOINT_URL={url}\n") == 2
        assert "export AWS_ACCESS_KEY_ID=AKIASIMULATOR444455556666\n" in lines
        assert f"curl {url}/_admin/truth\n" in lines
        with urllib.request.urlopen(f"{url}/_admin/behaviour") as answer:
            behaviour = json.load(answer)
        assert (behaviour["tokens"], behaviour["filtering"]) == ("offset", "page_then_filter")
        assert (behaviour["list_per_second"], behaviour["create_ms"]) == (2, 370)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


def test_simulate_serves_a_file(tmp_path: Path) -> None:
    """--world serves the versions of a file, in the file's scope."""
    world = tmp_path / "world.csv"
    world.write_text("image,version,creation time,account id,region\na,1,5,123456789012,eu-west-3\n")
    with simulate("--world", str(world), "--create-ms", "0") as process:
        assert process.stdout is not None
        text = "".join(process.stdout.readline() for _ in range(8))
        assert "1 image and 1 version in 123456789012/eu-west-3" in text
        assert "export AWS_DEFAULT_REGION=eu-west-3" in text
        process.terminate()
        assert process.wait(20) == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        pytest.param(["--port", "{port}"], "port {port} .* already in use; choose another", id="port"),
        pytest.param(["--account", "12"], "'12' is not 12 digits", id="account"),
        pytest.param(["--world", "{world}"], "line 1: there is no column image_name", id="world"),
        pytest.param(["--script", "{world}"], "is not a valid script", id="script"),
        pytest.param(["--world", "{world}", "--images", "3"], "--images has no meaning", id="both"),
    ],
)
def test_simulate_mistake(simulator: Simulator, tmp_path: Path, arguments: list[str], complaint: str) -> None:
    """A wrong option or file is a ConfigError that names the mistake."""
    world = tmp_path / "world.csv"
    world.write_text("version\n")
    values = {"port": simulator.port, "world": world}
    result = CliRunner().invoke(command, [argument.format(**values) for argument in arguments])
    assert isinstance(result.exception, ConfigError)
    with pytest.raises(ConfigError, match=complaint.format(**values)):
        raise result.exception


def test_simulate_imports_no_server_for_help() -> None:
    """Importing the verb, as for its help text, does not import the HTTP library."""
    code = "import sys, image_history.cli.simulate; print('aiohttp' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == "False\n"


def status_of_list_images(environment: dict[str, str]) -> int:
    """The HTTP status of a request for the list of images."""
    scope = f"20260101/{environment['AWS_DEFAULT_REGION']}/sagemaker/aws4_request"
    headers = {
        "X-Amz-Target": "SageMaker.ListImages",
        "Content-Type": "application/x-amz-json-1.1",
        "Authorization": f"AWS4-HMAC-SHA256 Credential={environment['AWS_ACCESS_KEY_ID']}/{scope}, x",
    }
    try:
        with urllib.request.urlopen(
            urllib.request.Request(environment["AWS_ENDPOINT_URL"], b"{}", headers)
        ) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_simulate_makes_the_faults_of_a_file(tmp_path: Path) -> None:
    """--faults makes the faults of a file from the first request on; a file with an unknown fault is refused."""
    faults = tmp_path / "faults.json"
    faults.write_text('[{"kind": "throttling", "operation": "ListImages", "nth": 1}]')
    with simulate("--print-env", "--images", "1", "--faults", str(faults)) as process:
        assert process.stdout is not None
        environment = dict(process.stdout.readline().strip().split("=", 1) for _ in range(5))
        assert [status_of_list_images(environment) for _ in range(3)] == [400, 200, 200]
        with urllib.request.urlopen(f"{environment['AWS_ENDPOINT_URL']}/_admin/faults") as answer:
            told = json.load(answer)
        assert told == {"rules": json.loads(faults.read_text()), "injected": {"throttling": 1}}
    faults.write_text('[{"kind": "fire"}]')
    refused = CliRunner().invoke(command, ["--faults", str(faults)])
    assert isinstance(refused.exception, ConfigError)
    assert "there is no fault 'fire'" in str(refused.exception)
