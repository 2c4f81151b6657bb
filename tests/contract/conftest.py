"""AWS's contract: botocore's model of SageMaker, and a check of values against its shapes.

Must not know how the simulator works.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import botocore.session
import pytest


@pytest.fixture(scope="session")
def model() -> Any:
    """The service model that botocore ships."""
    return botocore.session.get_session().get_service_model("sagemaker")


@pytest.fixture(scope="session")
def violations() -> Callable[..., list[str]]:
    """A function that lists every violation of a shape by a decoded JSON value."""
    return lambda shape, value, *, patterns=True: list(
        _violations(shape, value, shape.name, patterns=patterns)
    )


def _violations(shape: Any, value: Any, path: str, *, patterns: bool) -> Iterator[str]:
    kinds: dict[str, type | tuple[type, ...]] = {
        "structure": dict,
        "list": list,
        "string": str,
        "integer": int,
        "boolean": bool,
        "timestamp": (int, float),
    }
    fits: bool = isinstance(value, kinds[shape.type_name])
    if not fits or (isinstance(value, bool) and shape.type_name != "boolean"):
        yield f"{path}: {value!r} is no {shape.type_name}"
    elif shape.type_name == "structure":
        yield from (f"{path}: {name} is missing" for name in shape.required_members if name not in value)
        yield from (f"{path}: {name} is unknown" for name in value if name not in shape.members)
        for name in set(value) & set(shape.members):
            yield from _violations(shape.members[name], value[name], f"{path}.{name}", patterns=patterns)
    elif shape.type_name == "list":
        for number, item in enumerate(value):
            yield from _violations(shape.member, item, f"{path}[{number}]", patterns=patterns)
    else:
        yield from _broken_limits(shape, value, path, patterns=patterns)


def _broken_limits(shape: Any, value: Any, path: str, *, patterns: bool) -> Iterator[str]:
    limits = shape.metadata
    measure = len(value) if isinstance(value, str) else value
    if measure < limits.get("min", measure) or measure > limits.get("max", measure):
        yield f"{path}: {value!r} is not within {limits}"
    if value not in limits.get("enum", [value]):
        yield f"{path}: {value!r} is none of {limits['enum']}"
    if patterns and "pattern" in limits and not re.fullmatch(limits["pattern"], value):
        yield f"{path}: {value!r} does not match {limits['pattern']}"
