"""AdmissionReview (admission.k8s.io/v1): parses an API server's request, and writes the response."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from enforcer.errors import EnforcerError
from enforcer.yamltext.json_diff import as_json_patch, changes
from enforcer.yamltext.objects import Object

_VERSION: Final = "admission.k8s.io/v1"
_NAMESPACE: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_MAX_WARNING: Final = 256
"""Characters in a warning; an API server truncates longer ones."""


class ReviewError(EnforcerError):
    """A request body that is not a valid review of a pod."""


@dataclass(frozen=True, slots=True)
class Review:
    """The review of a pod that is about to be created; `dry` for a dry run, which creates nothing."""

    uid: str
    namespace: str
    dry: bool
    pod: Object


def parse(body: bytes) -> Review:
    """Parse the review of a pod that is to be created; raises ReviewError.

    Any process in the cluster can call a webhook, so nothing is assumed to have been validated by an API server.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise ReviewError("the body is not JSON") from None
    match document:
        case {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": dict(request)}:
            return _request(request)
    raise ReviewError(f"expected an AdmissionReview of {_VERSION}")


def _request(request: Object) -> Review:
    match request:
        case {"uid": str(uid), "operation": "CREATE", "resource": {"group": "", "version": "v1", "resource": "pods"}}:
            pod, namespace = request.get("object"), request.get("namespace")
        case {"uid": str()}:
            raise ReviewError("only the creation of pods is reviewed: correct the rules of the webhook configuration")
        case _:
            raise ReviewError("request.uid is missing")
    # The namespace becomes part of a URL path at the API server.
    if not isinstance(namespace, str) or not _NAMESPACE.fullmatch(namespace):
        raise ReviewError("request.namespace is not the name of a namespace")
    if not isinstance(pod, dict) or not isinstance(pod.get("spec"), dict) or not isinstance(pod.get("metadata"), dict):
        raise ReviewError("request.object is not a pod")
    return Review(uid, namespace, request.get("dryRun") is True, pod)


def allowed(review: Review, pod: Object, warnings: Sequence[str] = ()) -> Object:
    """Write the response that allows the pod, changed to `pod`."""
    response: Object = {"uid": review.uid, "allowed": True}
    if patch := as_json_patch(changes(review.pod, pod)):
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(json.dumps(patch).encode()).decode()
    if warnings:
        response["warnings"] = [warning[:_MAX_WARNING] for warning in warnings]
    return _response(response)


def denied(review: Review, message: str) -> Object:
    """Write the response that denies the pod; the client that creates the pod gets the message."""
    # 403 is what API servers use for a denial by admission. Controllers retry the creation.
    status = {"code": 403, "reason": "Forbidden", "message": message}
    return _response({"uid": review.uid, "allowed": False, "status": status})


def _response(response: Object) -> Object:
    return {"apiVersion": _VERSION, "kind": "AdmissionReview", "response": response}
