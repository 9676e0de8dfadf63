"""The process: what is built once, what is served, and how it stops."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import uvicorn
import uvloop
from starlette.routing import Route

from enforcer.config.effective import upstreams
from enforcer.config.load import Loaded, load
from enforcer.config.overrides import Override
from enforcer.operations import logs
from enforcer.operations.admin import admin
from enforcer.operations.decision_log_writer import DecisionLogWriter
from enforcer.operations.probe_relay import routes
from enforcer.proxy.gateway import Gateway
from enforcer.server.listening import bind, name_of, raise_descriptor_limit
from enforcer.server.managed_server import ManagedServer
from enforcer.server.reloading import Origin, Reloader
from enforcer.telemetry import Telemetry
from enforcer.wire.ticker import Ticker

_log = logging.getLogger("enforcer")


def run(path: Path, environment: Mapping[str, str], overrides: Sequence[Override] = ()) -> None:
    """Serve until SIGTERM or SIGINT, of which a second one ends all at once; SIGUSR1 begins what SIGTERM does.

    A native sidecar gets SIGTERM only when the app has ended: SIGUSR1 tells it before that no requests are to come.

    Raises ConfigError and AddressError before anything is served.
    """
    loaded = load(path, environment, overrides)
    logs.configure(loaded.config.log.level, loaded.config.log.format)
    raise_descriptor_limit(loaded.config)
    gateway_sockets = bind(loaded.config.listener.address, f"listener.address in {path}")
    admin_sockets = bind(loaded.config.admin.address, f"admin.address in {path}")
    asking = routes(environment)
    serving = _serve(Origin(path, environment, overrides), loaded, gateway_sockets, admin_sockets, asking)
    del loaded  # else it would be there as long as the process, whatever takes its place
    uvloop.run(serving)


async def _serve(
    origin: Origin,
    loaded: Loaded,
    gateway_sockets: list[socket.socket],
    admin_sockets: list[socket.socket],
    asking: list[Route],
) -> None:
    telemetry = Telemetry(version("token-enforcer"))
    loop = asyncio.get_running_loop()
    ticker = Ticker(loop)
    reloader = Reloader(origin, loaded, telemetry, ticker, loop)
    del loaded
    gateway = Gateway(reloader.current.snapshot, telemetry, ticker, reloader.current.tls)
    front = ManagedServer(
        uvicorn.Config(
            _no_application,
            http=gateway.protocol,  # type: ignore[arg-type] # a factory serves as well as the class
            lifespan="off",
            log_config=None,
        )
    )
    back = ManagedServer(
        uvicorn.Config(
            admin(
                telemetry,
                # A reload replaces `current`, so it is looked up for each request.
                purge_cache=lambda name, value: reloader.current.memory.purge(name, value),  # noqa: PLW0108
                find_denials=gateway.decisions.find,
                credential=lambda: reloader.current.config.admin.credential,
                extra_routes=asking,
            ),
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
        )
    )

    journal = DecisionLogWriter(gateway.decisions.backlog, sys.stderr)
    ticker.add(journal.look)

    told = asyncio.Event()  # to end, once it has drained

    def drain(*, at_once: bool = False) -> None:
        times = reloader.current.config.timeouts
        delay = 0.0 if at_once else times.shutdown_delay
        if not telemetry.draining:
            _log.info("stopping: serving on for %g s, then running requests end within %g s", delay, times.drain)
            telemetry.ready = False
            telemetry.draining = True
            gateway.drain()
            front.config.timeout_graceful_shutdown = math.ceil(times.drain)
        loop.call_later(delay, setattr, front, "should_exit", True)

    def stop(*, at_once: bool) -> None:
        if told.is_set():
            _log.info("stopping at once")
            front.should_exit = front.force_exit = back.force_exit = True
            return
        told.set()
        drain(at_once=at_once)

    loop.add_signal_handler(signal.SIGUSR1, drain)
    loop.add_signal_handler(signal.SIGTERM, lambda: stop(at_once=False))
    loop.add_signal_handler(signal.SIGINT, lambda: stop(at_once=True))
    loop.add_signal_handler(signal.SIGHUP, reloader.wake)
    behind = asyncio.create_task(back.serve(admin_sockets), name="admin")
    # What was built lives as long as the process: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    running = asyncio.create_task(front.serve(gateway_sockets), name="gateway")
    await front.listening.wait()
    telemetry.ready = not telemetry.draining
    urls = ",".join(app.url for app in upstreams(reloader.current.config).values())
    _log.info("serving %s on %s, admin on %s", urls, name_of(gateway_sockets), name_of(admin_sockets))
    reloader.announce()
    reloading = asyncio.create_task(reloader.run(gateway), name="reload")
    await running
    await told.wait()
    reloading.cancel()
    await asyncio.wait({reloading})
    reloader.close()
    gateway.abort()
    back.should_exit = True
    await behind
    ticker.stop()
    journal.close()
    _log.info("stopped")


async def _no_application(scope: object, receive: object, send: object) -> None:
    """Stand for the application that uvicorn wants to have; the protocol class answers all."""
