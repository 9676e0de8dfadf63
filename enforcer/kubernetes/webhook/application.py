"""The webhook's HTTP applications: reviews, for API servers, and health and metrics.

1. Every failure is a denial or no response, which `failurePolicy: Fail` turns into a denial: no pod starts unprotected
   because of a failure.
2. A review has no side effect besides its response (`sideEffects: None`); Events are recorded only for pods that are
   really created.
3. A request is refused by its path, before its body is read, unless an API server sent it.
4. Reviews are read and decided in the worker thread, so that a large one delays no other response.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST

from enforcer.kubernetes.webhook.admission import Admission, AdmissionDecision, AdmissionReason, Result
from enforcer.kubernetes.webhook.cluster import Cluster, ClusterError
from enforcer.kubernetes.webhook.events import Recorder
from enforcer.kubernetes.webhook.metrics import Metrics
from enforcer.kubernetes.webhook.review import Review, ReviewError, allowed, denied, parse, readable
from enforcer.kubernetes.webhook.serving.connection import Head, Response
from enforcer.kubernetes.webhook.serving.shares import FairWorker
from enforcer.yamltext.objects import Object, identity

_log = logging.getLogger("enforcer.webhook")
_failures = logging.getLogger("enforcer.webhook.failures")
"""Equal failures are counted, because a controller repeats the creation of a pod."""

_JSON: Final = "application/json"
_FRESH: Final = 0.1
"""Seconds for which metrics are served again as they are, so that frequent scrapes cost nothing."""


class Webhook:
    """Answers admission reviews; `is_known` returns whether a path is one that API servers use."""

    def __init__(
        self,
        admission: Admission,
        is_known: Callable[[str], bool],
        cluster: Cluster,
        recorder: Recorder,
        metrics: Metrics,
        worker: FairWorker,
    ) -> None:
        self._admission = admission
        self._is_known = is_known
        self._cluster = cluster
        self._recorder = recorder
        self._metrics = metrics
        self._worker = worker

    def refusal(self, head: Head) -> Response | None:
        """Refuse a request that no API server sent."""
        if not self._is_known(head.path):
            return Response(HTTPStatus.FORBIDDEN)
        return None if head.method == "POST" else Response(HTTPStatus.METHOD_NOT_ALLOWED)

    async def respond(self, head: Head, body: bytearray) -> Response:
        """Return the response to a review."""
        begin = time.perf_counter()
        try:
            review = await self._worker.run(head.peer, parse, body)
        except ReviewError as error:
            self._metrics.admitted(Result.ERROR, AdmissionReason.MALFORMED_REVIEW, time.perf_counter() - begin)
            return Response(HTTPStatus.BAD_REQUEST, json.dumps({"detail": str(error)}).encode(), _JSON)
        try:
            namespace = await self._cluster.namespace(review.namespace)
        except ClusterError as error:
            _failures.warning("%s: %s", review.namespace, error)
            message = f"namespace {review.namespace} could not be read; try again"
            decision = AdmissionDecision(Result.ERROR, AdmissionReason.NAMESPACE_UNAVAILABLE, None, message)
            document = _document(review, decision)
        else:
            decision, document = await self._worker.run(head.peer, self._decide, review, namespace)
        self._record(review, decision)
        self._metrics.admitted(decision.result, decision.reason, time.perf_counter() - begin)
        return Response(HTTPStatus.OK, document, _JSON)

    def _decide(self, review: Review, namespace: Object) -> tuple[AdmissionDecision, bytes]:
        """Return the decision and the document of the response; runs in the worker thread."""
        try:
            decision = self._admission.decide(review.pod, namespace)
            warnings = tuple(map(readable, decision.warnings))
            decision = replace(decision, message=readable(decision.message), warnings=warnings)
            return decision, _document(review, decision)
        except Exception:  # noqa: BLE001 - no pod starts unprotected because of a failure
            _failures.exception("%s: no decision on a pod", review.namespace)
            message = "the webhook failed; see its log"
            decision = AdmissionDecision(Result.ERROR, AdmissionReason.INTERNAL, None, message)
            return decision, _document(review, decision)

    def _record(self, review: Review, decision: AdmissionDecision) -> None:
        name = identity(review.pod)[0]
        _log.info("%s/%s: %s: %s", review.namespace, name, decision.result, decision.message)
        if decision.reason is not AdmissionReason.NOT_WANTED:
            message = "; ".join((decision.message, *decision.warnings))
            self._recorder.note(review, decision.pod is None, f"Enforcer{decision.result.capitalize()}", message)


def _document(review: Review, decision: AdmissionDecision) -> bytes:
    if decision.pod is None:
        return json.dumps(denied(review, decision.message)).encode()
    return json.dumps(allowed(review, decision.pod, decision.warnings)).encode()


class Operations:
    """The admin application: `/livez`, `/readyz` (200 once there is a certificate), and `/metrics`."""

    def __init__(self, metrics: Metrics, clock: Callable[[], float]) -> None:
        self._metrics = metrics
        self._clock = clock
        self._exposition = b""
        self._fresh_until = 0.0

    def refusal(self, head: Head) -> Response | None:
        """Refuse all methods but GET."""
        return None if head.method == "GET" else Response(HTTPStatus.METHOD_NOT_ALLOWED)

    async def respond(self, head: Head, body: bytearray) -> Response:
        """Return the response to a request."""
        match head.path:
            case "/livez":
                return Response(HTTPStatus.OK, b"ok\n")
            case "/readyz" if self._metrics.ready:
                return Response(HTTPStatus.OK, b"ok\n")
            case "/readyz":
                return Response(HTTPStatus.SERVICE_UNAVAILABLE, b"not ready\n")
            case "/metrics":
                return Response(HTTPStatus.OK, self._read_metrics(), CONTENT_TYPE_LATEST)
        return Response(HTTPStatus.NOT_FOUND, b"there are /livez, /readyz and /metrics\n")

    def _read_metrics(self) -> bytes:
        if (now := self._clock()) >= self._fresh_until:
            self._exposition, self._fresh_until = self._metrics.exposition(), now + _FRESH
        return self._exposition
