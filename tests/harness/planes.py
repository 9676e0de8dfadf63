"""The data plane in a thread of the test's own process, so that the test can swap its configuration and look inside."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import uvloop

from enforcer.config.load import load
from enforcer.proxy.gateway import Gateway
from enforcer.proxy.snapshot import Snapshot
from enforcer.server.assembly import assemble
from enforcer.server.parts import Parts
from enforcer.telemetry import Telemetry
from enforcer.wire.ticker import Ticker

_PATIENCE = 10.0


class Plane:
    """A gateway that listens on a free port of loopback."""

    def __init__(self, config: str) -> None:
        self.telemetry = Telemetry("tested")
        started: Future[None] = Future()
        self._loop = uvloop.new_event_loop()
        serving = self._serve(config, started)
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(serving), daemon=True)
        self._thread.start()
        started.result(_PATIENCE)

    def swap(self, config: str) -> None:
        """Judge new requests by another configuration, and return when all connections do."""
        asyncio.run_coroutine_threadsafe(self._swap(config), self._loop).result(_PATIENCE)

    def shutdown(self, before: Callable[[], object]) -> None:
        """Have all connections end as soon as nothing is under way; `before` is done with no look at them between."""

        async def end() -> None:
            before()
            for held in tuple(self.gateway.connections):
                held.shutdown()

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(_PATIENCE)

    def close(self) -> None:
        """End all connections, and stop."""
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(_PATIENCE)

    async def _serve(self, config: str, started: Future[None]) -> None:
        self._over = asyncio.Event()
        self._ticker = Ticker(self._loop)
        self._parts = Parts()
        self.gateway = Gateway(self._assembled(config), self.telemetry, self._ticker)
        state = SimpleNamespace(connections=set())
        server = await self._loop.create_server(lambda: self.gateway.protocol(server_state=state), "127.0.0.1", 0)
        self.port: int = server.sockets[0].getsockname()[1]
        started.set_result(None)
        await self._over.wait()
        server.close()
        self.gateway.abort()
        self._ticker.stop()

    async def _swap(self, config: str) -> None:
        await self.gateway.swap(self._assembled(config))

    def _assembled(self, config: str) -> Snapshot:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "config.yaml"
            path.write_text(config)
            loaded = load(path, {"ENFORCER_CLIENT_SECRET": "secret"})
        return assemble(loaded.config, self._parts.lease(), self.telemetry, self._ticker, self._loop)[0]


@contextmanager
def plane(config: str) -> Iterator[Plane]:
    """Run a data plane by a configuration until the block ends."""
    running = Plane(config)
    try:
        yield running
    finally:
        running.close()
