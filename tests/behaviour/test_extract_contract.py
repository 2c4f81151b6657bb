from __future__ import annotations

from functools import cache
from typing import Any

import botocore.session
import click
import msgspec
import pytest

from image_history.aws import bodies as wire
from image_history.aws.error_codes import EXCEPTIONS
from image_history.cli.browse import SORT_KEYS, SORT_ORDERS, Browse
from image_history.cli.list import command
from image_history.config import load_config
from image_history.errors import ConfigError

LISTS: dict[str, tuple[str, type[msgspec.Struct]]] = {
    "ListImageVersions": ("ImageVersions", wire.ImageVersion),
    "ListImages": ("Images", wire.Image),
}
# Members for which the command has an option of another name, as the paginator has.
PAGING = {"MaxResults": "page_size", "NextToken": "starting_token"}


@cache
def model() -> Any:
    """The service model of SageMaker as botocore ships it."""
    return botocore.session.Session().get_service_model("sagemaker")


def output(operation: str) -> Any:
    """The output shape of an operation."""
    return model().operation_model(operation).output_shape


def members(kind: type[msgspec.Struct]) -> set[str]:
    """The members of AWS's answer that a struct holds."""
    return {field.encode_name for field in msgspec.structs.fields(kind) if field.encode_name.isidentifier()}


def demanded(kind: type[msgspec.Struct]) -> set[str]:
    """The members that a struct requires."""
    return {field.encode_name for field in msgspec.structs.fields(kind) if field.required}


@pytest.mark.parametrize("operation", sorted(wire.BODIES))
def test_every_member_of_an_answer_is_known(operation: str) -> None:
    """Every member in botocore's model is decoded, so that this test fails if a new botocore adds a member."""
    assert members(wire.BODIES[operation]) == set(output(operation).members)


@pytest.mark.parametrize("operation", LISTS)
def test_items_are_those_of_the_model(operation: str) -> None:
    """Items have the model's members, and require exactly the members that the model requires."""
    name, kind = LISTS[operation]
    shape = output(operation).members[name].member
    assert members(kind) == set(shape.members)
    assert demanded(kind) == set(shape.required_members)
    assert demanded(wire.BODIES[operation]) == {name}


def test_list_has_an_option_for_every_parameter() -> None:
    """Every member of the request, and every setting of the paginator, is an option of `list`."""
    shape = model().operation_model("ListImageVersions").input_shape
    everything = Browse(
        image_name="base",
        creation_time_after=0,
        creation_time_before=0,
        last_modified_time_after=0,
        last_modified_time_before=0,
        sort_by="VERSION",
        sort_order="ASCENDING",
        page_size=1,
    )
    assert {*everything.parameters(), "NextToken"} == set(shape.members)
    options = {parameter.name for parameter in command.params}
    wanted = {PAGING.get(name, botocore.xform_name(name)) for name in shape.members if name != "ImageName"}
    assert wanted | {"image", "max_items"} <= options
    assert shape.members["SortBy"].enum == [*SORT_KEYS]
    assert shape.members["SortOrder"].enum == [*SORT_ORDERS]


def test_page_size_is_within_the_bounds_of_the_model() -> None:
    """The option and the setting for rows a page accept exactly the numbers that the model allows."""
    shape = model().shape_for("MaxResults")
    least, most = shape.metadata["min"], shape.metadata["max"]
    (option,) = [each.type for each in command.params if each.name == "page_size"]
    assert isinstance(option, click.IntRange)
    assert (option.min, option.max, option.min_open, option.max_open) == (least, most, False, False)
    for allowed in (least, most):
        assert load_config(environ={"IMAGE_HISTORY_PAGE_SIZE": str(allowed)}).page_size == allowed
    for refused in (least - 1, most + 1):
        with pytest.raises(ConfigError, match="page_size"):
            load_config(environ={"IMAGE_HISTORY_PAGE_SIZE": str(refused)})
    assert Browse(image_name="base", page_size=most).parameters()["MaxResults"] == most


def test_token_may_be_as_long_as_the_model_says() -> None:
    """A token of the model's greatest length is accepted, and a longer one is refused."""
    longest = model().shape_for("NextToken").metadata["max"]
    body = b'{"ImageVersions":[],"NextToken":"%s"}'
    wire.decode_body("ListImageVersions", body % (b"x" * longest))
    with pytest.raises(Exception, match="length <= 8192"):
        wire.decode_body("ListImageVersions", body % (b"x" * (longest + 1)))


def test_modelled_errors_have_a_meaning() -> None:
    """The only error that the model has for these operations is ResourceNotFound, the error of a missing image."""
    errors = {
        error.name for operation in wire.BODIES for error in model().operation_model(operation).error_shapes
    }
    assert errors == {"ResourceNotFound"}
    assert errors.isdisjoint(EXCEPTIONS)
