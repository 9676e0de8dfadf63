"""AdmissionReview requests and responses."""

import base64
import copy
import json
from typing import Any

import pytest

from enforcer.kubernetes.webhook.review import Review, ReviewError, allowed, denied, parse, readable
from enforcer.yamltext.json_diff import patched

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"generateName": "app-"},
    "spec": {"containers": [{"name": "app"}]},
}
REQUEST: dict[str, Any] = {
    "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
    "resource": {"group": "", "version": "v1", "resource": "pods"},
    "operation": "CREATE",
    "namespace": "apps",
    "object": POD,
    "dryRun": False,
}


def document(**changes: Any) -> dict[str, Any]:
    """Return a review whose request has these members changed; None removes a member."""
    request = {name: value for name, value in {**REQUEST, **changes}.items() if value is not None}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


def test_a_review_contains_a_pod_and_its_namespace() -> None:
    """The namespace comes from the request; the pod may not contain it."""
    assert parse(json.dumps(document()).encode()) == Review(str(REQUEST["uid"]), "apps", False, POD)


@pytest.mark.parametrize(("flag", "dry"), [(True, True), (False, False), (None, False)])
def test_a_dry_run_is_flagged(flag: bool | None, dry: bool) -> None:
    """The default is false."""
    assert parse(json.dumps(document(dryRun=flag)).encode()).dry is dry


INVALID: dict[str, tuple[Any, str]] = {
    "not JSON": ("{", "the body is not JSON"),
    "nested too deeply to read": ("[" * 20_000, "the body is not JSON"),
    "nested too deeply": (document(object={"spec": {}, "metadata": json.loads("[" * 64 + "]" * 64)}), "64 levels"),
    "too many values": ("[" + "{}," * 20_000 + "{}]", "more than 20000 values"),
    "too many strings": ('["' + '","' * 50_000 + '"]', "more than 20000 values"),
    "too many empty keys": ("[" + '{"":0},' * 10_000 + "0]", "more than 20000 values"),
    "a number that is not JSON": (json.dumps(document(dryRun=float("nan"))), "the body is not JSON"),
    "not an object": ([], "AdmissionReview"),
    "another version": ({**document(), "apiVersion": "admission.k8s.io/v1beta1"}, "AdmissionReview of admission"),
    "no request": ({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}, "AdmissionReview"),
    "no uid": (document(uid=None), "request.uid"),
    "a uid that breaks the line": (document(uid="1\n2"), "request.uid"),
    "a uid without end": (document(uid="1" * 129), "request.uid"),
    "an update": (document(operation="UPDATE"), "only the creation of pods"),
    "not a pod": (
        document(resource={"group": "", "version": "v1", "resource": "services"}),
        "only the creation of pods",
    ),
    "no namespace": (document(namespace=None), "request.namespace"),
    "a namespace that is a path": (document(namespace="a/../b"), "request.namespace"),
    "a namespace with a line break": (document(namespace="apps\n"), "request.namespace"),
    "no pod in it": (document(object=None), "request.object"),
    "no spec": (document(object={"metadata": {}}), "request.object"),
    "no metadata": (document(object={"spec": {}}), "request.object"),
}


@pytest.mark.parametrize(("content", "message"), INVALID.values(), ids=INVALID)
def test_an_invalid_review_is_an_error(content: Any, message: str) -> None:
    """An API server validates a pod only after its review."""
    with pytest.raises(ReviewError, match=message):
        parse(content.encode() if isinstance(content, str) else json.dumps(content).encode())


def test_text_within_strings_does_not_count_as_values() -> None:
    """Pods carry JSON in their annotations and variables, escaped or not."""
    text = json.dumps([{"a\\": [1, 2, '"']}] * 20_000)
    pod = {**POD, "metadata": {"annotations": {"config": text, "more": "[{," * 20_000}}}
    assert parse(json.dumps(document(object=pod)).encode()).pod == pod


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mode port", "mode port"),
        ("é port 8080→15080", "é port 8080→15080"),
        ("a\r\nb", r"a\r\nb"),
        ("\x1b[31m", r"\x1b[31m"),
        ("\u2028\u202e\ud800", r"\u2028\u202e\ud800"),
        ("x" * 2000, "x" * 1024),
    ],
)
def test_a_readable_text_has_no_control_characters(text: str, shown: str) -> None:
    """Line breaks would forge log lines, and escape sequences change a terminal."""
    assert readable(text) == shown


def test_warnings_are_few() -> None:
    """A pod may have thousands of ports without protection."""
    response = allowed(Review("1", "apps", False, POD), POD, ["w"] * 1000)["response"]
    assert len(response["warnings"]) == 10


def test_an_unchanged_pod_has_no_patch() -> None:
    """Nor a patch type, which API servers accept only with a patch."""
    assert allowed(Review("1", "apps", False, POD), copy.deepcopy(POD)) == {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {"uid": "1", "allowed": True},
    }


def test_the_patch_produces_the_injected_pod() -> None:
    """A JSON patch, in base64."""
    injected = {**POD, "spec": {"containers": [{"name": "first"}, {"name": "app", "image": "é"}]}}
    response = allowed(Review("1", "apps", False, POD), injected)["response"]
    assert response["patchType"] == "JSONPatch"
    assert patched(POD, json.loads(base64.b64decode(response["patch"]))) == injected


def test_warnings_are_truncated() -> None:
    """An API server would truncate longer ones, or drop them."""
    response = allowed(Review("1", "apps", False, POD), POD, ["w" * 300, "short"])["response"]
    assert response["warnings"] == ["w" * 256, "short"]


def test_a_denial_has_a_message() -> None:
    """The message is for the user who creates the pod."""
    response = denied(Review("1", "apps", False, POD), "no TCP port")["response"]
    assert response == {
        "uid": "1",
        "allowed": False,
        "status": {"code": 403, "reason": "Forbidden", "message": "no TCP port"},
    }
