"""A simulator in a thread of its own: started, listening, stopped.

Knows nothing of what it serves.
"""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Self, cast

from aiohttp import web

from image_history.errors import ConfigError
from image_history.simulator import admin
from image_history.simulator.behaviour import Behaviour
from image_history.simulator.script import Script
from image_history.simulator.server import Service, only_real_headers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from image_history.simulator.clock import VirtualClock
    from image_history.simulator.counters import Counters
    from image_history.simulator.faults import FaultRule
    from image_history.simulator.server import Fault
    from image_history.simulator.world import World

HOST = "127.0.0.1"
_START_SECONDS = 30
_SHUTDOWN_SECONDS = 1
# Scripts and truth of large worlds pass through the admin interface.
_LARGEST_REQUEST = 1 << 28


class Simulator:
    """Serves a world on a loopback port while its `with` block runs.

    Port 0 takes a free one. Entering raises ConfigError when the port is in use.
    """

    def __init__(
        self,
        world: World,
        *,
        behaviour: Behaviour | None = None,
        port: int = 0,
        script: Script | None = None,
        fault: Fault | None = None,
    ) -> None:
        self._service = Service(world, Behaviour() if behaviour is None else behaviour)
        self._service.fault = fault
        self._port = port
        self._script = script
        self._listening = threading.Event()
        self._failure: OSError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    @property
    def world(self) -> World:
        """The world that is served; it may be changed at any time, from any thread."""
        return self._service.world

    @property
    def clock(self) -> VirtualClock:
        """The clock of the world."""
        return self._service.world.clock

    @property
    def counters(self) -> Counters:
        """The counters of all requests so far."""
        return self._service.counters

    @property
    def behaviour(self) -> Behaviour:
        """The switches; assign another value to change them."""
        return self._service.behaviour

    @behaviour.setter
    def behaviour(self, behaviour: Behaviour) -> None:
        self._service.behaviour = behaviour

    @property
    def fault(self) -> Fault | None:
        """The hook that may replace any answer; None if there is no hook."""
        return self._service.fault

    @fault.setter
    def fault(self, fault: Fault | None) -> None:
        self._service.fault = fault

    @property
    def port(self) -> int:
        """The port, known once the server listens."""
        return self._port

    @property
    def url(self) -> str:
        """The endpoint of every service."""
        return f"http://{HOST}:{self._port}"

    @property
    def faults(self) -> tuple[FaultRule, ...]:
        """The fault rules; assigning rules replaces them and restarts their counting."""
        return self._service.faults

    @faults.setter
    def faults(self, rules: Iterable[FaultRule]) -> None:
        self._service.faults = tuple(rules)

    def environment(self, account_id: str | None = None, region: str | None = None) -> dict[str, str]:
        """Return the variables with which boto3 and the AWS CLI use this server, as that account."""
        scope = self.world.default_scope
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.world.access_key(account_id or scope.account_id),
            "AWS_SECRET_ACCESS_KEY": "simulated-secret",
            "AWS_DEFAULT_REGION": region or scope.region,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @property
    def failures(self) -> list[str]:
        """The errors of scripts."""
        return self._service.failures

    def play(self, script: Script) -> None:
        """Start a script, which changes the world from now on."""
        script.start(self._service)

    def __enter__(self) -> Self:
        if self._script is not None:
            self.play(self._script)
        self._thread = threading.Thread(target=self._run, name="simulator", daemon=True)
        self._thread.start()
        if not self._listening.wait(_START_SECONDS):
            raise ConfigError(f"the simulator did not start within {_START_SECONDS} seconds")
        if self._failure is not None:
            self._thread.join()
            reason = os.strerror(self._failure.errno or 0).lower()
            text = f"the simulator cannot listen on port {self._port} of {HOST}: {reason}"
            raise ConfigError(f"{text}; choose another port, or 0 for a free one") from self._failure
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        application = web.Application(client_max_size=_LARGEST_REQUEST)
        application.on_response_prepare.append(only_real_headers)
        application.router.add_post("/", self._service.handle)
        admin.add_routes(application, self._service)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        await runner.setup()
        try:
            await self._listen(runner)
        finally:
            await runner.cleanup()

    async def _listen(self, runner: web.AppRunner) -> None:
        self._loop, stop = asyncio.get_running_loop(), asyncio.Event()
        self._stop = stop
        try:
            server = await self._loop.create_server(self._protocol_factory(runner), HOST, self._port)
        except OSError as error:
            self._failure = error
            self._listening.set()
            return
        self._port = server.sockets[0].getsockname()[1]
        self._listening.set()
        await stop.wait()
        server.close()

    def _protocol_factory(self, runner: web.AppRunner) -> Callable[[], asyncio.BaseProtocol]:
        make, counters = cast("web.Server", runner.server), self._service.counters

        def connected() -> asyncio.BaseProtocol:
            counters.connected()
            return make()

        return connected
