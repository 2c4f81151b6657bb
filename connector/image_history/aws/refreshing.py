"""Refreshes IAM Identity Center's access token once for all profiles of an sso-session.

A refresh token works only once, and the session of each profile would use it. This module registers for botocore's
documented events around the call. Must not know profiles, or what the token is for.
"""

from __future__ import annotations

import threading
from collections.abc import MutableMapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from botocore.hooks import HierarchicalEmitter

_CALL = "sso-oidc.CreateToken"
_TURN = "image_history_turn"


class _Turn:
    """The one request with a refresh token. Other threads with the same token wait for its answer."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.answer: Any = None


class Refreshes:
    """The answer to each refresh token that this process used. Safe to share between threads."""

    def __init__(self) -> None:
        self._turns: dict[object, _Turn] = {}

    def register(self, handlers: HierarchicalEmitter) -> None:
        """Register for every refresh by the clients that have these handlers."""
        handlers.register(f"before-call.{_CALL}", self._before)
        handlers.register(f"after-call.{_CALL}", self._after)
        handlers.register(f"after-call-error.{_CALL}", self._over)

    def _before(self, params: Any, context: MutableMapping[str, Any], **_: object) -> Any:
        """The answer already received for the same token; None makes botocore send the request."""
        turn = self._turns.setdefault(params["body"], _Turn())
        turn.lock.acquire()
        if turn.answer is None:
            context[_TURN] = turn
        else:
            turn.lock.release()
        return turn.answer

    def _after(self, http_response: Any, parsed: Any, context: MutableMapping[str, Any], **_: object) -> None:
        if _TURN in context and http_response.status_code < HTTPStatus.MULTIPLE_CHOICES:
            context[_TURN].answer = (http_response, parsed)
        self._over(context)

    def _over(self, context: MutableMapping[str, Any], **_: object) -> None:
        turn = context.pop(_TURN, None)
        if turn is not None:
            turn.lock.release()
