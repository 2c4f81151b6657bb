"""Translates botocore's exceptions into our own errors: one sentence that says what happened, where, and what to do.

Must not know sessions, nor what a call is made for.
"""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from image_history.aws.bodies import BODIES
from image_history.aws.error_codes import (
    ACCOUNT_OPERATIONS,
    CLOCK_CODES,
    EXCEPTIONS,
    EXPIRED_CODES,
    error_class,
)
from image_history.aws.server_time import clock_hint, http_date, retry_after_seconds
from image_history.errors import (
    AccessDeniedError,
    ConfigError,
    ConnectorError,
    CredentialsError,
    ImageNotFoundError,
    MalformedResponseError,
    OutputError,
    SkippableError,
    SourceError,
    TransientError,
)

# All that a call can raise; ResponseParserError is for invalid XML, ValueError for an impossible date in it.
RAISED = (ClientError, BotoCoreError, ResponseParserError, ValueError)
_STORE_OPERATIONS = frozenset({"DeleteObject", "GetObject", "ListObjectsV2", "PutObject"})
_QUEUE_OPERATIONS = frozenset(
    {"ChangeMessageVisibilityBatch", "DeleteMessageBatch", "GetQueueAttributes", "ReceiveMessage"}
)
_OWN_OPERATIONS = ACCOUNT_OPERATIONS | BODIES.keys()


def is_expired(error: Exception) -> bool:
    """Whether AWS says that the credentials have expired, so that new ones may work."""
    return isinstance(error, ClientError) and code_of(error) in EXPIRED_CODES


def is_from_aws(error: ClientError) -> bool:
    """Whether AWS itself sent the error, not a proxy on the way."""
    metadata = error.response.get("ResponseMetadata", {})
    return metadata.get("HTTPStatusCode", 0) >= HTTPStatus.BAD_REQUEST and bool(metadata.get("RequestId"))


def code_of(error: ClientError) -> str:
    """AWS's error code; empty if there is none."""
    return str(error.response.get("Error", {}).get("Code", ""))


def translate(error: Exception, place: str) -> ConnectorError:
    """Our own error for a botocore error; its message says what happened, where, and what to do."""
    if isinstance(error, ClientError):
        return _translate_answer(error, place)
    if isinstance(error, ResponseParserError):
        return MalformedResponseError(f"{place} failed: {sentence(error)}")
    if not isinstance(error, BotoCoreError):
        return SourceError(f"{place} failed inside botocore: {sentence(error)}")
    kind = next(
        (EXCEPTIONS[base.__name__] for base in type(error).__mro__ if base.__name__ in EXCEPTIONS),
        SourceError,
    )
    return kind(f"{place} failed: {sentence(error)}{_hint(kind)}", code=type(error).__name__)


def _translate_answer(error: ClientError, place: str) -> ConnectorError:
    code = code_of(error)
    metadata = error.response.get("ResponseMetadata", {})
    status, headers = metadata.get("HTTPStatusCode", 0), metadata.get("HTTPHeaders", {})
    kind = error_class(code, status)
    if issubclass(kind, SkippableError) and error.operation_name in _STORE_OPERATIONS:
        kind = OutputError
    elif issubclass(kind, SkippableError) and error.operation_name in _QUEUE_OPERATIONS:
        kind = CredentialsError if kind is AccessDeniedError else SourceError
    elif issubclass(kind, SkippableError) and error.operation_name not in _OWN_OPERATIONS:
        # The operation, such as AssumeRole, fetches credentials: its failure says nothing about an image.
        kind = CredentialsError
    said = str(error.response.get("Error", {}).get("Message") or "")
    message = f"{place} failed: {code}{f': {said}' if said else ''} (HTTP {status})".rstrip(".")
    if issubclass(kind, TransientError):
        requested = retry_after_seconds(headers, now=datetime.now(UTC))
        return kind(f"{message}.", retry_after_seconds=requested, code=code)
    if issubclass(kind, ImageNotFoundError):
        return _not_found(f"{message}.", code, headers.get("date"))
    skewed = clock_hint(headers.get("date"), now=datetime.now(UTC)) if code in CLOCK_CODES else None
    return kind(f"{message}.{skewed or _hint(kind)}", code=code)


def _not_found(message: str, code: str, date: str | None) -> ConnectorError:
    """An ImageNotFoundError with the answer's Date, a part of the proof; MalformedResponseError if it has none."""
    moment = http_date(date)
    if moment is None:
        return MalformedResponseError(f"{message} The answer has no valid Date.", code=code)
    return ImageNotFoundError(message, date_ms=int(moment.timestamp()) * 1000, code=code)


def sentence(error: Exception) -> str:
    """What an exception says, on one line that ends in a full stop."""
    text = " ".join(str(error).split()).rstrip(".")
    return f"{text}."


def _hint(kind: type[ConnectorError]) -> str:
    hints: dict[type[ConnectorError], str] = {
        CredentialsError: " Set AWS_PROFILE, log in again, or name a profile or role under accounts in the "
        "configuration.",
        OutputError: " What readers see is unchanged. Check the bucket's name and region, and that the credentials "
        "may get, put, list and delete objects there.",
        ConfigError: " Check the profile and region in the configuration and in AWS's own config files.",
    }
    return hints.get(kind, "")
