"""The webhook's process: what is built once, what is served, and how it stops."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final, TypeVar

import uvicorn
import uvloop
from starlette.applications import Starlette

from enforcer.errors import EnforcerError
from enforcer.kubernetes.settings import Settings
from enforcer.kubernetes.webhook.admission import Admission
from enforcer.kubernetes.webhook.application import Webhook, operations
from enforcer.kubernetes.webhook.certificate_rotation import (
    ROUND,
    CertificateSource,
    FileCertificate,
    Names,
    SelfSigned,
)
from enforcer.kubernetes.webhook.cluster import Cluster
from enforcer.kubernetes.webhook.events import Recorder
from enforcer.kubernetes.webhook.metrics import Metrics
from enforcer.server.listening import bind, name_of
from enforcer.server.managed_server import ManagedServer

T = TypeVar("T")

_log = logging.getLogger("enforcer.webhook")

_SOONEST: Final = 0.5
_LATEST: Final = 30.0
"""Seconds until what failed is tried again, doubled from one failure to the next: an API server may be starting."""
_GRACE: Final = 5
"""Seconds that reviews have to be answered after a stop: an API server waits no longer."""
_CONCURRENT: Final = 1000
"""Reviews at once; more are refused, and their pods with them. Each waits for one call at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the webhook is run; `trusted` is where its own certificates are found, or the two files of another's."""

    listen: str
    admin: str
    api_server: str
    account: Path
    trusted: Names | tuple[Path, Path]
    settings: Settings


def run(options: Options) -> None:
    """Serve until SIGTERM or SIGINT; raises AddressError before anything is served."""
    front = bind(options.listen, "--listen")
    back = bind(options.admin, "--admin")
    uvloop.run(_serve(options, front, back))


async def _serve(options: Options, front_sockets: list[socket.socket], back_sockets: list[socket.socket]) -> None:
    package = version("token-enforcer")
    metrics = Metrics(package)
    cluster = Cluster(options.api_server, options.account)
    recorder = Recorder(cluster, _now, metrics.event)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trust = _trust(options.trusted, cluster, context)
    back = ManagedServer(_uvicorn(operations(metrics)))
    reviewing: list[tuple[ManagedServer, asyncio.Task[None]]] = []
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)

    async def step() -> None:
        try:
            metrics.trusted(await trust.step())
        except EnforcerError:
            metrics.trusted(None)
            raise

    async def keep() -> None:
        # Nobody is served before there is a certificate that API servers trust.
        kubernetes = await _persistently(cluster.version)
        admission = Admission(settings=options.settings, version=kubernetes, package=package)
        await _persistently(step)
        webhook = Webhook(admission, cluster, recorder, metrics)
        front = ManagedServer(_uvicorn(webhook.application(), context))
        reviewing.append((front, group.create_task(front.serve(front_sockets), name="webhook")))
        await front.listening.wait()
        metrics.ready = True
        _log.info("reviewing pods")
        while True:
            await asyncio.sleep(ROUND.total_seconds())
            await _persistently(step)

    _log.info("bound to %s, admin on %s", name_of(front_sockets), name_of(back_sockets))
    # What fails without being expected to ends all of it: a process that is started anew is better than half of one.
    async with asyncio.TaskGroup() as group:
        group.create_task(back.serve(back_sockets), name="admin")
        background = [group.create_task(recorder.run(), name="events"), group.create_task(keep(), name="trust")]
        await stopped.wait()
        _log.info("stopping: running reviews end within %d s", _GRACE)
        metrics.ready = False
        for task in background:
            task.cancel()
        for front, task in reviewing:
            front.should_exit = True
            await task
        back.should_exit = True
    await cluster.close()
    _log.info("stopped")


async def _persistently(call: Callable[[], Awaitable[T]]) -> T:
    """Try until it is done."""
    pause = _SOONEST
    while True:
        try:
            return await call()
        except EnforcerError as error:
            _log.warning("%s; again in %g s", error, pause)
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LATEST)


def _trust(trusted: Names | tuple[Path, Path], cluster: Cluster, context: ssl.SSLContext) -> CertificateSource:
    if isinstance(trusted, Names):
        return SelfSigned(cluster, trusted, context, _now)
    return FileCertificate(*trusted, context)


def _uvicorn(application: Starlette, context: ssl.SSLContext | None = None) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        lifespan="off",
        log_config=None,
        access_log=False,
        limit_concurrency=_CONCURRENT,
        timeout_graceful_shutdown=_GRACE,
        ssl_context_factory=(lambda *_: context) if context is not None else None,
    )


def _now() -> datetime:
    return datetime.now(UTC)
