"""Simulates one image of a small AWS that changes between any two calls of the connector.

Replaces HTTP only; must not know how a listing is planned, accepted or stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

import msgspec

from image_history.aws.bodies import (
    Answer,
    DescribedImageVersion,
    Image,
    ImagesBody,
    ImageVersion,
    ImageVersionsBody,
    epoch_ms,
)
from image_history.errors import (
    AccessDeniedError,
    ImageNotFoundError,
    InterruptedRunError,
    RequestRejectedError,
)
from image_history.extract.calls import Meter, ScopeCalls
from image_history.model import ListingKind, ListingRequest

Tokens = Literal["keyset", "offset", "snapshot"]
Change = tuple[str, int]

# The number of a version and its time of creation, which tell it apart from later versions of the same number.
Incarnation = tuple[int, int]

IMAGE = "base"
# A second image, which never changes.
OTHER = "other"
START_MS = 1_790_000_000_000
_ARN = "arn:aws:sagemaker:us-east-1:111122223333:image"


@dataclass(frozen=True, slots=True)
class Habits:
    """The behaviour that AWS does not specify, and the time that AWS takes to answer.

    `eager` returns a token after every full page, so that the last page may be empty. `step_ms` passes before
    each answer. `building` keeps new versions in the status CREATING until a change touches them.
    """

    tokens: Tokens = "keyset"
    describes: bool = True
    eager: bool = False
    building: bool = False
    step_ms: int = 2500


# Changes of one version carry its number; a kill, an expired token and a deleted image have the number 0.
OF_A_VERSION = frozenset({"touch", "delete", "hide", "lag"})


@dataclass(slots=True)
class Collection:
    """The versions of one image. Every change takes a millisecond; a new image numbers its versions from 1.

    Lists omit the versions in `hidden`, and show those in `stale` in their first state. The journal:
    `gone` says when each version that no longer exists was deleted, `states` holds every state of each version.
    """

    habits: Habits
    now_ms: int = START_MS
    exists: bool = True
    made_ms: int = START_MS
    versions: dict[int, ImageVersion] = field(default_factory=dict)
    hidden: frozenset[int] = frozenset()
    stale: dict[int, ImageVersion] = field(default_factory=dict)
    next_number: int = 1
    gone: dict[Incarnation, int] = field(default_factory=dict)
    states: dict[Incarnation, list[ImageVersion]] = field(default_factory=dict)

    @property
    def lagging(self) -> bool:
        """Whether lists differ from what Describe returns."""
        return bool(self.hidden or self.stale)

    def catch_up(self) -> None:
        """Let lists show what Describe returns."""
        self.hidden = frozenset()
        self.stale.clear()

    def apply(self, change: Change) -> None:
        """Make one change; a change of a version or image that does not exist does nothing."""
        self.now_ms += 1
        kind, number = change
        if kind in OF_A_VERSION:
            if number in self.versions:
                self._change_version(kind, number)
        elif kind == "create":
            self._create()
        elif kind == "recreate":
            self._drop()
            for _ in range(number):
                self._create()
        elif kind == "drop" and self.exists:
            self._drop()

    def _change_version(self, kind: str, number: int) -> None:
        if kind == "touch":
            self._touch(number)
        elif kind == "delete":
            self._delete(number)
        elif kind == "hide":
            self.hidden |= {number}
        else:
            self.stale[number] = self.states[incarnation(self.versions[number])][0]

    def _create(self) -> None:
        if not self.exists:
            self.exists, self.made_ms = True, self.now_ms
        now = self.now_ms / 1000
        status = "CREATING" if self.habits.building else "CREATED"
        number = self.next_number
        self._is_now(ImageVersion(number, _ARN, f"{_ARN}/{number}", status, now, now))
        self.next_number += 1

    def _touch(self, number: int) -> None:
        self.stale.pop(number, None)
        row = self.versions[number]
        now = self.now_ms / 1000
        self._is_now(msgspec.structs.replace(row, LastModifiedTime=now, ImageVersionStatus="CREATED"))

    def _is_now(self, row: ImageVersion) -> None:
        self.versions[row.Version] = row
        self.states.setdefault(incarnation(row), []).append(row)

    def _delete(self, number: int) -> None:
        self.stale.pop(number, None)
        self.gone[incarnation(self.versions.pop(number))] = self.now_ms

    def _drop(self) -> None:
        self.exists, self.next_number = False, 1
        for number in list(self.versions):
            self._delete(number)
        self.hidden = frozenset()

    def possible(self, kinds: Iterable[str]) -> list[Change]:
        """Every change of these kinds that would have an effect now."""
        found: list[Change] = []
        for kind in kinds:
            if kind in {"touch", "delete", "lag"}:
                found += [(kind, number) for number in self.versions]
            elif kind == "hide":
                found += [(kind, number) for number in self.versions if number not in self.hidden]
            elif kind == "recreate":
                found += [(kind, 1), (kind, 3)]
            elif kind != "drop" or self.exists:
                found.append((kind, 0))
        return found

    def listed(self, request: ListingRequest) -> list[ImageVersion]:
        """What a complete list would hold now, in the request's order."""
        shown = self.versions | self.stale
        rows = [row for number, row in shown.items() if number not in self.hidden]
        return sorted(rows, key=_key_of(request))


@cache
def _still(request: ListingRequest) -> tuple[ImageVersion, ...]:
    """The versions of the image that never changes; they always fit on one page."""
    at = START_MS / 1000
    rows = [
        ImageVersion(number, f"{_ARN}/{OTHER}", f"{_ARN}/{OTHER}/{number}", "CREATED", at, at)
        for number in (1, 3, 6)
    ]
    return tuple(sorted(rows, key=_key_of(request)))


def incarnation(row: ImageVersion) -> Incarnation:
    """The version that the row is a state of."""
    return row.Version, epoch_ms(row.CreationTime)


def _key_of(request: ListingRequest) -> Callable[[ImageVersion], tuple[int, int]]:
    if request.kind is ListingKind.FULL:
        return lambda row: (row.Version, 0)
    return lambda row: (-epoch_ms(row.LastModifiedTime), row.Version)


@dataclass(frozen=True, slots=True)
class _Position:
    """The content of a token: the last key, the number of rows already returned, and a copy of the result."""

    key: tuple[int, int]
    passed: int
    snapshot: tuple[ImageVersion, ...]


class Service(ScopeCalls):
    """Answers the connector's calls. `changes` maps the number of a call to the changes before its answer.

    `lists` and `describes` count calls; `chances` holds the possible changes before each call. `killed` is true
    if a call was the last one of its process.
    """

    def __init__(self, collection: Collection) -> None:
        self.where = "the model"
        self.meter = Meter()
        self.collection = collection
        self.changes: dict[int, list[Change]] = {}
        self.kinds: tuple[str, ...] = ()
        self.chances: list[tuple[Change, ...]] = []
        self.calls = self.lists = self.describes = 0
        self.killed = self.lagged = False
        self._positions: dict[str, _Position] = {}
        self._issued = 0

    @property
    def date_ms(self) -> int:
        """The Date header of an answer now: whole seconds."""
        return self.collection.now_ms // 1000 * 1000

    def before_call(self) -> None:
        """Make the changes that are due before the next call, and count the call. A kill ends the call instead."""
        changes = self.changes.pop(self.calls, ())
        for change in changes:
            self.collection.apply(change)
        if ("expire", 0) in changes:
            self._positions.clear()
        self.chances.append(tuple(self.collection.possible(self.kinds)))
        self.lagged |= self.collection.lagging
        self.collection.now_ms += self.collection.habits.step_ms
        self.calls += 1
        if ("kill", 0) in changes:
            self.killed = True
            raise InterruptedRunError("killed", signal_number=9)

    def list_images(self, next_token: str | None) -> Answer[ImagesBody]:
        self.before_call()
        made, before = self.collection.made_ms / 1000, START_MS / 1000
        other = Image(OTHER, f"{_ARN}/{OTHER}", "CREATED", before, before)
        image = Image(IMAGE, f"{_ARN}/{IMAGE}", "CREATED", made, made)
        found = (other, image) if self.collection.exists else (other,)
        return Answer(ImagesBody(found), "request", self.date_ms, 100)

    def describe_image(self, image_name: str) -> Answer[Image]:
        self.before_call()
        if not self.collection.exists:
            raise ImageNotFoundError("The image does not exist.", date_ms=self.date_ms)
        made = self.collection.made_ms / 1000
        return Answer(Image(IMAGE, f"{_ARN}/{IMAGE}", "CREATED", made, made), "request", self.date_ms, 100)

    def list_image_versions(
        self, image_name: str, request: ListingRequest, next_token: str | None
    ) -> Answer[ImageVersionsBody]:
        if image_name == OTHER:
            return Answer(ImageVersionsBody(_still(request)), "request", self.date_ms, 100)
        self.before_call()
        self.lists += 1
        if next_token is not None and next_token not in self._positions:
            raise RequestRejectedError("Invalid pagination token.")
        if not self.collection.exists:
            raise ImageNotFoundError("The image does not exist.", date_ms=self.date_ms)
        return Answer(self._page(request, next_token), "request", self.date_ms, 100)

    def _page(self, request: ListingRequest, next_token: str | None) -> ImageVersionsBody:
        whole = self.collection.listed(request)
        rest = whole
        passed = 0
        if next_token is not None:
            position = self._positions[next_token]
            passed = position.passed
            if self.collection.habits.tokens == "keyset":
                key_of = _key_of(request)
                rest = [row for row in whole if key_of(row) > position.key]
            elif self.collection.habits.tokens == "offset":
                rest = whole[passed:]
            else:
                rest = list(position.snapshot[passed:])
                whole = list(position.snapshot)
        rows = rest[: request.page_size]
        more = len(rest) > len(rows) or (self.collection.habits.eager and len(rows) == request.page_size)
        shown = tuple(rows)
        if not more:
            return ImageVersionsBody(shown, None)
        self._issued += 1
        token = f"token {self._issued}"
        self._positions[token] = _Position(_key_of(request)(rows[-1]), passed + len(rows), tuple(whole))
        return ImageVersionsBody(shown, token)

    def image_gone_ms(self, image_name: str) -> int | None:
        self.before_call()
        return None if self.collection.exists else self.date_ms

    def describe_image_version(self, image_name: str, version: int) -> Answer[DescribedImageVersion]:
        self.before_call()
        self.describes += 1
        if not self.collection.habits.describes:
            raise AccessDeniedError("DescribeImageVersion is not allowed.")
        row = self.collection.versions.get(version)
        if row is None:
            raise ImageNotFoundError("The version does not exist.", date_ms=self.date_ms)
        described = DescribedImageVersion(**msgspec.structs.asdict(row))
        return Answer(described, "request", self.date_ms, 100)
