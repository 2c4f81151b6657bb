"""Every error that the connector raises, grouped by what its reader should do.

Imports nothing of ours but what hides secrets, and must not know AWS, DuckDB, or the command line.

    ConnectorError                     exit  what we do
    |- ConfigError                        2  stop before anything is read or written
    |- TransientError                        the same call is made again, after a wait
    |  |- ThrottledError                     ... and the scope's pace is halved
    |  |- ServiceUnavailableError            5xx, connection refused, cut, timed out
    |  `- MalformedResponseError             a 200 whose body is not a valid answer
    |- SkippableError                     4  this stream ends here, the others go on
    |  |- AccessDeniedError                  coverage `denied`
    |  |- ImageNotFoundError                 coverage `gone`
    |  |- RequestRejectedError               AWS calls the request invalid; a token in it is dropped once
    |  `- ListingUnstableError               coverage `unstable`; the watermark stays
    `- FatalError                         1  the run ends; what was landed stays on disk
       |- CredentialsError                3  none, expired, or of another account
       |- SourceError                     6  AWS unreachable or throttled beyond the budget
       |- WarehouseError                  2  not a warehouse, of a newer schema, not writable
       |  `- WarehouseLockedError         5  another process holds it; rows are safe in landing
       |- QueryError                      2  a query that is refused, wrong, too long or too large
       |- LandingError                    2  a segment or its folder cannot be written or read
       |- LoadError                       1  a check failed inside the transaction; rolled back
       |- OutputError                     2  a report or an export cannot be written
       |- SyncRunningError                7  another sync holds the landing folder
       `- InterruptedRunError       130/143  SIGINT or SIGTERM; the next sync goes on
"""

from __future__ import annotations

from collections.abc import Mapping

from image_history.hiding import without_secrets

# Errors that botocore, pyiceberg or deltalake may raise for unusual settings, and that may come from the program, the
# file or the prompt that supplies credentials.
UNFORESEEN = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


class ConnectorError(Exception):
    """Root of the tree. `str(error)` is one sentence for a person: what, where, what to do.

    Further keyword arguments are kept in `context`, for logs and for JSON reports. Neither holds a credential,
    a signature or a pagination token, even if a service quotes one.
    """

    exit_code = 1

    def __init__(self, message: str, **context: object) -> None:
        super().__init__(without_secrets(message))
        self.context: Mapping[str, object] = context

    @property
    def message(self) -> str:
        """The sentence that is shown to the user."""
        return str(self.args[0])


class ConfigError(ConnectorError):
    """Wrong usage or configuration. Nothing has been read from AWS, and nothing has been written."""

    exit_code = 2


class TransientError(ConnectorError):
    """The same call may succeed a moment later. `retry_after_seconds`: the wait that the server asked for, if any."""

    exit_code = 6

    def __init__(self, message: str, *, retry_after_seconds: float | None = None, **context: object) -> None:
        super().__init__(message, **context)
        self.retry_after_seconds = retry_after_seconds


class ThrottledError(TransientError):
    """AWS asks for a slower pace."""


class ServiceUnavailableError(TransientError):
    """No usable answer: a 5xx, or a connection that was refused, cut, or timed out."""


class MalformedResponseError(TransientError):
    """A success whose body is not a valid answer. It never counts as the end of a list, nor as an empty list."""


class SkippableError(ConnectorError):
    """This stream cannot be read now; every other stream goes on."""

    exit_code = 4


class AccessDeniedError(SkippableError):
    """IAM refuses the operation on this resource."""


class ImageNotFoundError(SkippableError):
    """AWS answers ResourceNotFound for the image or the version; `date_ms` is the answer's Date, UTC epoch ms."""

    def __init__(self, message: str, *, date_ms: int, **context: object) -> None:
        super().__init__(message, **context)
        self.date_ms = date_ms


class RequestRejectedError(SkippableError):
    """AWS calls the request itself invalid; repeating it is useless."""


class ListingUnstableError(SkippableError):
    """Repeated readings contradict each other, so the listing proves nothing."""


class FatalError(ConnectorError):
    """The run cannot go on. Landed segments stay; the next `sync` continues from them."""


class CredentialsError(FatalError):
    """No credentials, expired ones, or those of an account that this scope doesn't belong to."""

    exit_code = 3


class SourceError(FatalError):
    """AWS cannot be reached, or throttles beyond the retry budget."""

    exit_code = 6


class WarehouseError(FatalError):
    """The warehouse file cannot be used: missing, not DuckDB, of a newer schema, not writable. It is unchanged."""

    exit_code = 2


class WarehouseLockedError(WarehouseError):
    """Another process has the warehouse open. Landed rows are safe; the next `sync` loads them."""

    exit_code = 5


class QueryError(FatalError):
    """A query is refused or fails: it does more than read, is wrong, or exceeds its limits of time or memory."""

    exit_code = 2


class LandingError(FatalError):
    """A segment or the landing folder cannot be written or read. Segments already renamed stay valid."""

    exit_code = 2


class LoadError(FatalError):
    """A check found a contradiction inside the load's transaction, which was rolled back whole."""


class HeldBackError(FatalError):
    """The mass-delete breaker holds back a listing's deletions."""

    exit_code = 9


class OutputError(FatalError):
    """A report or an export cannot be written. The destination keeps its earlier content."""

    exit_code = 2


class SyncRunningError(FatalError):
    """Another `sync` works on the same landing folder."""

    exit_code = 7


class InterruptedRunError(FatalError):
    """A signal ended the run after its last segment was written. `exit_code` is 128 + the signal's number."""

    def __init__(self, message: str, *, signal_number: int) -> None:
        super().__init__(message, signal_number=signal_number)
        self.exit_code = 128 + signal_number
