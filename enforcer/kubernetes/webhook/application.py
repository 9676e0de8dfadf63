"""The admission webhook's HTTP application: answers an API server's review with the changed pod, or with a denial.

1. Every failure is a denial or no response, which `failurePolicy: Fail` turns into a denial: no pod starts unprotected
   because of a failure.
2. A review has no side effect besides its response (`sideEffects: None`); Events are recorded only for pods that are
   really created.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from enforcer.kubernetes.webhook.admission import Admission, AdmissionDecision, AdmissionReason, Result
from enforcer.kubernetes.webhook.cluster import Cluster, ClusterError
from enforcer.kubernetes.webhook.events import Recorder
from enforcer.kubernetes.webhook.metrics import Metrics
from enforcer.kubernetes.webhook.review import Review, ReviewError, allowed, denied, parse
from enforcer.yamltext.objects import identity

_log = logging.getLogger("enforcer.webhook")

PATH: Final = "/inject"
"""Path to which API servers send reviews."""
_MAX_BYTES: Final = 8 * 1024 * 1024
"""Size of a review: API servers accept objects of 3 MiB, and an update carries the old one, too."""


class Webhook:
    """Answers admission reviews."""

    def __init__(self, admission: Admission, cluster: Cluster, recorder: Recorder, metrics: Metrics) -> None:
        self._admission = admission
        self._cluster = cluster
        self._recorder = recorder
        self._metrics = metrics

    def application(self) -> Starlette:
        """Return the application that API servers call."""
        return Starlette(routes=[Route(PATH, self._inject, methods=["POST"])])

    async def _inject(self, request: Request) -> Response:
        begin = time.perf_counter()
        try:
            review = parse(await _body(request))
        except ReviewError as error:
            self._metrics.admitted(Result.ERROR, AdmissionReason.MALFORMED_REVIEW, time.perf_counter() - begin)
            return JSONResponse({"detail": str(error)}, 400)
        decision = await self._decide(review)
        self._record(review, decision)
        self._metrics.admitted(decision.result, decision.reason, time.perf_counter() - begin)
        if decision.pod is None:
            return JSONResponse(denied(review, decision.message))
        return JSONResponse(allowed(review, decision.pod, decision.warnings))

    async def _decide(self, review: Review) -> AdmissionDecision:
        try:
            namespace = await self._cluster.namespace(review.namespace)
        except ClusterError as error:
            _log.warning("%s: %s", review.namespace, error)
            message = f"namespace {review.namespace} could not be read; try again"
            return AdmissionDecision(Result.ERROR, AdmissionReason.NAMESPACE_UNAVAILABLE, None, message)
        try:
            return self._admission.decide(review.pod, namespace)
        except Exception:  # noqa: BLE001 - no pod starts unprotected because of a failure
            _log.exception("%s: no decision on a pod", review.namespace)
            return AdmissionDecision(Result.ERROR, AdmissionReason.INTERNAL, None, "the webhook failed; see its log")

    def _record(self, review: Review, decision: AdmissionDecision) -> None:
        _log.info("%s/%s: %s: %s", review.namespace, identity(review.pod)[0], decision.result, decision.message)
        if decision.reason is not AdmissionReason.NOT_WANTED:
            message = "; ".join((decision.message, *decision.warnings))
            self._recorder.note(review, decision.pod is None, f"Enforcer{decision.result.capitalize()}", message)


def operations(metrics: Metrics) -> Starlette:
    """Return the admin application: `/livez`, `/readyz` (200 once there is a certificate), and `/metrics`."""

    async def livez(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(request: Request) -> Response:
        return PlainTextResponse("ok\n") if metrics.ready else PlainTextResponse("not ready\n", 503)

    async def exposition(request: Request) -> Response:
        return Response(metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", exposition)])


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BYTES:
            raise ReviewError(f"a review must have at most {_MAX_BYTES} bytes")
    return body
