"""What botocore ships about AWS: its partitions, its regions, and the models of its services.

Must not know credentials, nor make a request.
"""

from __future__ import annotations

import difflib
from functools import cache

from botocore.exceptions import UnknownRegionError
from botocore.loaders import Loader
from botocore.regions import EndpointResolver

_SAGEMAKER_ENDPOINTS = "api.sagemaker"
# Those that AWS had before March 2019; every later one an account has to enable first (AWS's guide to accounts).
_ALWAYS_ENABLED = frozenset(
    {
        *("us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "sa-east-1"),
        *(
            "ap-northeast-1",
            "ap-northeast-2",
            "ap-northeast-3",
            "ap-south-1",
            "ap-southeast-1",
            "ap-southeast-2",
        ),
        *("eu-central-1", "eu-north-1", "eu-west-1", "eu-west-2", "eu-west-3"),
    }
)


@cache
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


def is_always_enabled(region: str) -> bool:
    """Whether there is no account that could not be asked in this region."""
    return region in _ALWAYS_ENABLED


def sagemaker_regions(partition: str) -> tuple[str, ...]:
    """The regions of a partition that have SageMaker, sorted; none for an unknown partition."""
    return tuple(sorted(_endpoints().get_available_endpoints(_SAGEMAKER_ENDPOINTS, partition)))


@cache
def known_regions() -> frozenset[str]:
    """Every region of every partition that botocore has a name for, and every one that SageMaker is in."""
    partitions = _default_loader().load_data("partitions")["partitions"]
    named = (region for each in partitions for region in each["regions"])
    there = (region for each in partitions for region in sagemaker_regions(each["id"]))
    return frozenset((*named, *there))


def nearest_region(name: str) -> str | None:
    """The known region whose name is most like this one; None if none is."""
    near = difflib.get_close_matches(name, sorted(known_regions()), n=10)
    # Letters that changed places are the commonest slip.
    return next((each for each in near if sorted(each) == sorted(name)), next(iter(near), None))


@cache
def _endpoints() -> EndpointResolver:
    return EndpointResolver(_default_loader().load_data("endpoints"))


def _default_loader() -> Loader:
    return shared_loader(tuple(Loader().search_paths))


@cache
def shared_loader(paths: tuple[str, ...]) -> Loader:
    """The one loader of all sessions with these search paths: each reads botocore's models once."""
    return Loader(extra_search_paths=list(paths), include_default_search_paths=False)
