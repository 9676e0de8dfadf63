"""The admission webhook: a pod comes from an API server, and goes back with the sidecar, or with why it may not be.

1. Whatever goes wrong is a denial or no answer at all, which the webhook configuration takes for one: nothing starts
   unprotected because of a fault.
2. A review has no effect but its answer (`sideEffects: None`); Events are for pods that really are created.
"""

from __future__ import annotations

import logging
import time
from typing import Any, Final

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from enforcer.kubernetes.webhook.admission import Admission, Result, Verdict, Why
from enforcer.kubernetes.webhook.cluster import Cluster, ClusterError
from enforcer.kubernetes.webhook.events import Recorder
from enforcer.kubernetes.webhook.metrics import Metrics
from enforcer.kubernetes.webhook.review import Review, ReviewError, allowed, denied, parse

_log = logging.getLogger("enforcer.webhook")

PATH: Final = "/inject"
"""Where reviews are sent."""
_MOST_BYTES: Final = 8 * 1024 * 1024
"""Of a review: an API server takes objects of 3 MiB, and sends the former one beside it."""


class Webhook:
    """Answers reviews."""

    def __init__(self, admission: Admission, cluster: Cluster, recorder: Recorder, metrics: Metrics) -> None:
        self._admission = admission
        self._cluster = cluster
        self._recorder = recorder
        self._metrics = metrics

    def application(self) -> Starlette:
        """Make the application that API servers call."""
        return Starlette(routes=[Route(PATH, self._inject, methods=["POST"])])

    async def _inject(self, request: Request) -> Response:
        begin = time.perf_counter()
        try:
            review = parse(await _body(request))
        except ReviewError as error:
            self._metrics.admitted(Result.ERROR, Why.MALFORMED_REVIEW, time.perf_counter() - begin)
            return JSONResponse({"detail": str(error)}, 400)
        verdict = await self._judge(review)
        self._tell(review, verdict)
        self._metrics.admitted(verdict.result, verdict.reason, time.perf_counter() - begin)
        if verdict.pod is None:
            return JSONResponse(denied(review, verdict.message))
        return JSONResponse(allowed(review, verdict.pod, verdict.warnings))

    async def _judge(self, review: Review) -> Verdict:
        try:
            namespace = await self._cluster.namespace(review.namespace)
        except ClusterError as error:
            _log.warning("%s: %s", review.namespace, error)
            message = f"the defaults of namespace {review.namespace} could not be read; try again"
            return Verdict(Result.ERROR, Why.NAMESPACE_UNAVAILABLE, None, message)
        try:
            return self._admission.decide(review.pod, namespace)
        except Exception:  # noqa: BLE001 - nothing starts unprotected because of a fault
            _log.exception("%s: a pod could not be judged", review.namespace)
            return Verdict(Result.ERROR, Why.INTERNAL, None, "the webhook failed; its log says why")

    def _tell(self, review: Review, verdict: Verdict) -> None:
        _log.info("%s/%s: %s: %s", review.namespace, _name(review.pod), verdict.result, verdict.message)
        if verdict.reason is not Why.NOT_WANTED:
            message = "; ".join((verdict.message, *verdict.warnings))
            self._recorder.note(review, verdict.pod is None, f"Enforcer{verdict.result.capitalize()}", message)


def operations(metrics: Metrics) -> Starlette:
    """Make the operator's application: `/livez`, `/readyz` once there is a certificate to show, and `/metrics`."""

    async def livez(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(request: Request) -> Response:
        return PlainTextResponse("ok\n") if metrics.ready else PlainTextResponse("not ready\n", 503)

    async def exposition(request: Request) -> Response:
        return Response(metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", exposition)])


async def _body(request: Request) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MOST_BYTES:
            raise ReviewError(f"a review has at most {_MOST_BYTES} bytes")
    return body


def _name(pod: Any) -> str:
    metadata = pod["metadata"]
    return str(metadata.get("name") or metadata.get("generateName"))
