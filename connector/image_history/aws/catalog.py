"""What botocore ships about AWS: its partitions, its regions, and the models of its services.

Must not know credentials, nor make a request.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from botocore.exceptions import UnknownRegionError
from botocore.loaders import JSONFileLoader, Loader
from botocore.regions import EndpointResolver

from image_history.aws.bodies import BODIES
from image_history.aws.error_codes import ACCOUNT_OPERATIONS

_OPERATIONS = ACCOUNT_OPERATIONS | {*BODIES, "AssumeRole"}
# Of these services few operations are ever called, of up to 700 that botocore would make methods of.
_TRIMMED = frozenset({"sagemaker", "sts", "account", "ec2", "organizations"})
_SAGEMAKER_ENDPOINTS = "api.sagemaker"


def partition_of(region: str) -> str | None:
    """The partition of a region, known or of a known form, such as aws-cn of cn-north-1; None for any other."""
    try:
        return str(_endpoints().get_partition_for_region(region))
    except UnknownRegionError:
        return None


def central_region(partition: str) -> str | None:
    """Where a partition's global services are; None for an unknown one."""
    described = _default_loader().load_data("partitions")["partitions"]
    regions = (each["outputs"]["implicitGlobalRegion"] for each in described if each["id"] == partition)
    return next(regions, None)


def sagemaker_regions(partition: str) -> tuple[str, ...]:
    """The regions of a partition that have SageMaker, sorted; none for an unknown partition."""
    return tuple(sorted(_endpoints().get_available_endpoints(_SAGEMAKER_ENDPOINTS, partition)))


@cache
def _endpoints() -> EndpointResolver:
    return EndpointResolver(_default_loader().load_data("endpoints"))


def _default_loader() -> Loader:
    return shared_loader(tuple(Loader().search_paths))


@cache
def shared_loader(paths: tuple[str, ...]) -> Loader:
    """The one loader of all sessions with these search paths."""
    return _TrimmingLoader(paths)


class _Files(JSONFileLoader):
    """Reads JSON in a third of the time: what a client needs is half a megabyte of it."""

    def load_file(self, file_path: str) -> Any:
        for opened, path in ((Path.open, f"{file_path}.json"), (gzip.open, f"{file_path}.json.gz")):
            try:
                with opened(Path(path), "rb") as file:
                    return msgspec.json.decode(file.read())
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                continue
            except msgspec.DecodeError as error:
                raise ValueError(f"{path} is no JSON: {error}.") from error
        return None


class _Whole(Loader):
    """AWS's descriptions of the services that are called, as they are."""

    FILE_LOADER_CLASS = _Files

    def list_available_services(self, type_name: str) -> Sequence[str]:  # noqa: ARG002 - botocore's signature
        """Else the folders of all four hundred are looked through, for each kind of description."""
        return sorted(_TRIMMED)


class _TrimmingLoader(Loader):
    """AWS's descriptions of its services, read once for all sessions and cut down to what is called.

    A whole client of SageMaker costs 4 ms and half a megabyte, the first of each session 80 ms and 20 MB.
    """

    FILE_LOADER_CLASS = _Files

    def __init__(self, paths: Iterable[str]) -> None:
        super().__init__(extra_search_paths=list(paths), include_default_search_paths=False)
        self._known: dict[tuple[str, str], Any] = {}

    def load_service_model(self, service_name: str, type_name: str, api_version: str | None = None) -> Any:
        if service_name not in _TRIMMED:
            return super().load_service_model(service_name, type_name, api_version)
        if (service_name, type_name) not in self._known:
            # By a loader of its own, which forgets the whole.
            whole = _Whole(list(self.search_paths), include_default_search_paths=False)
            model = whole.load_service_model(service_name, type_name, api_version)
            self._known[service_name, type_name] = _trim(model) if type_name == "service-2" else model
        return self._known[service_name, type_name]


def _trim(model: Mapping[str, Any]) -> Mapping[str, Any]:
    operations = {name: each for name, each in model["operations"].items() if name in _OPERATIONS}
    shapes: dict[str, Any] = {}
    waiting = list(_references(operations))
    while waiting:
        name = waiting.pop()
        if name not in shapes:
            shapes[name] = model["shapes"][name]
            waiting.extend(_references(shapes[name]))
    return {**model, "operations": operations, "shapes": shapes}


def _references(node: object) -> Iterator[str]:
    """The names of all shapes that a part of a model refers to."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "shape" and isinstance(value, str):
                yield value
            else:
                yield from _references(value)
    elif isinstance(node, list):
        for each in node:
            yield from _references(each)
