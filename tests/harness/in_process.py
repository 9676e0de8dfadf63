"""A listening proxy in a thread of the test's own process, for tests that swap its snapshot or look inside."""

from __future__ import annotations

import asyncio
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import uvloop

from enforcer.config.load import load, load_with_document
from enforcer.proxy.registry import ConnectionRegistry
from enforcer.server.listeners import Listeners
from enforcer.server.reloading import Reloader
from enforcer.settings.log import Log
from enforcer.telemetry import Telemetry
from enforcer.wire.ticker import Ticker
from harness.waiting import TIMEOUT

_ENVIRONMENT = {"ENFORCER_CLIENT_SECRET": "secret"}


class InProcessProxy:
    """A gateway that listens on a free port of loopback, and the reloader of its configuration."""

    listeners: Listeners
    registry: ConnectionRegistry
    reloader: Reloader
    port: int

    def __init__(self, path: Path) -> None:
        self.telemetry = Telemetry("tested")
        self._path = path
        self.log_settings: list[Log] = []
        self._loop = uvloop.new_event_loop()
        started: Future[None] = Future()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve(started)), daemon=True)
        self._thread.start()
        started.result(TIMEOUT)

    def swap(self, config: str) -> float:
        """Put another configuration in force; return once every connection uses it.

        The return value is the longest CPU time, in seconds, that the reload kept the loop busy without a pause.
        """
        self._path.write_text(config)
        return asyncio.run_coroutine_threadsafe(self._swap(), self._loop).result(TIMEOUT)

    async def _swap(self) -> float:
        reload = asyncio.create_task(self.reloader.reload(self.listeners))
        longest = 0.0
        while not reload.done():
            before = time.thread_time()
            await asyncio.sleep(0.001)
            longest = max(longest, time.thread_time() - before)
        await reload
        return longest

    def shutdown(self, before: Callable[[], object]) -> None:
        """Start the graceful end of every connection; `before` runs first, in the same turn of the loop."""

        async def end() -> None:
            before()
            for connection in tuple(self.registry.connections):
                connection.shutdown()

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(TIMEOUT)

    def close(self) -> None:
        """Cut all connections, and stop."""
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(TIMEOUT)

    async def _serve(self, started: Future[None]) -> None:
        self._over = asyncio.Event()
        ticker = Ticker(self._loop)
        loaded = load(self._path, _ENVIRONMENT)
        self.reloader = Reloader(
            partial(load_with_document, self._path, _ENVIRONMENT, ()),
            loaded,
            self.telemetry,
            ticker,
            self._loop,
            configure_log=self.log_settings.append,
        )
        self.registry = ConnectionRegistry(self.reloader.current.snapshot, self.telemetry, ticker)
        self.listeners = Listeners(self.registry, self.reloader.current.listeners)
        state = SimpleNamespace(connections=set())
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        server = await self._loop.create_server(
            lambda: self.listeners.proxy.protocol(server_state=state), sock=listener
        )
        started.set_result(None)
        await self._over.wait()
        server.close()
        self.registry.abort()
        self.reloader.close()
        ticker.stop()


@contextmanager
def in_process_proxy(config: str) -> Iterator[InProcessProxy]:
    """Run a proxy with this configuration until the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(config)
        proxy = InProcessProxy(path)
        try:
            yield proxy
        finally:
            proxy.close()
