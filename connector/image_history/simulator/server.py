"""The HTTP side of the service: from an aiohttp request to the answer's bytes, with its hook for faults.

Knows nothing of how an operation is answered, nor of threads.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import uuid
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from image_history.errors import ConfigError
from image_history.simulator import identity, validation
from image_history.simulator.behaviour import MAX_LIST_LAG_MS
from image_history.simulator.calls import Call
from image_history.simulator.counters import Counters, RequestRecord
from image_history.simulator.faults.injector import Injector
from image_history.simulator.operations import Operations
from image_history.simulator.protocol import JSON_TYPE, AwsError, error_body
from image_history.simulator.throttle import RateLimit

if TYPE_CHECKING:
    from image_history.simulator.actions import Action
    from image_history.simulator.behaviour import Behaviour
    from image_history.simulator.faults.rules import FaultRule
    from image_history.simulator.model import Scope
    from image_history.simulator.world import World

_LOG = logging.getLogger(__name__)
_TARGET = "SageMaker."


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request to the service, with the answer that is about to be sent."""

    number: int
    operation: str
    scope: Scope | None
    image_name: str | None
    request_body: bytes
    status: int
    headers: dict[str, str]
    body: bytes
    error_code: str | None = None
    rows: int = 0

    def response(self) -> web.Response:
        """The answer as aiohttp sends it."""
        return web.Response(status=self.status, headers=self.headers, body=self.body)


# A fault is called for every exchange, after its answer is computed and before a byte of it is sent. It returns None
# to let the answer pass, or its own response, for which it may use request.transport freely.
Fault = Callable[[web.Request, Exchange], Awaitable[web.StreamResponse | None]]
Watcher = Callable[[Exchange], None]


class _Subject(msgspec.Struct, rename="pascal"):
    image_name: str | None = None


class Service:
    """One simulated service: its world, its switches, its counters."""

    def __init__(self, world: World, behaviour: Behaviour) -> None:
        self.world = world
        self.counters = Counters()
        self.fault: Fault | None = None
        self.faults = ()
        self.watchers: tuple[Watcher, ...] = ()
        self.failures: list[str] = []
        self._operations = Operations(world)
        self._limit = RateLimit()
        self._numbers = itertools.count(1)
        self._behaviour = behaviour
        self.behaviour = behaviour

    @property
    def behaviour(self) -> Behaviour:
        """The switches in force."""
        return self._behaviour

    @behaviour.setter
    def behaviour(self, behaviour: Behaviour) -> None:
        with self.world.lock:
            self._behaviour = behaviour
            self.world.rules = behaviour.rules()

    @property
    def faults(self) -> tuple[FaultRule, ...]:
        """The fault rules; setting them restarts their counting."""
        return self._injector.rules

    @faults.setter
    def faults(self, rules: Iterable[FaultRule]) -> None:
        self._injector = Injector(rules, lagging=self._lagging, count=self.counters.spoiled)

    def perform(self, action: Action) -> None:
        """Perform an action of a script; an error is recorded and does not break the request that triggered it."""
        try:
            action.perform(self)
        except ConfigError as error:
            self.failures.append(error.message)
            _LOG.warning("scripted action failed", extra={"reason": error.message})

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request of SageMaker or STS."""
        body = await request.read()
        latency_ms = self._behaviour.latency_ms
        if latency_ms:
            await asyncio.sleep(latency_ms / 1000)
        exchange = self._exchange(request, body)
        self._count(exchange)
        for watch in self.watchers:
            watch(exchange)
        if self.fault is not None:
            response = await self.fault(request, exchange)
            if response is not None:
                return response
        return await self._injector.spoil(request, exchange) or exchange.response()

    def _lagging(self, exchange: Exchange, lag_ms: int) -> Exchange | None:
        """A list as it was `lag_ms` ago, at most an hour; None if the exchange is no list or has no scope."""
        if exchange.scope is None or not exchange.operation.startswith("List"):
            return None
        behaviour = replace(self._behaviour, list_lag_ms=min(lag_ms, MAX_LIST_LAG_MS))
        try:
            request = validation.parse(exchange.operation, exchange.request_body)
            with self.world.settled() as now_ms:
                answer = self._operations.answer(
                    Call(exchange.operation, exchange.scope, request, behaviour, now_ms)
                )
        except AwsError as error:
            return replace(exchange, status=error.status, body=error_body(error), error_code=error.code)
        return replace(exchange, status=200, body=answer.body, error_code=None, rows=answer.rows)

    def _exchange(self, request: web.Request, body: bytes) -> Exchange:
        authorization = request.headers.get("Authorization")
        target = request.headers.get("X-Amz-Target")
        if target is None and (request.content_type == "application/x-www-form-urlencoded"):
            return self._sts(authorization, body)
        return self._sagemaker((target or "").removeprefix(_TARGET), authorization, body)

    def _sagemaker(self, operation: str, authorization: str | None, body: bytes) -> Exchange:
        scope: Scope | None = None
        try:
            scope = identity.scope_of(identity.signer_of(authorization), self.world)
            self._admit(operation, scope)
            request = validation.parse(operation, body)
            with self.world.settled() as now_ms:
                answer = self._operations.answer(Call(operation, scope, request, self._behaviour, now_ms))
        except AwsError as error:
            return Exchange(
                number=next(self._numbers),
                operation=operation,
                scope=scope,
                image_name=_subject(body),
                request_body=body,
                status=error.status,
                headers=self._headers(JSON_TYPE, _request_id()),
                body=error_body(error),
                error_code=error.code,
            )
        return Exchange(
            number=next(self._numbers),
            operation=operation,
            scope=scope,
            image_name=request.image_name,
            request_body=body,
            status=200,
            headers=self._headers(JSON_TYPE, _request_id()),
            body=answer.body,
            rows=answer.rows,
        )

    def _sts(self, authorization: str | None, body: bytes) -> Exchange:
        request_id, operation = _request_id(), identity.sts_operation(body)
        scope: Scope | None = None
        status, code = 200, ""
        try:
            scope = identity.scope_of(identity.signer_of(authorization), self.world)
            answer = identity.caller_identity(operation, scope, self.world.rules.arns, request_id)
        except AwsError as error:
            status, code = identity.sts_status(error), error.code
            answer = identity.sts_error(error, request_id)
        return Exchange(
            number=next(self._numbers),
            operation=operation,
            scope=scope,
            image_name=None,
            request_body=body,
            status=status,
            headers=self._headers(identity.XML_TYPE, request_id),
            body=answer,
            error_code=code or None,
        )

    def _admit(self, operation: str, scope: Scope) -> None:
        listing = operation.startswith("List")
        rate = self._behaviour.list_per_second if listing else self._behaviour.describe_per_second
        if not self._limit.admits((scope, listing), rate):
            raise AwsError("ThrottlingException", "Rate exceeded")

    def _headers(self, content_type: str, request_id: str) -> dict[str, str]:
        date = _http_date(self.world.clock.now_ms() // 1000)
        return {"x-amzn-RequestId": request_id, "Content-Type": content_type, "Date": date}

    def _count(self, exchange: Exchange) -> None:
        account_id, region = exchange.scope or (None, None)
        record = RequestRecord(
            number=exchange.number,
            at_ms=self.world.clock.now_ms(),
            operation=exchange.operation,
            account_id=account_id,
            region=region,
            image_name=exchange.image_name,
            parameters={},
            status=exchange.status,
            error_code=exchange.error_code,
            rows=exchange.rows,
        )
        self.counters.answered(record, exchange.request_body)


async def only_real_headers(_: web.BaseRequest, response: web.StreamResponse) -> None:
    """Remove the header in which aiohttp names itself."""
    response.headers.popall("Server", None)


def _request_id() -> str:
    return str(uuid.uuid4())


@lru_cache(maxsize=8)
def _http_date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)


def _subject(body: bytes) -> str | None:
    try:
        return msgspec.json.decode(body, type=_Subject).image_name
    except msgspec.DecodeError:
        return None
