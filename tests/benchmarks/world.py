"""The benchmark's computed images and versions: JSON for the server, and the same rows as Arrow for the check.

Pure; must not know which program calls, or at what rate.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

ACCOUNT = "111122223333"
REGION = "us-east-1"
CREATED, FAILED = "CREATED", "CREATE_FAILED"
REASON = "The base image could not be pulled."

_FIRST_MS = 1_704_067_200_000  # 2024-01-01
_STEP_MS = 60_007
_CHANGED_MS = 1_790_000_000_000  # 2026-09-21


def image_name(image: int) -> str:
    """The name of an image by its index."""
    return f"image-{image:05d}"


@dataclass(frozen=True, slots=True)
class Shape:
    """Numbers of images and versions; the newest `changed` versions of the first `changed_images` images changed."""

    images: int
    versions: int
    changed: int = 0
    changed_images: int | None = None

    @property
    def rows(self) -> int:
        """All versions of a scope."""
        return self.images * self.versions

    @property
    def pages(self) -> int:
        """The number of calls that list all images and versions, 100 items a page."""
        return self.images * -(-self.versions // 100) + -(-self.images // 100)

    def changed_from(self, image: int) -> int:
        """The first changed version of an image; one past the last if none is."""
        affected = self.changed_images is None or image < self.changed_images
        return self.versions + 1 - (self.changed if affected else 0)

    def created_ms(self, image: int, version: int) -> int:
        """CreationTime, UTC epoch milliseconds."""
        return _FIRST_MS + version * _STEP_MS + image

    def modified_ms(self, image: int, version: int) -> int:
        """LastModifiedTime, UTC epoch milliseconds; it grows with the version number."""
        if version >= self.changed_from(image):
            return _CHANGED_MS + version
        return self.created_ms(image, version) + 5_000 + version % 997

    def chosen(self, image: int, bounds: Bounds) -> range:
        """The version numbers that pass a filter."""
        numbers = range(1, self.versions + 1)
        created = Times(self.created_ms, image, numbers)
        modified = Times(self.modified_ms, image, numbers)
        low = max(bisect_right(created, bounds.created_after), bisect_right(modified, bounds.modified_after))
        high = bisect_right(created, bounds.created_before - 1)
        return range(low + 1, high + 1)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The filters of a request, UTC epoch milliseconds; every bound is exclusive."""

    created_after: float = float("-inf")
    created_before: float = float("inf")
    modified_after: float = float("-inf")


class Times(Sequence[float]):
    """A computed sequence of an image's times, so that bisect finds an instant without a list."""

    def __init__(self, of: object, image: int, numbers: range) -> None:
        self._of = of
        self._image = image
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, position: int) -> float:  # type: ignore[override]  # bisect takes no slices
        time: float = self._of(self._image, self._numbers[position])  # type: ignore[operator]  # a bound method
        return time


def arn(scope: tuple[str, str], image: int) -> str:
    """The ARN of an image in a scope (account, region)."""
    return f"arn:aws:sagemaker:{scope[1]}:{scope[0]}:image/{image_name(image)}"


def truth(shape: Shape, *, first: int = 0, last: int | None = None) -> pa.Table:
    """AWS's rows of the images from `first` to before `last`, which every contestant must hold; times in epoch ms."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    images = np.arange(first, shape.images if last is None else last)
    image = np.repeat(images, shape.versions)
    version = np.tile(np.arange(1, shape.versions + 1), len(images))
    starts = np.array([shape.changed_from(int(index)) for index in images])
    changed = version >= np.repeat(starts, shape.versions)
    created = _FIRST_MS + version * _STEP_MS + image
    modified = np.where(changed, _CHANGED_MS + version, created + 5_000 + version % 997)
    positions = pa.array(image - first)
    names = pa.array([image_name(int(index)) for index in images]).take(positions)
    arns = pa.array([arn((ACCOUNT, REGION), int(index)) for index in images]).take(positions)
    numbers = pc.cast(pa.array(version), pa.string())
    return pa.table(
        {
            "image_name": names,
            "version": pa.array(version, pa.int32()),
            "image_arn": arns,
            "image_version_arn": pc.binary_join_element_wise(
                pc.replace_substring(arns, ":image/", ":image-version/"), numbers, "/"
            ),
            "image_version_status": pc.if_else(pa.array(changed), FAILED, CREATED),
            "failure_reason": pc.if_else(pa.array(changed), REASON, pa.scalar(None, pa.string())),
            "creation_ms": pa.array(created),
            "last_modified_ms": pa.array(modified),
        }
    )
