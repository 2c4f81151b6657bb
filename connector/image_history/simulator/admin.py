"""The admin interface beside the AWS API: truth, counters, switches, faults, clock and changes, as JSON at /_admin.

Knows nothing of how anything is answered to AWS clients. Answers only processes of this machine.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from image_history.errors import ConfigError
from image_history.simulator.actions import AnyAction, patched
from image_history.simulator.counters import CounterTotals, RequestRecord
from image_history.simulator.faults.rules import FaultRule, parse_faults
from image_history.simulator.model import ImageTruth, VersionTruth
from image_history.simulator.script import Script

if TYPE_CHECKING:
    from image_history.simulator.server import Service

PREFIX = "/_admin"
_LOCAL_NAMES = {"127.0.0.1", "localhost", "::1"}


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """What is served, and the errors of scripts."""

    ok: bool
    accounts: dict[str, str]
    regions: tuple[str, ...]
    images: int
    script_failures: tuple[str, ...]


class Truth(msgspec.Struct, frozen=True, kw_only=True):
    """Every existing image and version that was asked for."""

    images: list[ImageTruth]
    versions: list[VersionTruth]


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """Requests in the order in which they were answered."""

    requests: list[RequestRecord]


class FaultState(msgspec.Struct, frozen=True, kw_only=True):
    """The rules in force, and how many faults of each kind were injected since the counters were reset."""

    rules: tuple[FaultRule, ...]
    injected: dict[str, int]


class ClockState(msgspec.Struct, frozen=True, kw_only=True):
    """The virtual time in epoch milliseconds."""

    now_ms: int
    frozen: bool


class ClockChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Changes to the clock; the given members are applied in this order."""

    frozen: bool | None = None
    set_ms: int | None = None
    advance_ms: int | None = None


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """How many actions were performed, or how many steps a script has."""

    count: int


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """The reason why a request was refused."""

    error: str


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Admin:
    """The handlers, on one service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def health(self, _: web.Request) -> Health:
        """GET: whether the server is healthy, and what it serves."""
        world = self._service.world
        accounts = sorted({scope.account_id for scope in world.scopes})
        return Health(
            ok=not self._service.failures,
            accounts={account: world.access_key(account) for account in accounts},
            regions=tuple(sorted({scope.region for scope in world.scopes})),
            images=len(world.image_truth()),
            script_failures=tuple(self._service.failures),
        )

    async def truth(self, request: web.Request) -> Truth:
        """GET: the existing images and versions, filtered by account_id, region and image_name."""
        wanted = {name: request.query.get(name) for name in ("account_id", "region", "image_name")}
        world = self._service.world
        with world.lock:
            return Truth(images=world.image_truth(**wanted), versions=world.truth(**wanted))

    async def counters(self, _: web.Request) -> CounterTotals:
        """GET: all figures."""
        return self._service.counters.totals()

    async def reset_counters(self, _: web.Request) -> CounterTotals:
        """POST: reset the counters; answers the figures up to now."""
        totals = self._service.counters.totals()
        self._service.counters.reset()
        return totals

    async def log(self, _: web.Request) -> Log:
        """GET: the requests."""
        return Log(requests=self._service.counters.log)

    async def behaviour(self, _: web.Request) -> dict[str, Any]:
        """GET: all switches."""
        return asdict(self._service.behaviour)

    async def patch_behaviour(self, request: web.Request) -> dict[str, Any]:
        """PATCH: change some switches; answers all."""
        switches = _decode(await request.read(), dict[str, Any])
        self._service.behaviour = patched(self._service.behaviour, switches)
        return asdict(self._service.behaviour)

    async def faults(self, _: web.Request) -> FaultState:
        """GET: the fault rules, and how many faults they injected."""
        return FaultState(rules=self._service.faults, injected=self._service.counters.totals().injected)

    async def put_faults(self, request: web.Request) -> FaultState:
        """PUT a list of rules in place of those in force; an empty one ends all faults."""
        self._service.faults = parse_faults(await request.read(), source="the body")
        return await self.faults(request)

    async def clock(self, _: web.Request) -> ClockState:
        """GET: the virtual time."""
        clock = self._service.world.clock
        return ClockState(now_ms=clock.now_ms(), frozen=clock.frozen)

    async def change_clock(self, request: web.Request) -> ClockState:
        """POST a ClockChange; answers the new time."""
        change, clock = _decode(await request.read(), ClockChange), self._service.world.clock
        if change.frozen is not None:
            (clock.freeze if change.frozen else clock.resume)()
        if change.set_ms is not None:
            clock.set(change.set_ms)
        if change.advance_ms is not None:
            clock.advance(change.advance_ms)
        return await self.clock(request)

    async def actions(self, request: web.Request) -> Done:
        """POST one action or a list of actions; the first one that fails ends the request with an error."""
        wanted = _decode(await request.read(), AnyAction | list[AnyAction])
        actions = wanted if isinstance(wanted, list) else [wanted]
        for action in actions:
            action.perform(self._service)
        return Done(count=len(actions))

    async def script(self, request: web.Request) -> Done:
        """POST a script, and start it."""
        script = Script.parse(await request.read())
        script.start(self._service)
        return Done(count=len(script.steps))


def add_routes(application: web.Application, service: Service) -> None:
    """Add the admin interface to an application."""
    admin = Admin(service)
    routes: tuple[tuple[str, str, Callable[[web.Request], Awaitable[object]]], ...] = (
        ("GET", "health", admin.health),
        ("GET", "truth", admin.truth),
        ("GET", "counters", admin.counters),
        ("POST", "counters/reset", admin.reset_counters),
        ("GET", "log", admin.log),
        ("GET", "behaviour", admin.behaviour),
        ("PATCH", "behaviour", admin.patch_behaviour),
        ("GET", "faults", admin.faults),
        ("PUT", "faults", admin.put_faults),
        ("GET", "clock", admin.clock),
        ("POST", "clock", admin.change_clock),
        ("POST", "actions", admin.actions),
        ("POST", "script", admin.script),
    )
    for method, path, answer in routes:
        application.router.add_route(method, f"{PREFIX}/{path}", _handler(answer))


def _handler(answer: Callable[[web.Request], Awaitable[object]]) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        if not _is_local(request):
            return _json(Refusal(error="the admin interface answers only this machine"), 403)
        try:
            return _json(await answer(request))
        except ConfigError as error:
            return _json(Refusal(error=error.message), 400)

    return handle


def _is_local(request: web.Request) -> bool:
    # The Host header distinguishes a local program from a web page whose host name resolves to 127.0.0.1.
    peer = request.remote
    named = urlsplit(f"//{request.host}").hostname
    return peer is not None and ip_address(peer).is_loopback and named in _LOCAL_NAMES


def _decode(body: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise ConfigError(f"the body is not what is expected here: {error}") from error


def _json(answer: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(answer), content_type="application/json")
