"""The webhook's process: builds everything, serves reviews and the admin application, and stops gracefully."""

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
from enforcer.kubernetes.inject.pod.pod_template import Context
from enforcer.kubernetes.settings import Settings
from enforcer.kubernetes.webhook.admission import Admission
from enforcer.kubernetes.webhook.application import Webhook, operations
from enforcer.kubernetes.webhook.certificate_rotation import ROUND, FileCertificate, Names, SelfSigned
from enforcer.kubernetes.webhook.cluster import Cluster
from enforcer.kubernetes.webhook.events import Recorder
from enforcer.kubernetes.webhook.metrics import Metrics
from enforcer.server.listening import ManagedServer, bind, name_of

T = TypeVar("T")

_log = logging.getLogger("enforcer.webhook")

_MIN_PAUSE: Final = 0.5
_MAX_PAUSE: Final = 30.0
"""Seconds before a failed call is retried, doubled after each failure: an API server may be starting."""
_GRACE: Final = 5
"""Seconds for running reviews after a stop: API servers wait no longer."""
_MAX_CONCURRENT: Final = 1000
"""Concurrent reviews; more are rejected with 503, and their pods with them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options of the process. `certificate` names the objects of its own authority, or certificate and key files."""

    listen: str
    admin: str
    api_server: str
    account: Path
    certificate: Names | tuple[Path, Path]
    settings: Settings


def run(options: Options) -> None:
    """Serve until SIGTERM or SIGINT; raises AddressError before anything is served."""
    review_sockets = bind(options.listen, "--listen")
    admin_sockets = bind(options.admin, "--admin")
    uvloop.run(_serve(options, review_sockets, admin_sockets))


async def _serve(options: Options, review_sockets: list[socket.socket], admin_sockets: list[socket.socket]) -> None:
    package = version("token-enforcer")
    metrics = Metrics(package)
    cluster = Cluster(options.api_server, options.account)
    recorder = Recorder(cluster, _now, metrics.event)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    names = options.certificate
    certificates = (
        SelfSigned(cluster, names, context, _now) if isinstance(names, Names) else FileCertificate(*names, context)
    )
    admin_server = ManagedServer(_uvicorn(operations(metrics)))
    reviewing: list[tuple[ManagedServer, asyncio.Task[None]]] = []
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)

    async def renew() -> None:
        try:
            metrics.trusted(await certificates.round())
        except EnforcerError:
            metrics.trusted(None)
            raise

    async def serve_reviews() -> None:
        # No review is served before there is a certificate that API servers trust.
        kubernetes = await _retry(cluster.version)
        by_us = Context(version=kubernetes, package=package, by="webhook")
        admission = Admission(settings=options.settings, context=by_us)
        await _retry(renew)
        webhook = Webhook(admission, cluster, recorder, metrics)
        review_server = ManagedServer(_uvicorn(webhook.application(), context))
        reviewing.append((review_server, group.create_task(review_server.serve(review_sockets), name="webhook")))
        await review_server.listening.wait()
        metrics.ready = True
        _log.info("reviewing pods")
        while True:
            await asyncio.sleep(ROUND.total_seconds())
            await _retry(renew)

    _log.info("bound to %s, admin on %s", name_of(review_sockets), name_of(admin_sockets))
    # An unexpected failure ends the whole process: a restart is better than a process that half works.
    async with asyncio.TaskGroup() as group:
        group.create_task(admin_server.serve(admin_sockets), name="admin")
        background = [
            group.create_task(recorder.run(), name="events"),
            group.create_task(serve_reviews(), name="certificates"),
        ]
        await stopped.wait()
        _log.info("stopping: running reviews end within %d s", _GRACE)
        metrics.ready = False
        for task in background:
            task.cancel()
        for review_server, task in reviewing:
            review_server.should_exit = True
            await task
        admin_server.should_exit = True
    await cluster.close()
    _log.info("stopped")


async def _retry(call: Callable[[], Awaitable[T]]) -> T:
    """Retry until the call succeeds."""
    pause = _MIN_PAUSE
    while True:
        try:
            return await call()
        except EnforcerError as error:
            _log.warning("%s; retrying in %g s", error, pause)
        await asyncio.sleep(pause)
        pause = min(2 * pause, _MAX_PAUSE)


def _uvicorn(application: Starlette, context: ssl.SSLContext | None = None) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        lifespan="off",
        log_config=None,
        access_log=False,
        limit_concurrency=_MAX_CONCURRENT,
        timeout_graceful_shutdown=_GRACE,
        ssl_context_factory=(lambda *_: context) if context is not None else None,
    )


def _now() -> datetime:
    return datetime.now(UTC)
