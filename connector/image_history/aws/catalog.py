"""botocore's own data about AWS: its partitions, its regions, and the models of its services.

Must not know credentials, nor make a request.
"""

from __future__ import annotations

import difflib
from functools import cache

from botocore.exceptions import UnknownRegionError
from botocore.loaders import Loader
from botocore.regions import EndpointResolver

_SAGEMAKER_ENDPOINTS = "api.sagemaker"
# AWS's regions from before March 2019. An account must first enable any later one (AWS's guide to accounts).
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
    """The partition of a region, such as aws-cn for cn-north-1; None if neither its name nor its form is known."""
    try:
        return str(_endpoints().get_partition_for_region(region))
    except UnknownRegionError:
        return None


def central_region(partition: str) -> str | None:
    """The region of a partition's global services; None for an unknown partition."""
    described = _default_loader().load_data("partitions")["partitions"]
    regions = (each["outputs"]["implicitGlobalRegion"] for each in described if each["id"] == partition)
    return next(regions, None)


def is_always_enabled(region: str) -> bool:
    """Whether every account has this region enabled."""
    return region in _ALWAYS_ENABLED


def sagemaker_regions(partition: str) -> tuple[str, ...]:
    """The regions of a partition that have SageMaker, sorted; none for an unknown partition."""
    return tuple(sorted(_endpoints().get_available_endpoints(_SAGEMAKER_ENDPOINTS, partition)))


@cache
def known_regions() -> frozenset[str]:
    """The regions of all partitions that botocore has a name for, and those that have SageMaker."""
    partitions = _default_loader().load_data("partitions")["partitions"]
    named = (region for each in partitions for region in each["regions"])
    there = (region for each in partitions for region in sagemaker_regions(each["id"]))
    return frozenset((*named, *there))


def nearest_regions(name: str) -> tuple[str, ...]:
    """The known regions with the most similar names, all of them equally similar; none if no name is similar."""
    near = difflib.get_close_matches(name, sorted(known_regions()), n=10)
    # Swapped letters are the most common typing error.
    if swapped := tuple(each for each in near if sorted(each) == sorted(name)):
        return swapped
    alike = {each: difflib.SequenceMatcher(None, each, name).ratio() for each in near}
    return tuple(sorted(each for each in near if alike[each] == max(alike.values())))


@cache
def _endpoints() -> EndpointResolver:
    return EndpointResolver(_default_loader().load_data("endpoints"))


def _default_loader() -> Loader:
    return shared_loader(tuple(Loader().search_paths))


@cache
def shared_loader(paths: tuple[str, ...]) -> Loader:
    """The loader shared by all sessions with these search paths, so that botocore's models are read once."""
    return Loader(extra_search_paths=list(paths), include_default_search_paths=False)
