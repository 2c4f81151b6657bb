"""SageMaker's image operations in one region, one HTTP request a call.

Decodes, holds the answer to its types, and translates what can go wrong; must not know retry, pages or
streams. Senders come from `sessions`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from image_history.aws.answers import read_answer, require_subject
from image_history.aws.bodies import Answer, readable_error
from image_history.aws.deadline import Callers
from image_history.aws.sessions import Access, Login, Sender, Timeouts
from image_history.aws.translation import RAISED, is_expired, translate
from image_history.errors import ConnectorError, MalformedResponseError, ServiceUnavailableError

__all__ = ["Access", "ImageApi", "Login", "Timeouts", "translate"]


def _nobody(_: str) -> None:
    """Count nothing."""


class ImageApi:
    """SageMaker's image operations in one region, one request a call. Safe to share between threads.

    `where` names the scope in messages. `login` is that of all the account's regions. Expired credentials are
    renewed there, once for all of them, and the call is then made again: `repeated` hears of that, so that
    every request is counted. `callers` bounds the calls of all clients that share it.
    """

    def __init__(
        self,
        access: Access,
        region: str,
        *,
        timeouts: Timeouts,
        callers: Callers,
        login: Login | None = None,
    ) -> None:
        self.region = region
        self.where = f"{access} in {region}"
        self.repeated: Callable[[str], object] = _nobody
        self._login = Login(access, region) if login is None else login
        self._timeouts = timeouts
        self._callers = callers
        self._lock = threading.Lock()
        self._sender = self._open()

    def _open(self) -> Sender:
        return self._login.sender("sagemaker", self.region, timeouts=self._timeouts, pool=self._callers.most)

    def _current(self) -> Sender:
        """The sender of the login's newest session."""
        if self._sender.generation != self._login.generation:
            with self._lock:
                if self._sender.generation != self._login.generation:
                    self._sender = self._open()
        return self._sender

    def call(self, operation: str, parameters: Mapping[str, object]) -> Answer[Any]:
        """Make one request and return its validated answer.

        Raises a TransientError that another attempt may cure, a SkippableError for this resource, or a
        FatalError for the scope.
        """
        sender = self._current()
        try:
            return self._request(sender, operation, parameters)
        except RAISED as error:
            if not is_expired(error) or not self._login.renew(sender.generation):
                raise self._translated(error, operation, parameters) from error
        self.repeated(operation)
        return self._retry_once(operation, parameters)

    def _retry_once(self, operation: str, parameters: Mapping[str, object]) -> Answer[Any]:
        try:
            return self._request(self._current(), operation, parameters)
        except RAISED as error:
            raise self._translated(error, operation, parameters) from error

    def _request(self, sender: Sender, operation: str, parameters: Mapping[str, object]) -> Answer[Any]:
        limit = self._timeouts.call_seconds
        try:
            answer = self._callers.within(limit, lambda: _exchange(sender, operation, parameters))
            require_subject(operation, parameters, answer)
        except TimeoutError:
            place = self._place(operation, parameters)
            raise ServiceUnavailableError(f"{place} failed: no whole answer within {limit:g} s.") from None
        except MalformedResponseError as error:
            place = self._place(operation, parameters)
            raise MalformedResponseError(
                f"{place} failed: {error.message}.",
                operation=operation,
                request_id=error.context.get("request_id"),
            ) from error
        self._login.answered(sender.generation)
        return answer

    def _translated(
        self, error: Exception, operation: str, parameters: Mapping[str, object]
    ) -> ConnectorError:
        return translate(error, self._place(operation, parameters), parameters.get("NextToken"))

    def _place(self, operation: str, parameters: Mapping[str, object]) -> str:
        image = parameters.get("ImageName")
        return (
            f"{operation} of image {image} with {self.where}" if image else f"{operation} with {self.where}"
        )


def _exchange(sender: Sender, operation: str, parameters: Mapping[str, object]) -> Answer[Any]:
    reply = sender.send(operation, parameters)
    if reply.status >= HTTPStatus.MULTIPLE_CHOICES:
        # botocore trips over error bodies that are no object of texts.
        raise sender.endpoint.failure(operation, replace(reply, body=readable_error(reply.body)))
    return read_answer(operation, reply.status, reply.headers, reply.body)
