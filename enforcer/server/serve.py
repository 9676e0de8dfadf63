"""The process: what it builds, what it serves, and how it stops."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import signal
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import uvicorn
import uvloop

from enforcer.config.load import Loaded, load_with_document
from enforcer.config.model import Config
from enforcer.config.overrides import Override
from enforcer.config.resolved import upstreams
from enforcer.operations.admin import admin
from enforcer.operations.admin_access import AdminAccess
from enforcer.operations.admin_connection import AdminConnections
from enforcer.operations.decision_log_writer import DecisionLogWriter
from enforcer.operations.logs import LogOutput
from enforcer.operations.probe_relay import Relay
from enforcer.proxy.registry import ConnectionRegistry
from enforcer.server.listeners import Listeners
from enforcer.server.listening import ManagedServer, bind, name_of, raise_descriptor_limit
from enforcer.server.reloading import Load, Reloader
from enforcer.server.start_report import describe, log_warnings
from enforcer.telemetry import Telemetry
from enforcer.tokens.purge import Purge
from enforcer.wire.ticker import Ticker

_log = logging.getLogger("enforcer")


def run(path: Path, environment: Mapping[str, str], overrides: Sequence[Override] = ()) -> None:
    """Serve until SIGTERM or SIGINT. A second one stops at once.

    SIGUSR1 starts the same shutdown without ending the process: a native sidecar gets SIGTERM only after the app has
    ended, and must stop taking requests before that. Raises ConfigError and AddressError before anything is served.
    """
    loaded, document = load_with_document(path, environment, overrides)
    with LogOutput(loaded.config.log) as log, ExitStack() as opened:
        log_warnings(loaded.config, document)
        raise_descriptor_limit(loaded.config)
        sockets = _bind_all(loaded.config, path, opened)
        load_again = partial(load_with_document, path, environment, overrides)
        about = describe(path, loaded)
        serving = _serve(load_again, loaded, about, sockets, Relay(environment), log)
        del loaded, document  # otherwise this frame would keep the first configuration in memory after reloads
        uvloop.run(serving)


class _Sockets(NamedTuple):
    """The listening sockets: of the proxy (none if there is no upstream), of the admin server, of the decision API."""

    proxy: list[socket.socket]
    admin: list[socket.socket]
    decision: list[list[socket.socket]]


def _bind_all(config: Config, path: Path, opened: ExitStack) -> _Sockets:
    """Listen on all addresses; the sockets are closed with `opened` if one of the addresses is in use."""

    def listen(address: str, setting: str) -> list[socket.socket]:
        return [opened.enter_context(listening) for listening in bind(address, f"{setting} in {path}")]

    return _Sockets(
        listen(config.listener.address, "listener.address") if upstreams(config) else [],
        listen(config.admin.address, "admin.address"),
        [listen(settings.address, f"decision.{index}.address") for index, settings in enumerate(config.decision)],
    )


async def _serve(load_again: Load, loaded: Loaded, about: str, sockets: _Sockets, relay: Relay, log: LogOutput) -> None:
    loop = asyncio.get_running_loop()
    telemetry, ticker = Telemetry(version("token-enforcer")), Ticker(loop)
    telemetry.dropped_log_lines = lambda: log.dropped
    reloader = Reloader(load_again, loaded, telemetry, ticker, loop, log.configure)
    del loaded  # as in `run`
    registry = ConnectionRegistry(reloader.current.snapshot, telemetry, ticker)
    listeners = Listeners(registry, reloader.current.listeners)
    proxy_server = _proxy_server(listeners, sockets)
    admin_server = _admin_server(telemetry, reloader, registry, relay)
    shutdown = _Shutdown(telemetry, reloader, registry, proxy_server, admin_server)
    _handle_signals(loop, shutdown, reloader)
    ticker.add(DecisionLogWriter(registry.decisions.backlog, log.writer).tick)

    admin_task = asyncio.create_task(admin_server.serve(sockets.admin), name="admin")
    # Everything built so far lives as long as the process: exclude it from garbage collection.
    gc.collect()
    gc.freeze()
    proxy_task = asyncio.create_task(proxy_server.serve([]), name="proxy")
    await proxy_server.listening.wait()
    telemetry.ready = not telemetry.draining
    _log.info("%s, admin on %s; %s", _served(reloader.current.config, sockets), name_of(sockets.admin), about)
    reloader.announce()
    reload_task = asyncio.create_task(reloader.run(listeners), name="reload")

    await proxy_task
    await shutdown.requested.wait()
    reload_task.cancel()
    await asyncio.wait({reload_task})
    reloader.close()
    registry.abort()
    admin_server.should_exit = True
    await admin_task
    ticker.stop()
    _log.info("stopped")


def _served(config: Config, sockets: _Sockets) -> str:
    """Return what is served where, as a text for the log."""
    urls = ",".join(upstream.url for upstream in upstreams(config).values())
    parts = [f"{urls} on {name_of(sockets.proxy)}"] if sockets.proxy else []
    parts += [
        f"decisions for {settings.contract} on {name_of(listening)}"
        for settings, listening in zip(config.decision, sockets.decision, strict=True)
    ]
    return f"serving {', '.join(parts)}"


def _proxy_server(listeners: Listeners, sockets: _Sockets) -> ManagedServer:
    """Return the server of all listeners for clients, since they drain and stop together."""
    # The protocols are those of the listeners. With a class, uvicorn imports none of its own.
    config = uvicorn.Config(_no_application, http=asyncio.Protocol, ws="none", lifespan="off", log_config=None)
    groups = [(listeners.proxy, sockets.proxy), *zip(listeners.decision, sockets.decision, strict=True)]
    return ManagedServer(config, [(listening, listener.protocol) for listener, group in groups for listening in group])


async def _no_application(scope: object, receive: object, send: object) -> None:
    """Stand in for the ASGI application that uvicorn requires; the protocol class handles every request."""


def _admin_server(
    telemetry: Telemetry, reloader: Reloader, registry: ConnectionRegistry, relay: Relay
) -> ManagedServer:
    def purge_cache(name: str, value: str) -> Iterable[int]:
        # Streams end after their results are removed: no other one can begin with such a result then. A reload replaces
        # `current`, so it is looked up for each request.
        return chain(reloader.current.memory.purge(name, value), registry.revoke(Purge(name, value)))

    access = AdminAccess(lambda: reloader.current.config.admin, time.time)
    telemetry.admin_refusals = lambda: access.refused
    application = admin(
        telemetry,
        purge_cache=purge_cache,
        find_denials=registry.decisions.find,
        access=access,
        extra_routes=relay.routes,
    )
    factory: Any = AdminConnections(access, relay.timeout).protocol
    return ManagedServer(
        uvicorn.Config(
            application,
            http=factory,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
        )
    )


def _handle_signals(loop: asyncio.AbstractEventLoop, shutdown: _Shutdown, reloader: Reloader) -> None:
    loop.add_signal_handler(signal.SIGTERM, lambda: shutdown.stop(at_once=False))
    loop.add_signal_handler(signal.SIGINT, lambda: shutdown.stop(at_once=True))
    loop.add_signal_handler(signal.SIGHUP, reloader.wake)
    # The last one, because `enforcer drain` takes a process that handles it for one that has started.
    loop.add_signal_handler(signal.SIGUSR1, shutdown.drain)


@dataclass(frozen=True, slots=True)
class _Shutdown:
    """Drains and stops the servers. `requested` is set by the first signal that ends the process."""

    telemetry: Telemetry
    reloader: Reloader
    registry: ConnectionRegistry
    proxy_server: ManagedServer
    admin_server: ManagedServer
    requested: asyncio.Event = field(default_factory=asyncio.Event)

    def drain(self, *, at_once: bool = False) -> None:
        """Report not ready, serve on for `shutdown_delay`, then let running requests end."""
        timeouts = self.reloader.current.config.timeouts
        delay = 0.0 if at_once else timeouts.shutdown_delay
        if not self.telemetry.draining:
            phase = "stopping" if self.requested.is_set() else "draining until SIGTERM"
            text = "%s: new requests are served for %g s, running ones may take %g s more"
            _log.info(text, phase, delay, timeouts.drain)
            self.telemetry.ready = False
            self.telemetry.draining = True
            self.registry.drain()
            self.proxy_server.config.timeout_graceful_shutdown = math.ceil(timeouts.drain)
        asyncio.get_running_loop().call_later(delay, setattr, self.proxy_server, "should_exit", True)

    def stop(self, *, at_once: bool) -> None:
        """Drain and end the process. A second call ends it at once."""
        if self.requested.is_set():
            _log.info("stopping at once")
            self.proxy_server.should_exit = self.proxy_server.force_exit = self.admin_server.force_exit = True
            return
        self.requested.set()
        self.drain(at_once=at_once)
