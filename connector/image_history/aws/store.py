"""S3, accessed with one profile's credentials: botocore's own client, connections and retries, and our own errors.

Must not know what is stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from botocore.config import Config as BotoConfig
from botocore.exceptions import ClientError

from image_history.aws.sessions import Access, Login
from image_history.aws.translation import RAISED, code_of
from image_history.errors import ConnectorError
from image_history.version import __version__

_ABSENT = frozenset({"NoSuchKey", "404"})
_OVERTAKEN = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})


class AbsentError(Exception):
    """There is no such object."""


class OvertakenError(Exception):
    """The object has changed since it was read, or another request is writing it."""


def is_refused(error: ConnectorError) -> bool:
    """Whether S3 has certainly not carried out the request. After a 5xx, or without an answer, it may have."""
    answer = error.__cause__
    if not isinstance(answer, ClientError):
        return False
    status: int = answer.response.get("ResponseMetadata", {}).get(
        "HTTPStatusCode", HTTPStatus.INTERNAL_SERVER_ERROR
    )
    return HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR


class Store:
    """S3 with the credentials of a profile; `api` is botocore's client. ConfigError if it cannot be made."""

    def __init__(self, profile: str | None) -> None:
        self._login = Login(Access(profile))
        config = BotoConfig(
            retries={"total_max_attempts": 5, "mode": "standard"},
            connect_timeout=5,
            read_timeout=60,
            user_agent_extra=f"image-history/{__version__}",
        )
        self.api: Any = self._login.plain_client("s3", config)

    @contextmanager
    def translated(self, where: str) -> Iterator[None]:
        """Translate what is raised inside into our own errors; AbsentError and OvertakenError concern an object."""
        try:
            yield
        except RAISED as error:
            code = code_of(error) if isinstance(error, ClientError) else ""
            if code in _ABSENT:
                raise AbsentError from error
            if code in _OVERTAKEN:
                raise OvertakenError from error
            raise self._login.translated_error(error, where, self.api.meta.region_name) from error
