"""Requests and responses of the simulator, compared with botocore's model of the service."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from image_history.simulator import Behaviour, Shares, Simulator, generate
from image_history.simulator.validation import CONSTRAINTS, REQUESTS

OPERATIONS = ("ListImages", "ListImageVersions", "DescribeImage", "DescribeImageVersion", "ListAliases")
ALLOWED_ERRORS = {"ListImages": {"ValidationException"}}
EVERY_LIST_ERROR = {"ValidationException", "ResourceNotFound"}
Violations = Callable[..., list[str]]


class RawClient:
    """Sends requests that botocore would refuse to send."""

    def __init__(self, simulator: Simulator) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", simulator.port)
        key = simulator.environment()["AWS_ACCESS_KEY_ID"]
        credential = f"{key}/20261123/us-east-1/sagemaker/aws4_request"
        self._headers = {
            "Content-Type": "application/x-amz-json-1.1",
            "Authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0",
        }

    def call(self, operation: str, parameters: object) -> tuple[int, dict[str, str], Any]:
        headers = {**self._headers, "X-Amz-Target": f"SageMaker.{operation}"}
        self._connection.request("POST", "/", json.dumps(parameters).encode(), headers)
        answer = self._connection.getresponse()
        return answer.status, dict(answer.getheaders()), json.loads(answer.read())

    def close(self) -> None:
        self._connection.close()


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    """One server for all tests; each test sets the switches that it needs."""
    world = generate(3, images=6, versions_per_image=30, shares=Shares(failed=0.3, deleted=0.1))
    with Simulator(world) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def raw(simulator: Simulator) -> Iterator[RawClient]:
    """A raw client of the server."""
    client = RawClient(simulator)
    yield client
    client.close()


def members_of(operation: str) -> dict[str, str]:
    """The wire name of each member that the simulator reads."""
    return {field.name: field.encode_name for field in msgspec.structs.fields(REQUESTS[operation])}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_requests_read_every_member(model: Any, operation: str) -> None:
    """The simulator reads exactly the members that the model names, apart from three members that requests share."""
    shape = model.operation_model(operation).input_shape
    shared = {"ImageName", "MaxResults", "NextToken"}
    assert set(members_of(operation).values()) | shared == set(shape.members) | shared


@pytest.mark.parametrize("operation", OPERATIONS)
def test_constraints_equal_the_model(model: Any, operation: str) -> None:
    """The simulator enforces each limit, pattern, choice and requirement of the model, and no others."""
    shape = model.operation_model(operation).input_shape
    names = members_of(operation)
    enforced = {names[each.member]: each for each in CONSTRAINTS[REQUESTS[operation]]}
    for name, member in shape.members.items():
        if member.type_name == "timestamp":
            assert name not in enforced
            continue
        limits = member.metadata
        constraint = enforced[name]
        assert (constraint.required, constraint.most, constraint.pattern, list(constraint.choices)) == (
            name in shape.required_members,
            limits.get("max"),
            limits.get("pattern"),
            limits.get("enum", []),
        )
        assert (constraint.least or 0) == limits.get("min", 0)
    assert set(enforced) <= set(shape.members)


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """Valid requests, most of them for existing images; ImageName is a number, which the test replaces by a name."""
    operation = draw(st.sampled_from(OPERATIONS))
    instants = st.integers(1_672_000_000, 1_783_000_000)
    members: dict[str, st.SearchStrategy[Any]] = {
        "CreationTimeAfter": instants,
        "CreationTimeBefore": instants,
        "LastModifiedTimeAfter": instants,
        "LastModifiedTimeBefore": instants,
        "MaxResults": st.integers(1, 100),
        "SortOrder": st.sampled_from(["ASCENDING", "DESCENDING"]),
        "SortBy": st.sampled_from(
            ["CREATION_TIME", "LAST_MODIFIED_TIME", "IMAGE_NAME" if operation == "ListImages" else "VERSION"]
        ),
        "NameContains": st.from_regex("[a-zA-Z0-9.-]{1,3}", fullmatch=True),
        "Version": st.integers(0, 40),
        "Alias": st.sampled_from(["latest", "stable", "v1.0"]),
        "NextToken": st.text("abcXYZ019+/=", max_size=40),
    }
    optional = {name: members[name] for name in members_of(operation).values() if name in members}
    if not operation.startswith("List"):
        optional = {name: each for name, each in optional.items() if name in {"Version", "Alias"}}
    chosen = draw(st.fixed_dictionaries({}, optional=optional))
    if operation != "ListImages":
        chosen["ImageName"] = draw(st.integers(0, 6))
    return operation, chosen


BEHAVIOURS = st.builds(
    Behaviour,
    lowercase_arns=st.just(value=True),
    arn_none=st.booleans(),
    filtering=st.sampled_from(["filter_then_page", "page_then_filter"]),
    tokens=st.sampled_from(["keyset", "offset", "snapshot"]),
)


@settings(max_examples=400)
@given(request_=requests(), behaviour=BEHAVIOURS)
def test_responses_satisfy_the_model(  # noqa: PLR0917 - fixtures
    request_: tuple[str, dict[str, Any]],
    behaviour: Behaviour,
    simulator: Simulator,
    raw: RawClient,
    model: Any,
    violations: Violations,
) -> None:
    """The response to any valid request has the members, types, choices and lengths of the model."""
    operation, parameters = request_
    names = [row.image_name for row in simulator.world.image_truth()]
    if "ImageName" in parameters:
        parameters = {**parameters, "ImageName": [*names, "no-such-image"][parameters["ImageName"]]}
    assert not violations(model.operation_model(operation).input_shape, parameters)
    simulator.behaviour = behaviour
    status, _, body = raw.call(operation, parameters)
    if status == 200:
        assert not violations(model.operation_model(operation).output_shape, body)
        assert not operation.startswith("List") or any(isinstance(value, list) for value in body.values())
    else:
        assert (status, set(body)) == (400, {"__type", "message"})
        assert body["__type"] in ALLOWED_ERRORS.get(operation, EVERY_LIST_ERROR)
        assert body["__type"] != "ValidationException" or parameters.get("NextToken")


def test_responses_every_version_satisfies_the_model(
    simulator: Simulator, raw: RawClient, model: Any, violations: Violations
) -> None:
    """For every existing version, the described response fits the model and has all members of the listed item."""
    simulator.behaviour = Behaviour(lowercase_arns=True)
    shape = model.operation_model("DescribeImageVersion").output_shape
    for image in simulator.world.image_truth():
        listed = raw.call("ListImageVersions", {"ImageName": image.image_name, "MaxResults": 100})[2]
        for row in listed["ImageVersions"]:
            wanted = {"ImageName": image.image_name, "Version": row["Version"]}
            described = raw.call("DescribeImageVersion", wanted)[2]
            assert not violations(shape, described)
            assert row.items() <= described.items()
            assert described["Horovod"] in (True, False)


def test_responses_upper_case_names_break_only_the_arn_pattern(
    simulator: Simulator, raw: RawClient, model: Any, violations: Violations
) -> None:
    """If ARNs keep the case of names, version ARNs of names with capitals violate its pattern, and no more."""
    simulator.behaviour = Behaviour()
    shape = model.operation_model("ListImageVersions").output_shape
    listed = {
        image.image_name: raw.call("ListImageVersions", {"ImageName": image.image_name})[2]
        for image in simulator.world.image_truth()
    }
    found = {name: violations(shape, body) for name, body in listed.items()}
    assert (
        {name for name in found if found[name]} == {name for name in listed if name != name.lower()} != set()
    )
    for name, broken in found.items():
        assert len(broken) == (len(listed[name]["ImageVersions"]) if broken else 0)
        assert all(re.search(r"\.ImageVersionArn: .* does not match ", each) for each in broken)


@pytest.mark.parametrize(
    ("operation", "parameters", "code", "text"),
    [
        pytest.param(
            "ListImageVersions",
            {"ImageName": "a", "MaxResults": 101},
            "ValidationException",
            "1 validation error detected: Value '101' at 'maxResults' failed to satisfy constraint: "
            "Member must have value less than or equal to 100",
            id="page-too-large",
        ),
        pytest.param(
            "ListImageVersions",
            {"ImageName": "a", "MaxResults": 0},
            "ValidationException",
            "1 validation error detected: Value '0' at 'maxResults' failed to satisfy constraint: "
            "Member must have value greater than or equal to 1",
            id="page-too-small",
        ),
        pytest.param(
            "ListImageVersions",
            {},
            "ValidationException",
            "1 validation error detected: Value null at 'imageName' failed to satisfy constraint: "
            "Member must not be null",
            id="name-missing",
        ),
        pytest.param(
            "DescribeImage",
            {"ImageName": "a_" * 32},
            "ValidationException",
            f"2 validation errors detected: Value '{'a_' * 32}' at 'imageName' failed to satisfy constraint: "
            f"Member must have length less than or equal to 63; Value '{'a_' * 32}' at 'imageName' failed to "
            "satisfy constraint: Member must satisfy regular expression pattern: "
            "[a-zA-Z0-9]([-.]?[a-zA-Z0-9]){0,62}",
            id="name-twice-wrong",
        ),
        pytest.param(
            "ListImages",
            {"SortBy": "VERSION"},
            "ValidationException",
            "1 validation error detected: Value 'VERSION' at 'sortBy' failed to satisfy constraint: "
            "Member must satisfy enum value set: [CREATION_TIME, LAST_MODIFIED_TIME, IMAGE_NAME]",
            id="unknown-sort",
        ),
        pytest.param(
            "ListImageVersions",
            {"ImageName": "a", "MaxResults": "5"},
            "SerializationException",
            "Expected `int | null`, got `str` - at `$.MaxResults`",
            id="wrong-type",
        ),
        pytest.param(
            "ListModels",
            {},
            "UnknownOperationException",
            "The operation ListModels is not known.",
            id="unknown",
        ),
        pytest.param(
            "DescribeImage",
            {"ImageName": "no-such"},
            "ResourceNotFound",
            "Image with ARN arn:aws:sagemaker:us-east-1:111122223333:image/no-such does not exist",
            id="no-image",
        ),
        pytest.param(
            "DescribeImageVersion",
            {"ImageName": "no-such"},
            "ResourceNotFound",
            "Latest ImageVersion with ImageName no-such does not exist. Please provide a valid ImageName.",
            id="no-latest-version",
        ),
        pytest.param(
            "ListImageVersions",
            {"ImageName": "no-such", "NextToken": "garbled"},
            "ResourceNotFound",
            "Image with ARN arn:aws:sagemaker:us-east-1:111122223333:image/no-such does not exist",
            id="no-image-to-list",
        ),
    ],
)
def test_errors_have_the_service_s_words(  # noqa: PLR0917 - the columns of the table
    simulator: Simulator, raw: RawClient, operation: str, parameters: dict[str, Any], code: str, text: str
) -> None:
    """An error is a 400 with AWS's code and text."""
    simulator.behaviour = Behaviour()
    status, _, body = raw.call(operation, parameters)
    assert (status, body) == (400, {"__type": code, "message": text})


def test_headers_are_the_four_real_ones(simulator: Simulator, raw: RawClient) -> None:
    """Successes and errors carry the headers of the real service, and no others."""
    for operation in ("ListImages", "ListNothing"):
        _, headers, _ = raw.call(operation, {})
        assert set(headers) == {"x-amzn-RequestId", "Content-Type", "Content-Length", "Date"}
        assert headers["Content-Type"] == "application/x-amz-json-1.1"
