"""Worlds from a seed: the same arguments make the same world, to the millisecond.

Knows nothing of servers.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from image_history.errors import ConfigError
from image_history.simulator.contents import ImageContents, ImageRecord
from image_history.simulator.model import (
    DEFAULT_ACCOUNT,
    DEFAULT_REGION,
    Scope,
    VersionDetails,
    VersionRecord,
)
from image_history.simulator.world import World

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from image_history.simulator.clock import VirtualClock

T = TypeVar("T")

_TEAMS = ("fraud", "search", "pricing", "ads", "vision", "speech", "forecast", "churn", "geo", "risk", "nlp")
_PURPOSES = ("training", "inference", "notebook", "batch", "features", "eval", "labeling", "base")
_FRAMEWORKS = ("PyTorch", "TensorFlow", "XGBoost", "JAX", "MXNet")
_REGIONS = (
    DEFAULT_REGION,
    "eu-west-1",
    "us-west-2",
    "eu-central-1",
    "ap-southeast-2",
    "us-gov-west-1",
    "cn-north-1",
)
_FAILURES = (
    "SageMaker is unable to perform: sts:AssumeRole on the role arn:aws:iam::{account}:role/ImageBuilder.",
    "Unsupported manifest media type application/vnd.oci.image.manifest.v1+json for image {image}:{version}",
    "The repository {image} does not exist in the registry with id {account}, or access to it is denied.",
    'Layer 7 of {image}:{version} is broken: "sha256" differs; expected <none>, found \N{SNOWMAN}',
)
_NAME_STYLES = (*["plain"] * 7, *["framework"] * 2, "capitals")
_NOTES = ("Security patches", "New CUDA base", "Pinned dependencies", "Rolled numpy back", None, None)
# 2023-01-02 and 2026-06-30, so that a generated world lies in the past of every test.
_FIRST_MS = 1_672_617_600_000
_LAST_MS = 1_782_777_600_000
_TOUCHED_SHARE = 0.05
_NAMED_SHARE = 0.7
_DESCRIBED_SHARE = 0.5
# Versions with Horovod have a byte below this, out of 256 values.
_HOROVOD_BYTES = 12


@dataclass(frozen=True, slots=True)
class Shares:
    """The share of versions that failed, and the share of version numbers that are missing."""

    failed: float = 0.03
    deleted: float = 0.0


def generate(  # noqa: PLR0913 - the shape of a world, all by name
    seed: int = 0,
    *,
    accounts: Sequence[str] | int = 1,
    regions: Sequence[str] | int = 1,
    images: int = 10,
    versions_per_image: int = 20,
    largest: int | None = None,
    shares: Shares = Shares(),
    clock: VirtualClock | None = None,
) -> World:
    """Make a world. ConfigError for counts below zero.

    `accounts` and `regions` are names or how many; `images` counts for each account and region. Every image
    has exactly versions_per_image versions, except the first of each region, which has `largest` if that is given.
    """
    if min(images, versions_per_image, largest or 0) < 0:
        raise ConfigError("a generated world cannot have fewer than zero images or versions")
    world = World(accounts=_account_ids(accounts), regions=_region_names(regions), clock=clock)
    for scope in world.scopes:
        names = _image_names(_rng(f"{seed}/{scope}"), images)
        for number, name in enumerate(names):
            count = largest if number == 0 and largest is not None else versions_per_image
            draft = _Draft(f"{seed}/{scope}/{name}", scope, name, shares)
            world.load_image(draft.image(count), scope=scope)
    return world


@dataclass(frozen=True, slots=True)
class _Draft:
    seed: str
    scope: Scope
    name: str
    shares: Shares

    def image(self, count: int) -> ImageRecord:
        rng = _rng(self.seed)
        born_ms = _FIRST_MS + rng.randrange((_LAST_MS - _FIRST_MS) // 3)
        contents = ImageContents(derive_details=partial(_details, self.seed, self.scope, self.name))
        contents.versions.load(self.versions(rng, count, born_ms))
        highest = max((record.version for record in contents.versions), default=0)
        contents.next_version = highest + 1
        if highest:
            middle = sorted(record.version for record in contents.versions)[count // 2]
            contents.aliases.change({"latest": highest, "stable": middle}, born_ms)
        return ImageRecord(
            name=self.name,
            creation_ms=born_ms,
            last_modified_ms=born_ms + rng.randint(363, 371),
            contents=contents,
            display_name=self.name.replace("-", " ").title() if rng.random() < _NAMED_SHARE else None,
            description=f"Built by the {self.name.split('-')[0]} team"
            if rng.random() < _DESCRIBED_SHARE
            else None,
            role_arn=f"arn:aws:iam::{self.scope.account_id}:role/ImageBuilder",
        )

    def versions(self, rng: random.Random, count: int, born_ms: int) -> Iterable[VersionRecord]:
        step_ms = max(1, (_LAST_MS - born_ms) // (count + 1))
        at_ms, version = born_ms, 0
        for _ in range(count):
            version += 1
            while self.shares.deleted and rng.random() < self.shares.deleted:
                version += 1
            at_ms += 1 + int(rng.random() * step_ms)
            failed = rng.random() < self.shares.failed
            yield VersionRecord(
                version=version,
                creation_ms=at_ms,
                last_modified_ms=_modified_ms(rng, at_ms),
                status="CREATE_FAILED" if failed else "CREATED",
                failure_reason=self.failure(rng, version) if failed else None,
            )

    def failure(self, rng: random.Random, version: int) -> str:
        text = rng.choice(_FAILURES)
        return text.format(account=self.scope.account_id, image=self.name, version=version)


def _rng(seed: str) -> random.Random:
    return random.Random(seed)  # noqa: S311 - replayable, not secret


def _modified_ms(rng: random.Random, created_ms: int) -> int:
    if rng.random() < _TOUCHED_SHARE:
        return created_ms + 371 + int(rng.random() * (_LAST_MS - created_ms))
    return created_ms + 363 + int(rng.random() * 9)


def _account_ids(accounts: Sequence[str] | int) -> Sequence[str]:
    if isinstance(accounts, int):
        return [str(int(DEFAULT_ACCOUNT) + number * 1_111_1111) for number in range(accounts)]
    return accounts


def _region_names(regions: Sequence[str] | int) -> Sequence[str]:
    if isinstance(regions, int):
        return _REGIONS[:regions]
    return regions


def _image_names(rng: random.Random, count: int) -> list[str]:
    names: dict[str, None] = {}
    while len(names) < count:
        stem = f"{rng.choice(_TEAMS)}-{rng.choice(_PURPOSES)}"
        style = rng.choice(_NAME_STYLES)
        if style == "framework":
            stem = f"{rng.choice(_FRAMEWORKS)}-{rng.randint(1, 3)}.{rng.randint(0, 12)}-{stem}"
        elif style == "capitals":
            stem = stem.title().replace("-", "")
        names[stem if stem not in names else f"{stem}-{len(names)}"] = None
    return list(names)


def _details(seed: str, scope: Scope, name: str, version: int) -> VersionDetails:
    # Taken directly from the digest: seeding a generator for each of a million versions would take a minute.
    digest = hashlib.sha256(f"{seed}/{version}".encode()).digest()
    registry = f"{scope.account_id}.dkr.ecr.{scope.region}.amazonaws.com/{name.lower()}"
    job_type, framework, language, processor, guidance, notes = digest[:6]
    return VersionDetails(
        base_image=f"{registry}:{version}",
        container_image=f"{registry}@sha256:{digest.hex()}",
        job_type=_pick(("TRAINING", "INFERENCE", "NOTEBOOK_KERNEL", None), job_type),
        ml_framework=f"{_pick(_FRAMEWORKS, framework)} {digest[6] % 3 + 1}.{digest[7] % 13}",
        programming_lang=_pick(("Python 3.10", "Python 3.11", "Python 3.12", None), language),
        processor=_pick(("CPU", "GPU", None), processor),
        horovod=digest[8] < _HOROVOD_BYTES,
        vendor_guidance=_pick(("NOT_PROVIDED", "STABLE", "TO_BE_ARCHIVED", "ARCHIVED", None), guidance),
        release_notes=_pick(_NOTES, notes),
    )


def _pick(choices: Sequence[T], byte: int) -> T:
    return choices[byte % len(choices)]
