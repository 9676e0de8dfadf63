"""The webhook's process: builds everything, serves reviews and the admin application, and stops gracefully."""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final, TypeVar

import uvloop

from enforcer.errors import EnforcerError
from enforcer.kubernetes.inject.pod.pod_template import Context
from enforcer.kubernetes.settings import Settings
from enforcer.kubernetes.webhook.admission import Admission
from enforcer.kubernetes.webhook.application import Operations, Webhook
from enforcer.kubernetes.webhook.certificate_rotation import ROUND, CertificateError, FileCertificate, SelfSigned
from enforcer.kubernetes.webhook.cluster import Cluster
from enforcer.kubernetes.webhook.events import Recorder
from enforcer.kubernetes.webhook.metrics import Metrics
from enforcer.kubernetes.webhook.own_objects import Names, OwnObjects
from enforcer.kubernetes.webhook.secret_path import PATH, SecretPath
from enforcer.kubernetes.webhook.serving.limits import Limits
from enforcer.kubernetes.webhook.serving.listener import Listener
from enforcer.kubernetes.webhook.serving.refusals import Refusals
from enforcer.kubernetes.webhook.serving.shares import FairWorker
from enforcer.server.listening import bind, name_of

T = TypeVar("T")

_log = logging.getLogger("enforcer.webhook")

_MIN_PAUSE: Final = 0.5
_MAX_PAUSE: Final = 30.0
"""Seconds before a failed call is retried, doubled after each failure: an API server may be starting."""
_GRACE: Final = 5
"""Seconds for running reviews after a stop: API servers wait no longer."""
_BODIES: Final = 4
"""The bodies of all running reviews take at most as much memory as this number of the largest."""
_ADMIN: Final = Limits(body=0, bodies=0, connections=64, peer_connections=16)
"""Limits of the admin listener: a kubelet and a Prometheus need a few connections."""
_OTHER_DESCRIPTORS: Final = 64
"""Descriptors for calls of the API server, files and the like."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options of the process. `names` are its own objects; None if it needs none, because all the others are given."""

    listen: str
    admin: str
    api_server: str
    account: Path
    settings: Settings
    allowed_annotations: frozenset[str]
    """Annotations that pods may use."""
    review_size: int
    """Bytes of the largest review."""
    timeout: float
    """Seconds that a review takes at most; API servers wait for at most 30, by default for 10."""
    connections: int
    """Connections of API servers, 50 KB each: with the default 26 MB, beside 60 MB of the process itself, 12 MB of
    bodies, 16 MB of held input, and up to 40 MB for the review in the worker thread. The chart's memory limit follows
    from that."""
    peer_connections: int
    """Connections of one API server, which creates at most 200 objects at once (`--max-mutating-requests-inflight`)."""
    held_input: int
    """Bytes of reviews that were received and wait for their turn to be decrypted."""
    names: Names | None
    files: tuple[Path, Path] | None = None
    """Certificate and key, instead of the webhook's own authority."""
    client_ca: Path | None = None
    """Authorities of API servers' client certificates, instead of the secret path."""
    client_names: frozenset[str] = frozenset()
    """Common names that API servers' certificates may have; empty for any."""


def run(options: Options) -> None:
    """Serve until SIGTERM or SIGINT; raises AddressError and CertificateError before anything is served."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    if options.client_ca is not None:
        try:
            context.load_verify_locations(options.client_ca)
        except OSError as error:
            raise CertificateError(f"{options.client_ca}: {error}") from None
        context.verify_mode = ssl.CERT_REQUIRED
    # A line for each call would double the log.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    review_sockets = bind(options.listen, "--listen")
    admin_sockets = bind(options.admin, "--admin")
    _log.info("bound to %s, admin on %s", name_of(review_sockets), name_of(admin_sockets))
    uvloop.run(_Process(options, context).serve(review_sockets, admin_sockets))


class _Process:
    """The running webhook."""

    def __init__(self, options: Options, tls: ssl.SSLContext) -> None:
        self._options = options
        self._tls = tls
        self._metrics = Metrics(version("token-enforcer"))
        self._cluster = Cluster(options.api_server, options.account)
        self._recorder = Recorder(self._cluster, _now, self._metrics.event)
        objects = None if options.names is None else OwnObjects(self._cluster, options.names)
        self._certificate: FileCertificate | SelfSigned
        if options.files is not None:
            self._certificate = FileCertificate(*options.files, tls)
        elif objects is not None:
            self._certificate = SelfSigned(objects, tls, _now)
        else:
            raise ValueError("a webhook without own objects needs a certificate")
        self._path = SecretPath(objects, _now) if objects is not None and options.client_ca is None else None
        self._reviews: Listener | None = None

    async def serve(self, review_sockets: list[socket.socket], admin_sockets: list[socket.socket]) -> None:
        """Serve until SIGTERM or SIGINT."""
        _raise_descriptor_limit(self._options.connections + _ADMIN.connections + _OTHER_DESCRIPTORS)
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopped.set)
        admin = Listener(Operations(self._metrics, time.monotonic), _ADMIN, self._refusals("admin"))
        await admin.start(admin_sockets)
        worker = FairWorker(time.perf_counter)
        # An unexpected failure ends the whole process: a restart is better than a process that half works.
        async with asyncio.TaskGroup() as group:
            background = [
                group.create_task(self._recorder.run(), name="events"),
                group.create_task(self._serve_reviews(review_sockets, worker), name="certificates"),
            ]
            await stopped.wait()
            _log.info("stopping: running reviews end within %d s", _GRACE)
            self._metrics.ready = False
            for task in background:
                task.cancel()
        if self._reviews is not None:
            await self._reviews.stop(_GRACE)
        await admin.stop(grace=0)
        worker.close()
        await self._cluster.close()
        _log.info("stopped")

    async def _serve_reviews(self, sockets: list[socket.socket], worker: FairWorker) -> None:
        # No review is served before there is a certificate that API servers trust.
        options = self._options
        kubernetes = await _retry(self._cluster.version)
        context = Context(version=kubernetes, package=version("token-enforcer"), by="webhook")
        admission = Admission(settings=options.settings, context=context, allowed=options.allowed_annotations)
        await _retry(self._renew)
        is_known = PATH.__eq__ if self._path is None else self._path.accepts
        webhook = Webhook(admission, is_known, self._cluster, self._recorder, self._metrics, worker)
        limits = Limits(
            body=options.review_size,
            bodies=_BODIES * options.review_size,
            response_seconds=options.timeout,
            connections=options.connections,
            peer_connections=options.peer_connections,
            held_input=options.held_input,
        )
        self._reviews = Listener(webhook, limits, self._refusals("reviews"), self._tls, options.client_names)
        await self._reviews.start(sockets)
        self._metrics.ready = True
        _log.info("reviewing pods")
        while True:
            await asyncio.sleep(ROUND.total_seconds())
            await _retry(self._renew)

    async def _renew(self) -> None:
        try:
            expiries = await self._certificate.round()
            if self._path is not None:
                await self._path.round()
        except EnforcerError:
            self._metrics.trusted(None)
            raise
        self._metrics.trusted(expiries)

    def _refusals(self, listener: str) -> Refusals:
        return Refusals(listener, self._metrics.refused)


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


def _raise_descriptor_limit(needed: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (needed if hard == resource.RLIM_INFINITY else min(needed, hard), hard)
        )


def _now() -> datetime:
    return datetime.now(UTC)
