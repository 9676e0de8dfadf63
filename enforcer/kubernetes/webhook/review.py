"""What an API server asks a webhook, and what it is answered: AdmissionReview of admission.k8s.io/v1."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from enforcer.errors import EnforcerError
from enforcer.yamltext.json_diff import as_json_patch, changes

Object = dict[str, Any]

_VERSION: Final = "admission.k8s.io/v1"
_NAMESPACE: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_WARNING: Final = 256
"""Characters of a warning: an API server cuts what is longer."""


class ReviewError(EnforcerError):
    """What came is no review that could be answered."""


@dataclass(frozen=True, slots=True)
class Review:
    """One pod that is about to be created; `dry` when it will not be."""

    uid: str
    namespace: str
    dry: bool
    pod: Object


def parse(body: bytes) -> Review:
    """Read a review of a pod that is to be created; raises ReviewError.

    Anybody in the cluster can call a webhook, so that nothing in it is taken for what an API server has checked.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise ReviewError("this is no JSON") from None
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
    # It becomes a part of paths at the API server.
    if not isinstance(namespace, str) or not _NAMESPACE.fullmatch(namespace):
        raise ReviewError("request.namespace is no name of a namespace")
    if not isinstance(pod, dict) or not isinstance(pod.get("spec"), dict) or not isinstance(pod.get("metadata"), dict):
        raise ReviewError("request.object is no pod")
    return Review(uid, namespace, request.get("dryRun") is True, pod)


def allowed(review: Review, pod: Object, warnings: Sequence[str] = ()) -> Object:
    """Let a pod be created as `pod`, which may be as it came."""
    response: Object = {"uid": review.uid, "allowed": True}
    if patch := as_json_patch(changes(review.pod, pod)):
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(json.dumps(patch).encode()).decode()
    if warnings:
        response["warnings"] = [warning[:_WARNING] for warning in warnings]
    return _answer(response)


def denied(review: Review, message: str) -> Object:
    """Let a pod not be created; `message` is what who creates it reads."""
    # 403 as the API server has for what an admission plugin does not want; it is asked for again, not changed.
    status = {"code": 403, "reason": "Forbidden", "message": message}
    return _answer({"uid": review.uid, "allowed": False, "status": status})


def _answer(response: Object) -> Object:
    return {"apiVersion": _VERSION, "kind": "AdmissionReview", "response": response}
