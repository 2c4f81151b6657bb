"""One scope's calls: paced, retried and counted, one validated answer at a time.

Must not know streams, checkpoints, or how many scopes there are.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from image_history.aws.bodies import (
    AliasesBody,
    Answer,
    DescribedImageVersion,
    Image,
    ImagesBody,
    ImageVersionsBody,
)
from image_history.errors import ImageNotFoundError, SourceError, ThrottledError, TransientError
from image_history.extract.pace import Pacer
from image_history.extract.retry import RetryBudget, RetryPolicy
from image_history.extract.timing import CallTimes
from image_history.model import Calls, ListingRequest, Stop

logger = logging.getLogger(__name__)

IMAGES_PAGE_SIZE = 100
_ALIASES_PAGE_SIZE = 100


class Source(Protocol):
    """Where answers come from: `aws.ImageApi`, or a plain object in a test."""

    where: str
    # The account to which every answer must belong, once it is known.
    account_id: str | None
    # Called for each request that a call makes again on its own.
    repeated: Callable[[str], object]

    def call(self, operation: str, parameters: Mapping[str, object]) -> Answer[Any]:
        """Make one request; see `aws.ImageApi.call`."""


class Meter:
    """Counts what a scope's calls cost, across threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._operations: Counter[str] = Counter()
        self._retries = self._throttles = self._bytes = 0

    def called(self, operation: str) -> None:
        """Count a request that is about to be made."""
        with self._lock:
            self._operations[operation] += 1

    def answered(self, size_bytes: int) -> None:
        """Count a success."""
        with self._lock:
            self._bytes += size_bytes

    def repeated(self, operation: str) -> None:
        """Count a request that failed because of its credentials, and is made again with new ones."""
        with self._lock:
            self._operations[operation] += 1
            self._retries += 1

    def failed(self, *, throttled: bool) -> None:
        """Count a failure that another attempt may cure, whether or not an attempt is left."""
        with self._lock:
            self._retries += 1
            self._throttles += throttled

    def take(self) -> Calls:
        """Return the counts since the last take, and reset them."""
        with self._lock:
            taken = Calls(dict(self._operations), self._retries, self._throttles, self._bytes)
            self._operations.clear()
            self._retries = self._throttles = self._bytes = 0
            return taken


@dataclass(frozen=True, slots=True)
class Pace:
    """The two rates of a scope: AWS throttles list calls and describe calls separately."""

    lists: Pacer
    describes: Pacer

    def of(self, operation: str) -> Pacer:
        """The pacer of an operation."""
        return self.lists if operation.startswith("List") else self.describes


class ScopeCalls:
    """The calls of one scope. Safe to share between threads.

    Every method raises what `RetryPolicy.run` and `Source.call` raise, and SourceError once the policy's budget of
    failed attempts is spent. A failure never becomes an empty answer.
    """

    def __init__(self, source: Source, *, policy: RetryPolicy, pace: Pace, stop: Stop) -> None:
        self.meter = Meter()
        self.where = source.where
        self._source = source
        self._policy = policy
        self._pace = pace
        self._stop = stop
        self._budget = RetryBudget(policy.budget)
        self._lists = CallTimes()
        source.repeated = self.meter.repeated

    def hold_to(self, account_id: str) -> None:
        """From now on, treat an answer of any other account as malformed."""
        self._source.account_id = account_id

    @property
    def threads_of_use(self) -> int:
        """How many threads list calls can use: more would hinder each other, or wait for the rate."""
        return self._lists.threads_of_use(self._pace.lists.per_second)

    def list_images(self, next_token: str | None) -> Answer[ImagesBody]:
        """One page of the scope's images, oldest first: no change disturbs this order."""
        parameters = {
            "MaxResults": IMAGES_PAGE_SIZE,
            "SortBy": "CREATION_TIME",
            "SortOrder": "ASCENDING",
            **_token(next_token),
        }
        return self._call("ListImages", parameters)

    def list_image_versions(
        self, image_name: str, request: ListingRequest, next_token: str | None
    ) -> Answer[ImageVersionsBody]:
        """One page of an image's versions."""
        parameters = {
            "ImageName": image_name,
            "MaxResults": request.page_size,
            "SortBy": request.sort_by,
            "SortOrder": request.sort_order,
            **_token(next_token),
        }
        return self._call("ListImageVersions", parameters)

    def list_image_versions_with(self, parameters: Mapping[str, object]) -> Answer[ImageVersionsBody]:
        """One page for exactly these request members, as `image-history list` passes them on."""
        return self._call("ListImageVersions", parameters)

    def image_gone_ms(self, image_name: str) -> int | None:
        """None if DescribeImage finds the image; else the server's Date of its answer, UTC epoch milliseconds."""
        try:
            self.describe_image(image_name)
        except ImageNotFoundError as error:
            return error.date_ms
        return None

    def describe_image(self, image_name: str) -> Answer[Image]:
        """One image; ImageNotFoundError if there is none."""
        return self._call("DescribeImage", {"ImageName": image_name})

    def describe_image_version(self, image_name: str, version: int) -> Answer[DescribedImageVersion]:
        """One version by its number; ImageNotFoundError if there is none."""
        return self._call("DescribeImageVersion", {"ImageName": image_name, "Version": version})

    def list_aliases(self, image_name: str, version: int, next_token: str | None) -> Answer[AliasesBody]:
        """One page of a version's aliases; ImageNotFoundError if there is no such version.

        Paced with the list calls, whose rate AWS limits more strictly than that of describe calls.
        """
        parameters = {
            "ImageName": image_name,
            "Version": version,
            "MaxResults": _ALIASES_PAGE_SIZE,
            **_token(next_token),
        }
        return self._call("ListAliases", parameters)

    def _call(self, operation: str, parameters: Mapping[str, object]) -> Answer[Any]:
        pacer = self._pace.of(operation)

        def attempt() -> Answer[Any]:
            pacer.wait()
            self._stop.check()
            self.meter.called(operation)
            if pacer is self._pace.describes:
                return self._source.call(operation, parameters)
            with self._lists:
                return self._source.call(operation, parameters)

        def failed(error: TransientError) -> None:
            throttled = isinstance(error, ThrottledError)
            self.meter.failed(throttled=throttled)
            self._lists.away()
            if throttled:
                pacer.throttled()
            logger.warning("call_failed", extra={"operation": operation, "reason": str(error)})
            if self._budget.spent():
                raise self._given_up(error)

        try:
            answer = self._policy.run(attempt, stop=self._stop.event, failed=failed)
        except TransientError:
            # If the run is stopping, the call was not retried: its failure then says nothing about AWS.
            self._stop.check()
            raise
        finally:
            self._lists.back()
        pacer.succeeded()
        self._budget.earn()
        self.meter.answered(answer.size_bytes)
        return answer

    def _given_up(self, error: TransientError) -> SourceError:
        return SourceError(
            f"AWS fails too often with {self.where}: {self._budget} (retry.budget). The last time: {error} "
            "Run it again later; a sync then goes on where it was.",
            **error.context,
        )


def _token(next_token: str | None) -> dict[str, str]:
    return {} if next_token is None else {"NextToken": next_token}
