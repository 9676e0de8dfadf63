"""The data plane in a thread of the test's own process, so that the test can swap its configuration and look inside."""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import uvloop

from enforcer.config.load import load
from enforcer.proxy.gateway import Gateway
from enforcer.server.reloading import Origin, Reloader
from enforcer.telemetry import Telemetry
from enforcer.wire.ticker import Ticker

_PATIENCE = 20.0
_ENVIRONMENT = {"ENFORCER_CLIENT_SECRET": "secret"}


class Plane:
    """A gateway that listens on a free port of loopback, and the reloader that keeps its configuration."""

    gateway: Gateway
    reloader: Reloader
    port: int

    def __init__(self, path: Path) -> None:
        self.telemetry = Telemetry("tested")
        self._path = path
        self._loop = uvloop.new_event_loop()
        started: Future[None] = Future()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve(started)), daemon=True)
        self._thread.start()
        started.result(_PATIENCE)

    def swap(self, config: str) -> float:
        """Put another configuration in force, and return when all connections go by it.

        Returns the most CPU time that the loop has spent on end, in seconds.
        """
        self._path.write_text(config)
        return asyncio.run_coroutine_threadsafe(self._swap(), self._loop).result(_PATIENCE)

    async def _swap(self) -> float:
        reload = asyncio.create_task(self.reloader.reload(self.gateway))
        most = 0.0
        while not reload.done():
            before = time.thread_time()
            await asyncio.sleep(0.001)
            most = max(most, time.thread_time() - before)
        await reload
        return most

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

    async def _serve(self, started: Future[None]) -> None:
        self._over = asyncio.Event()
        ticker = Ticker(self._loop)
        loaded = load(self._path, _ENVIRONMENT)
        self.reloader = Reloader(Origin(self._path, _ENVIRONMENT), loaded, self.telemetry, ticker, self._loop)
        self.gateway = Gateway(self.reloader.current.snapshot, self.telemetry, ticker, self.reloader.current.tls)
        state = SimpleNamespace(connections=set())
        server = await self._loop.create_server(lambda: self.gateway.protocol(server_state=state), "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        started.set_result(None)
        await self._over.wait()
        server.close()
        self.gateway.abort()
        self.reloader.close()
        ticker.stop()


@contextmanager
def plane(config: str) -> Iterator[Plane]:
    """Run a data plane by a configuration until the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(config)
        running = Plane(path)
        try:
            yield running
        finally:
            running.close()
