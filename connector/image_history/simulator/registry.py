"""The state of a simulated world and everything that can be read from it.

Knows nothing of how it changes, nor of HTTP. Instants are epoch milliseconds, UTC.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from image_history.errors import ConfigError
from image_history.simulator.behaviour import Rules
from image_history.simulator.clock import VirtualClock
from image_history.simulator.contents import ImageRecord, ImageTable
from image_history.simulator.model import (
    DEFAULT_ACCOUNT,
    DEFAULT_REGION,
    ImageTruth,
    Scope,
    VersionRecord,
    VersionTruth,
    access_key_of,
    check_account,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class Registry:
    """The existing images and versions, and the changes that are due. Every method is thread-safe."""

    def __init__(
        self,
        *,
        accounts: Iterable[str] = (DEFAULT_ACCOUNT,),
        regions: Iterable[str] = (DEFAULT_REGION,),
        clock: VirtualClock | None = None,
    ) -> None:
        self.lock = threading.RLock()
        self.clock = VirtualClock() if clock is None else clock
        self.rules = Rules()
        wanted = tuple(regions)
        self._keys: dict[str, str] = {}
        self._regions: dict[Scope, ImageTable] = {}
        for account_id in accounts:
            self.add_account(account_id)
            self._regions.update((Scope(account_id, region), ImageTable()) for region in wanted)
        if not self._regions:
            raise ConfigError("a simulated world needs at least one account and one region")
        self._due: list[tuple[int, int, Callable[[int], None]]] = []
        self._sequence = itertools.count()
        self._moment: int | None = None

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """All accounts and regions, in the order in which they were added."""
        return tuple(self._regions)

    @property
    def default_scope(self) -> Scope:
        """The first account and region."""
        return next(iter(self._regions))

    def add_account(self, account_id: str, *, access_key: str | None = None) -> str:
        """Add an account with an access key id; returns that id."""
        check_account(account_id)
        with self.lock:
            key = access_key or access_key_of(account_id)
            self._keys[key] = account_id
            return key

    def account_of(self, access_key: str) -> str | None:
        """Return the account that an access key id belongs to, or None."""
        return self._keys.get(access_key)

    def has_account(self, account_id: str) -> bool:
        """Return whether the account was added."""
        return account_id in self._keys.values()

    def access_key(self, account_id: str) -> str:
        """Return the access key id of an account; ConfigError when it is unknown."""
        key = next((key for key, account in self._keys.items() if account == account_id), None)
        if key is None:
            raise ConfigError(f"the simulated world has no account {account_id}; add it with add_account")
        return key

    @contextmanager
    def settled(self) -> Iterator[int]:
        """Hold the lock after performing all changes that are due; yields the virtual time."""
        with self.lock:
            # A change that was due earlier is made at its own time: changes within it must not see the present time.
            outer = self._moment
            now_ms = self.clock.now_ms() if outer is None else outer
            try:
                while self._due and self._due[0][0] <= now_ms:
                    self._moment, _, happen = heapq.heappop(self._due)
                    happen(self._moment)
            finally:
                self._moment = outer
            yield now_ms

    def schedule(self, at_ms: int, happen: Callable[[int], None]) -> None:
        """Call `happen` with the instant `at_ms` once virtual time has reached it."""
        with self.lock:
            heapq.heappush(self._due, (at_ms, next(self._sequence), happen))

    def images(self, scope: tuple[str, str] | None = None) -> ImageTable:
        """Return the images of a scope, empty if none was ever created. Only for use within `settled`."""
        table = self._regions.get(self.default_scope if scope is None else Scope(*scope))
        return ImageTable() if table is None else table

    def truth(
        self, *, account_id: str | None = None, region: str | None = None, image_name: str | None = None
    ) -> list[VersionTruth]:
        """Every existing version, sorted by account, region, image name and version."""
        with self.settled():
            return [
                row
                for scope, image in self._selected(account_id, region, image_name)
                for row in self._version_rows(scope, image)
            ]

    def image_truth(
        self, *, account_id: str | None = None, region: str | None = None, image_name: str | None = None
    ) -> list[ImageTruth]:
        """Every existing image, sorted by account, region and name."""
        with self.settled():
            found = self._selected(account_id, region, image_name)
            return [self._image_row(scope, image) for scope, image in found]

    def _selected(
        self, account_id: str | None, region: str | None, image_name: str | None
    ) -> list[tuple[Scope, ImageRecord]]:
        return [
            (scope, image)
            for scope in sorted(self._regions)
            if account_id in (None, scope.account_id) and region in (None, scope.region)
            for image in sorted(self._regions[scope], key=lambda image: image.name)
            if image_name in (None, image.name)
        ]

    def _image_row(self, scope: Scope, image: ImageRecord) -> ImageTruth:
        return ImageTruth(
            account_id=scope.account_id,
            region=scope.region,
            image_name=image.name,
            image_arn=self.rules.arns.image(scope, image.name),
            status=image.status,
            failure_reason=image.failure_reason,
            display_name=image.display_name,
            description=image.description,
            role_arn=image.role_arn,
            creation_ms=image.creation_ms,
            last_modified_ms=image.last_modified_ms,
            version_count=len(image.contents.versions),
        )

    def _version_rows(self, scope: Scope, image: ImageRecord) -> Iterator[VersionTruth]:
        aliases = image.contents.aliases.by_version()
        for record in sorted(image.contents.versions, key=_version_number):
            yield VersionTruth(
                account_id=scope.account_id,
                region=scope.region,
                image_name=image.name,
                version=record.version,
                image_arn=self.rules.arns.image(scope, image.name),
                image_version_arn=self.rules.arns.version(scope, image.name, record.version),
                status=record.status,
                failure_reason=record.failure_reason,
                creation_ms=record.creation_ms,
                last_modified_ms=record.last_modified_ms,
                aliases=aliases.get(record.version, ()),
                details=image.contents.details_of(record),
            )


def _version_number(record: VersionRecord) -> int:
    return record.version
