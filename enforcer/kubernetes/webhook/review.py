"""AdmissionReview (admission.k8s.io/v1): parses an API server's request, and writes the response."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from enforcer.analysis.rule_yaml import printable
from enforcer.errors import EnforcerError
from enforcer.yamltext.json_diff import as_json_patch, changes
from enforcer.yamltext.objects import Object

_VERSION: Final = "admission.k8s.io/v1"
_NAMESPACE: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_UID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_MAX_WARNING: Final = 256
"""Characters in a warning; an API server truncates longer ones."""
_MAX_WARNINGS: Final = 10
MAX_MESSAGE: Final = 1024
"""Characters in a message: an API server's limit for Events."""
MAX_VALUES: Final = 20_000
"""Values in a review. The largest pods have a few thousand."""
MAX_DEPTH: Final = 64
"""Levels of nesting in a review. Pods need about 15; the limit bounds the stack."""


class ReviewError(EnforcerError):
    """A request body that is not a valid review of a pod."""


@dataclass(frozen=True, slots=True)
class Review:
    """The review of a pod that is about to be created; `dry` for a dry run, which creates nothing."""

    uid: str
    namespace: str
    dry: bool
    pod: Object


def parse(body: bytes | bytearray) -> Review:
    """Parse the review of a pod that is to be created; raises ReviewError.

    API servers validate a pod only after the admission, so nothing is assumed of it.
    """
    # A value of one byte takes 60 bytes or more once it is parsed.
    if not _is_small(body):
        raise ReviewError(f"the body has more than {MAX_VALUES} values")
    try:
        document = json.loads(body, parse_constant=_reject)
    except (ValueError, RecursionError):
        raise ReviewError("the body is not JSON") from None
    if not _is_shallow(document):
        raise ReviewError(f"the body is nested more than {MAX_DEPTH} levels deep")
    match document:
        case {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": dict(request)}:
            return _request(request)
    raise ReviewError(f"expected an AdmissionReview of {_VERSION}")


def _reject(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _is_small(body: bytes | bytearray) -> bool:
    """Return whether valid JSON has at most MAX_VALUES values, without building them."""
    text = body.replace(b"\\\\", b"").replace(b'\\"', b"")  # every other quotation mark begins or ends a string
    if text.count(b'"') > 4 * MAX_VALUES:
        return False
    outside = b"".join(text.split(b'"')[::2])
    return sum(map(outside.count, (b",", b"[", b"{"))) <= MAX_VALUES


def _is_shallow(document: Any) -> bool:
    level = [document]
    for _ in range(MAX_DEPTH):
        level = [
            member
            for value in level
            if isinstance(value, dict | list)
            for member in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return True
    return False


def _request(request: Object) -> Review:
    match request:
        case {"uid": str(uid)} if not _UID.fullmatch(uid):
            raise ReviewError("request.uid is not an identifier")
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
        response["warnings"] = [warning[:_MAX_WARNING] for warning in warnings[:_MAX_WARNINGS]]
    return _response(response)


def denied(review: Review, message: str) -> Object:
    """Write the response that denies the pod; the client that creates the pod gets the message."""
    # 403 is what API servers use for a denial by admission. Controllers retry the creation.
    status = {"code": 403, "reason": "Forbidden", "message": message}
    return _response({"uid": review.uid, "allowed": False, "status": status})


def readable(text: str) -> str:
    """Return a text for Events and terminals: it is short, and no character breaks a line or controls a terminal."""
    return printable(text[:MAX_MESSAGE])[:MAX_MESSAGE]


def _response(response: Object) -> Object:
    return {"apiVersion": _VERSION, "kind": "AdmissionReview", "response": response}
