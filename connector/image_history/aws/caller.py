"""Makes one call to any service of AWS: with a time limit, one renewal of credentials, and our own errors.

The only place that renews credentials, limits a call and translates what botocore raises. Must not know retry,
pages, or what an answer is for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError, CredentialRetrievalError, HTTPClientError

from image_history.aws.deadline import Callers
from image_history.aws.sessions import Client, Login, Timeouts
from image_history.aws.translation import RAISED, is_expired, is_from_aws, sentence
from image_history.aws.transport import Exchange
from image_history.errors import UNFORESEEN, ConnectorError, MalformedResponseError, ServiceUnavailableError

Result = TypeVar("Result")
# Takes what botocore returns; raises MalformedResponseError unless it answers the request.
Judge = Callable[[Any, Exchange], Result]


def _nobody(_: str) -> None:
    """Count nothing."""


class Caller:
    """The calls of one login to one service in one region. Safe to share between threads.

    Expired credentials are renewed at the login, once for all callers that share it, and the call is then made
    again. `repeated` is called for each such call, so that every request is counted. `callers` limits all calls
    that share it.
    """

    def __init__(
        self, login: Login, service: str, region: str, *, timeouts: Timeouts, callers: Callers
    ) -> None:
        self.repeated: Callable[[str], object] = _nobody
        self._login = login
        self._service = service
        self._region = region
        self._timeouts = timeouts
        self._callers = callers
        self._lock = threading.Lock()
        self._client: Client | None = None

    def open(self, place: str) -> None:
        """Make the client, so that a wrong configuration is found before the first request. Raises as `call` does."""
        try:
            self._current()
        except (*RAISED, ConnectorError) as error:
            raise self._translated_error(error, place) from error

    def call(
        self, operation: str, parameters: Mapping[str, object], judge: Judge[Result], place: str
    ) -> Result:
        """Make one request and return what `judge` makes of the answer; `place` names the call in messages.

        Raises a TransientError that another attempt may cure, a SkippableError for this resource, or a
        FatalError for the account.
        """
        generation = self._login.generation
        try:
            client = self._current()
            generation = client.generation
            return self._made(client, operation, parameters, judge)
        except (*RAISED, ConnectorError, TimeoutError) as error:
            if not is_expired(error) or not self._login.renew(generation):
                raise self._translated_error(error, place) from error
        self.repeated(operation)
        try:
            return self._made(self._current(), operation, parameters, judge)
        except (*RAISED, ConnectorError, TimeoutError) as error:
            raise self._translated_error(error, place) from error

    def _current(self) -> Client:
        """The client of the login's newest session."""
        client = self._client
        if client is not None and client.generation == self._login.generation:
            return client
        with self._lock:
            if self._client is None or self._client.generation != self._login.generation:
                self._client = self._login.client(self._service, self._region, timeouts=self._timeouts)
            return self._client

    def _made(
        self, client: Client, operation: str, parameters: Mapping[str, object], judge: Judge[Result]
    ) -> Result:
        made: Exchange

        def begin() -> bool:
            nonlocal made
            made = client.begin()
            return made.has_connection

        def exchange() -> Result:
            with client.under_way(made) as api:
                try:
                    result = judge(getattr(api, xform_name(operation))(**parameters), made)
                except ClientError as error:
                    # An error does not name its subject: a duplicate would make another image seem to be gone.
                    require_new(made)
                    made.believed = is_from_aws(error)
                    raise
                except (BotoCoreError, ConnectorError):
                    raise
                except UNFORESEEN as error:
                    raise _explained(error, answered=made.answer is not None) from error
                made.believed = True
                return result

        result = self._callers.within(self._timeouts.call_seconds, exchange, begin=begin)
        self._login.answered(client.generation)
        return result

    def _translated_error(self, error: Exception, place: str) -> ConnectorError:
        if isinstance(error, TimeoutError):
            limit = self._timeouts.call_seconds
            return ServiceUnavailableError(f"{place} failed: no whole answer within {limit:g} s.")
        if isinstance(error, MalformedResponseError):
            context = error.context
            return MalformedResponseError(
                f"{place} failed: {error.message}.",
                operation=context.get("operation"),
                request_id=context.get("request_id"),
            )
        return (
            error
            if isinstance(error, ConnectorError)
            else self._login.translated_error(error, place, self._region)
        )


def require_new(made: Exchange) -> None:
    """Raise MalformedResponseError for a duplicate of the last answer; for answers that don't name their subject."""
    if made.repeated:
        raise MalformedResponseError("the answer repeats the previous one")


def _explained(error: Exception, *, answered: bool) -> Exception:
    """Classify a Python error: before an answer it comes from the source of the credentials, else from the answer."""
    explained: Exception
    if not answered:
        explained = CredentialRetrievalError(provider="credentials", error_msg=sentence(error).rstrip("."))
    elif isinstance(error, OSError):
        explained = HTTPClientError(error=error)
    elif isinstance(error, ValueError):
        explained = error
    else:
        # A server that answers in AWS's place may send a form that botocore does not expect.
        explained = MalformedResponseError(f"the answer is not one of this service ({type(error).__name__})")
    return explained
